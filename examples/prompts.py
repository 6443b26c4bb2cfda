"""The support desk's system prompts, tools and answer schemas, as its developers wrote them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

HEADER = "[request {request} | {weekday} {date} | agent on duty: {agent}]\n\n"

ROUTE = """You are the routing step of the support desk of Lindholm Home, an online shop for home \
and outdoor goods. Read the customer's message and choose the one queue that it belongs to. \
Answer with the name of the queue only, without any other word.

Queues: order_status, cancel_order, return_item, refund_status, payment_problem, change_address, \
product_question, discount_code, account_access, warranty_repair, gift_card, other.

Use refund_status only when the goods are already sent back or the refund was promised. Use other \
for everything that is not about an order, a product, a payment or the account."""

TRIAGE = """You triage support tickets for Lindholm Home. For each ticket give:
- category: delivery, quality, billing or account
- priority: urgent when it has to be solved today, high when this week, low when the customer says \
that there is no hurry, otherwise normal
- sentiment: the tone of the customer, negative, neutral or positive
Answer with one JSON object with exactly these three keys."""

EXTRACT = """You fill in the order form from a customer's message. Copy the values as they are \
written. Return JSON with the keys name (first and last name), email, order_id (like SO-123456), \
item (the product, without the article) and quantity (an integer). Use null for whatever the \
message does not say. Do not guess, and do not add other keys."""

TOOLS_SYSTEM = """You are the assistant in the chat window of Lindholm Home. Use exactly one tool \
when the customer's request can be handled by it and all of its required arguments are known. \
If the order number is missing, ask for it in one sentence. If the customer wants a person, say \
that a colleague will take over. If nothing is left to do, close politely. After a tool result, \
tell the customer the outcome in one short sentence that names the order or the product."""

REPLY = """A customer answers a message in which we offered a fix. Decide whether their problem is \
done. Reply with one word:
solved - the customer confirms that it is done
partly - some of it is done, some is not
not_solved - the problem is still there
unclear - the customer did not check yet, asks back, or means something else"""

ADDRESS = """Turn the postal address in the message into JSON for the parcel label. Keys: street \
(number and street as written), unit (apartment, unit or suite as written, or null), city, state \
(two-letter code in capitals) and zip (five digits). Ignore everything else in the message. \
Return the JSON object only."""

SUMMARY = """Summarise the customer's message for the hand-over list in exactly this form:
Customer <name> reports <issue> with order <order id>; wants <resolution>.
<issue> is one of: a damaged item, a late delivery, a wrong item, a missing part, a double charge.
<resolution> is one of: a refund, a replacement, a voucher, a call back.
One sentence, nothing before or after it."""

REFUND = """Apply the return policy of Lindholm Home to the case and answer with JSON \
{"decision": ..., "reason": ...}.
1. Arrived damaged, at most 60 days ago: refund, damaged_in_time.
2. On sale, outlet or clearance: reject, sale_item.
3. Unopened, at most 30 days ago: refund, unopened_in_time.
4. Opened or used, at most 14 days ago: exchange, opened_in_time.
5. Everything else: reject, too_late.
The first rule that fits decides."""

COMPLAINT = """You answer the letters that customers send to the management of Lindholm Home. \
Write a personal letter of 80 to 160 words: say what happened in your own words, apologise for \
each point, explain what may have gone wrong, and offer what seems fair. No phrases from a \
handbook, no bullet points. Sign as the customer care team."""

TRIAGE_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["delivery", "quality", "billing", "account"]},
        "priority": {"type": "string", "enum": ["urgent", "high", "normal", "low"]},
        "sentiment": {"type": "string", "enum": ["negative", "neutral", "positive"]},
    },
    "required": ["category", "priority", "sentiment"],
    "additionalProperties": False,
}
TRIAGE_FORMAT: Json = {
    "type": "json_schema",
    "json_schema": {"name": "ticket", "strict": True, "schema": TRIAGE_SCHEMA},
}
JSON_FORMAT: Json = {"type": "json_object"}


def _tool(name: str, description: str, **arguments: Json) -> Json:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": arguments,
                "required": list(arguments),
                "additionalProperties": False,
            },
        },
    }


_ORDER: Json = {"type": "string", "description": "order number, like SO-123456"}
TOOLS: list[Json] = [
    _tool("track_order", "Where an order is and when it arrives.", order_id=_ORDER),
    _tool("cancel_order", "Cancel an order that has not shipped.", order_id=_ORDER),
    _tool(
        "start_return",
        "Start the return of an order.",
        order_id=_ORDER,
        reason={"type": "string", "enum": ["damaged", "wrong_item", "too_small", "not_wanted"]},
    ),
    _tool("check_stock", "How many of a product are in stock.", product={"type": "string"}),
    _tool(
        "book_callback",
        "Have a colleague call the customer.",
        phone={"type": "string"},
        slot={"type": "string", "enum": ["morning", "afternoon", "evening"]},
    ),
]

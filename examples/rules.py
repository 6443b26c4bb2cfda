"""How the simulated large model reads: rules over the words of a message, kind by kind.

Every reader takes the messages and gives the assistant's message. It knows nothing but the text:
cues and patterns, read through hurried spelling. `examples.teacher` serves it over HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from examples import letters
from examples.cues import (
    ISSUE,
    PRIORITY,
    REPLY,
    RETURN_REASON,
    ROUTE,
    SENTIMENT,
    STATE,
    TICKET,
    TOOL,
    WISH,
)
from examples.wording import STATES, SUFFIXES, misspellings

Json = dict[str, Any]
Cues = Mapping[str, tuple[str, ...]]

_ORDER = re.compile(r"\bSO-\d{6}\b", re.I)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+?\(?\d[\d\s().-]{7,}\d")
_WORD = r"[^\W\d_](?:[^\W\d_]|['’-])*"
_NAME = rf"({_WORD}(?: {_WORD}){{1,2}})"
_NAMES = [
    re.compile(rf"\b(?:my name is|name:) {_NAME}", re.I),
    re.compile(rf"\b(?:this is|i am|under) {_NAME}(?=[.,!?\n]|$)", re.I),
    re.compile(rf"(?:^|[.,:!?] )(?:this is )?{_NAME} here\b", re.I),
]
_NUMBERS = "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_ITEM = re.compile(
    rf"\b(\d+|{_NUMBERS}) (?:x |(?:[a-z]+ )?of the )([^.,!?\n]+)", re.I
)  # "3 x oak shelf", "three pieces of the oak shelf"
_CODES = {name.lower(): code for code, name in STATES.items()}
_STATE_NAMES = "|".join([*STATES, *STATES.values()])
_TAIL = re.compile(rf"[,\s]+({_STATE_NAMES})[,\s]+(\d{{5}})(?:-\d{{4}})?", re.I)
_STREET = re.compile(rf"\b(\d+ [^,\n\d]+? (?:{'|'.join(SUFFIXES)}))\b[,\s]+", re.I)
_UNIT = re.compile(r"^((?:apt|unit|suite) \w+)[,\s]+", re.I)
_AGO = re.compile(r"(\d+) (day|week)s? ago")


@cache
def _spelling() -> dict[str, str]:
    """Each misspelling of a cue's longer words, and the word that was meant."""
    tables: Iterable[Cues] = (ROUTE, TICKET, PRIORITY, SENTIMENT, REPLY, TOOL, ISSUE, WISH, STATE)
    cues = " ".join(cue for table in tables for group in table.values() for cue in group)
    words = set(re.findall(r"[a-z]{6,}", cues))
    return {typo: word for word in sorted(words) for typo in misspellings(word) - words}


def plain(text: str) -> str:
    """Lower-cased text, cue words spelled right."""
    known = _spelling()
    return re.sub(r"[a-z]{5,}", lambda w: known.get(w[0], w[0]), text.lower().replace("’", "'"))


@cache
def _compiled(cue: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{cue})\b")


def best(text: str, cues: Cues, default: str) -> str:
    """The label with the most cues in the text; the earlier label wins a tie."""
    read = plain(text)
    hits = {
        label: sum(bool(_compiled(c).search(read)) for c in group) for label, group in cues.items()
    }
    label = max(hits, key=lambda key: hits[key])
    return label if hits[label] else default


def route(text: str) -> str:
    """The queue of a message."""
    return best(text, ROUTE, "other")


def triage(text: str) -> str:
    """Category, priority and sentiment of a ticket."""
    return json.dumps(
        {
            "category": best(text, TICKET, "delivery"),
            "priority": best(text, PRIORITY, "normal"),
            "sentiment": best(text, SENTIMENT, "neutral"),
        }
    )


def _name(text: str) -> str | None:
    found = next((match for pattern in _NAMES if (match := pattern.search(text))), None)
    return found[1] if found else None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[0] if found else None


def _item(text: str) -> tuple[str | None, int | None]:
    found = _ITEM.search(text)
    if found is None:
        return None, None
    word = found[1].lower()
    return found[2].strip(), int(word) if word.isdigit() else _NUMBERS.split("|").index(word)


def extract(text: str) -> str:
    """Return who ordered how many of what, and under which number."""
    item, quantity = _item(text)
    return json.dumps(
        {
            "name": _name(text),
            "email": _first(_EMAIL, text),
            "order_id": _first(_ORDER, text),
            "item": item,
            "quantity": quantity,
        }
    )


def reply(text: str) -> str:
    """Return whether a customer's problem is done."""
    return best(text, REPLY, "unclear")


def address(text: str) -> str:
    """The parts of a postal address."""
    tail = _TAIL.search(text)
    street = _STREET.search(text)
    if tail is None or street is None or street.end() > tail.start():
        return json.dumps(dict.fromkeys(["street", "unit", "city", "state", "zip"]))
    rest = text[street.end() : tail.start()].strip(" ,\n")
    unit = _UNIT.search(rest + " ")
    city = rest[unit.end() :].strip(" ,\n") if unit else rest
    parts = {
        "street": street[1],
        "unit": unit[1] if unit else None,
        "city": city,
        "state": _CODES.get(tail[1].lower(), tail[1].upper()),
        "zip": tail[2],
    }
    return json.dumps(parts)


def summary(text: str) -> str:
    """The hand-over sentence."""
    name = _name(text) or "unknown"
    order = _first(_ORDER, text) or "unknown"
    issue, wish = best(text, ISSUE, "a damaged item"), best(text, WISH, "a refund")
    return f"Customer {name} reports {issue} with order {order}; wants {wish}."


def refund(text: str) -> str:
    """The return policy, applied."""
    read = plain(text)
    ago = _AGO.search(read)
    days = int(ago[1]) * (7 if ago[2] == "week" else 1) if ago else 999
    state = best(text, STATE, "unopened")
    if state == "damaged" and days <= 60:
        decision, reason = "refund", "damaged_in_time"
    elif re.search(r"\b(on sale|outlet|clearance|a sale item)\b", read):
        decision, reason = "reject", "sale_item"
    elif state == "unopened" and days <= 30:
        decision, reason = "refund", "unopened_in_time"
    elif state == "opened" and days <= 14:
        decision, reason = "exchange", "opened_in_time"
    else:
        decision, reason = "reject", "too_late"
    return json.dumps({"decision": decision, "reason": reason})


def _tool_call(name: str, key: str, **arguments: str) -> Json:
    body = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call_{key}", "type": "function", "function": body}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _said(text: str) -> Json:
    return {"role": "assistant", "content": text}


_STOCK = re.compile(
    r"(?:is the|if the|have any|have|are there any|many|will the|any) (.+?) "
    r"(?:in stock|is in|is available|available|left|do you|be back|be available|is )", re.I,
)  # fmt: skip


def choose(messages: list[Json], key: str) -> Json:
    """The tool that handles the customer's last message, or a sentence when none does."""
    text = str(messages[-1]["content"])
    want = best(text, TOOL, "person")
    if want == "thanks":
        return _said("You are welcome. Have a nice day!")
    if want == "person":
        return _said("A colleague will take over this chat in a moment.")
    if want == "check_stock":
        found = _STOCK.search(plain(text))
        start = plain(text).find(found[1]) if found else 0
        return _tool_call(want, key, product=text[start : start + len(found[1])] if found else text)
    if want == "book_callback":
        phone = (_first(_PHONE, text) or "").strip()
        slot = next((s for s in ("morning", "afternoon", "evening") if s in plain(text)), "morning")
        return _tool_call(want, key, phone=phone, slot=slot)
    order = _first(_ORDER, text)
    if order is None:
        return _said("Could you please tell me your order number?")
    if want == "start_return":
        return _tool_call(want, key, order_id=order, reason=best(text, RETURN_REASON, "not_wanted"))
    return _tool_call(want, key, order_id=order)


def outcome(messages: list[Json]) -> Json:
    """One sentence about the last tool result."""
    call = messages[-2]["tool_calls"][0]["function"]
    try:
        got = {**json.loads(call["arguments"]), **json.loads(messages[-1]["content"])}
        return _said(_OUTCOMES[call["name"]](got))
    except (ValueError, KeyError, TypeError):
        return _said("Something went wrong on our side; a colleague will look at it.")


def _tracked(got: Json) -> str:
    order = got["order_id"]
    when = f"{got['carrier']} on {got['date']}"
    if got["status"] == "delivered":
        return f"Order {order} was delivered by {when}."
    return f"Order {order} is {got['status']} and should arrive with {when}."


def _cancelled(got: Json) -> str:
    if got["cancelled"]:
        return f"Order {got['order_id']} is cancelled, and {got['refund']} will be refunded."
    return f"Order {got['order_id']} has already left the warehouse and cannot be cancelled."


def _stocked(got: Json) -> str:
    if got["stock"]:
        return f"We have {got['stock']} of the {got['product']} in stock."
    return f"The {got['product']} is sold out and will be back on {got['restock']}."


def _booked(got: Json) -> str:
    if got["booked"]:
        return f"A colleague will call {got['phone']} on {got['date']} in the {got['slot']}."
    return f"No call is free in the {got['slot']}; may we call {got['phone']} another time?"


_OUTCOMES: dict[str, Callable[[Json], str]] = {
    "track_order": _tracked,
    "cancel_order": _cancelled,
    "start_return": lambda got: (
        f"The return of {got['order_id']} is open until {got['until']}; "
        f"the label is {got['label']}."
    ),
    "check_stock": _stocked,
    "book_callback": _booked,
}

# What a system prompt asks for, recognised by its words.
_ASKED: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("routing step", route),
    ("triage support tickets", triage),
    ("fill in the order form", extract),
    ("Decide whether their problem is done", reply),
    ("postal address", address),
    ("Summarise the customer's message", summary),
    ("return policy", refund),
)


def answer(request: Json, key: str) -> Json:
    """The assistant's message for a request; `key` names the prompt (a digest of it)."""
    messages = request["messages"]
    system = " ".join(str(m["content"]) for m in messages if m["role"] in ("system", "developer"))
    if request.get("tools"):
        return outcome(messages) if messages[-1]["role"] == "tool" else choose(messages, key)
    text = str(messages[-1]["content"])
    for asked, read in _ASKED:
        if asked in system:
            return _said(read(text))
    return _said(letters.letter(text, key))

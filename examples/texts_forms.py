# ruff: noqa: E501 - a phrase reads best on one line
"""More of what customers say: order details, tool requests, addresses, summaries, refunds, letters.

Data only, like `examples.texts`.
"""

from __future__ import annotations

DETAILS: dict[str, tuple[str, ...]] = {
    "name": (
        "my name is {name}",
        "this is {name}",
        "I am {name}",
        "name: {name}",
        "{name} here",
        "(the order is|it should be) under {name}",
    ),
    "email": (
        "(my |)(email|mail|e-mail)(: | is | address is ){email}",
        "(write|answer|reply) (to|at) {email}",
        "you can (reach|find) me at {email}",
        "(I registered with|the account is) {email}",
    ),
    "order_id": (
        "(order|order number|order no.|order id)(: | is | ){order}",
        "(it is about|about|regarding|concerning) {order}",
        "(see|reference|my order) {order}",
        "the (number|id) is {order}",
    ),
    "item": (
        "I (ordered|bought|got|want) {quantity} x {product}",
        "(I ordered|I took|it was|please add) {quantity} of the {product}",
        "(item|product|article): {quantity} x {product}",
        "I need {quantity} (pieces|pcs|units) of the {product}",
    ),
}
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve")

TOOLS: dict[str, tuple[str, ...]] = {
    "track_order": (
        "where is (my |)order {order}",
        "can you track {order} (for me|please)",
        "(has|did) {order} (shipped|leave the warehouse)",
        "when (does|will) {order} arrive",
        "any news (on|about) {order}",
    ),
    "cancel_order": (
        "(please |can you |)cancel (order |){order}",
        "I do not (want|need) {order} (any more|anymore), cancel it",
        "(stop|halt) order {order} (please|before it ships)",
        "I changed my mind about {order}, (please |)cancel",
    ),
    "start_return:damaged": (
        "the {product} (from|in) {order} (came|arrived) (broken|damaged|cracked), I want to return it",
        "I (want|need|would like) to return {order}, it is (broken|damaged|cracked)",
    ),
    "start_return:wrong_item": (
        "(I got|you sent|{order} contained) (a {product}|the wrong {thing}) instead of (mine|what I chose), return {order}",
        "{order} is the wrong (item|product|colour), I (want|need) to return it",
    ),
    "start_return:too_small": (
        "(the {product} from|my) {order} (is too small|is too tight), (I want to|can I) return it",
        "{order} is too small for me, please start a return",
    ),
    "start_return:not_wanted": (
        "I (want|would like) to return {order}, I (do not like|do not need) it",
        "return {order} please, I (found a better one|do not like the {thing})",
    ),
    "check_stock": (
        "(is|do you know if) the {product} (is |)(in stock|available)",
        "(do you (have|still have)|are there) any {product} left",
        "how many {product} do you have",
        "when will the {product} be (back in stock|available again)",
    ),
    "book_callback": (
        "(please |can you |)call me (back |)(at|on) {phone} in the {slot}",
        "I prefer to (talk|speak), my number is {phone}, (any time|best) in the {slot}",
        "(ring|phone) me (at|on) {phone}, {slot} is best",
    ),
    "none:thanks": (
        "(thanks|thank you), that (is all|was all|helps) (I needed|)",
        "(perfect|great), (nothing else|that is all) for (today|now)",
    ),
    "none:which_order": (
        "where is my (order|parcel|{product})",
        "(I want to|please) cancel my (order|{product})",
        "I would like to return my {product}",
        "(track|cancel|return) my last order",
    ),
    "none:person": (
        "(can I|let me|I want to) (talk|speak) to a (human|real person|person)",
        "(are you a bot|is this a bot), I want a human",
    ),
}

ADDRESS_LEADS = (
    "please (send|ship|deliver) it to",
    "my (new |)address is",
    "(new|delivery|shipping) address:",
    "(we|I) (moved|have moved) to",
    "it should go to",
    "(ship|send) order {order} to",
    "the parcel for {name} goes to",
    "you can (find|reach) me at",
    "here is where I live:",
    "change the address of {order} to",
)
ADDRESS_TAILS = (
    "",
    "",
    "",
    "the bell says {last}",
    "leave it (with the neighbour|at the door|at the back)",
    "(from|starting) {weekday}",
    "call {phone} before delivery",
    "it is the (red|blue|green|white) house",
)

ISSUES: dict[str, tuple[str, ...]] = {
    "a damaged item": (
        "the {product} (arrived|came) (broken|damaged|cracked)",
        "my {product} (is|was) (broken|damaged|smashed) (in the box|on arrival)",
        "there is a (crack|dent) in the {product}",
    ),
    "a late delivery": (
        "the {product} is {days} days late",
        "I have been waiting for (the {product}|my parcel) since {weekday}",
        "the parcel (should have been|was promised) here on {weekday}",
    ),
    "a wrong item": (
        "I (got|received) a {other} instead of the {product}",
        "you sent (me |)the wrong (item|colour|{thing})",
        "this is not the {product} (that |)I ordered",
    ),
    "a missing part": (
        "the {product} came without the (screws|manual|lid|cable)",
        "(one part|a piece|the handle) of the {product} is missing",
        "there are parts missing (from|in) the {product}",
    ),
    "a double charge": (
        "I was charged twice for the {product}",
        "(my card|paypal) was (billed|charged) two times",
        "you took {price} twice",
    ),
}
WISHES: dict[str, tuple[str, ...]] = {
    "a refund": ("I want (my money back|a refund)", "please (refund me|give me my money back)"),
    "a replacement": (
        "please (send me|ship) a (new one|replacement)",
        "I (want|would like) (a replacement|it replaced|a new one)",
    ),
    "a voucher": (
        "(a voucher|store credit) would be (fine|enough)",
        "I would take (a voucher|store credit)",
    ),
    "a call back": ("please call me (back|today)", "(can someone|someone should) call me"),
}

BOUGHT = (
    "I (bought|ordered|got) the {product} {ago}",
    "(bought|purchased|ordered) {ago}: {product}",
    "the {product} (was delivered|came|arrived) {ago}",
    "it is about the {product} from {order}, (delivered|received) {ago}",
)
STATE: dict[str, tuple[str, ...]] = {
    "unopened": (
        "it is (still |)(unopened|sealed|in its original packaging)",
        "I (never|did not) (open|opened) (it|the box)",
        "the box is still (closed|sealed)",
    ),
    "opened": (
        "I (opened|used|tried) it (once|twice|already)",
        "the box is (open|opened)",
        "it has been (used|worn|opened)",
    ),
    "damaged": (
        "it (arrived|came) (broken|damaged|cracked)",
        "it was (broken|damaged|cracked) when I opened it",
    ),
}
SALE = ("it was (on sale|a clearance item|from the outlet)", "(a sale|an outlet|a clearance) item")

STORIES = (
    "I (saved for|looked forward to) the {product} for (months|weeks), and what came on {weekday} (was a sad thing|broke my heart).",
    "(Your courier|The driver) (threw|kicked) the box over the fence while my (mother|neighbour {neighbour}|son) was watching.",
    "I have (called|written) {days} times and every time (someone else|another agent) tells me (another|a new) story.",
    "The {product} was meant for the (wedding|birthday|farewell) of my (sister|father|best friend), and I stood there with empty hands.",
    "(Nobody|No one) (read|answered) my letter of {weekday}, and the chat (closed|hung up) on me.",
    "In {city} we (talk|speak) to each other when something goes wrong; (your people|your team) (laughed|sighed) at me.",
    "Last {month} it was the {other}, now this, and each time I was told that (I was|the customer is) the problem.",
    "I (lost|wasted) a (whole day|holiday) (waiting at the door|on the phone), without (a word|any apology).",
    "The {thing} (smells|looks) as if it had been (in a cellar|used by somebody) for years, and (my children|my cats) are afraid of it.",
    "I paid {price} for this, which is (a lot|half a week of work) for (me|us).",
)
STORY_ENDS = (
    "What do you have to say (to that|for yourselves)?",
    "I expect (a proper letter|an honest answer) from (a person|someone in charge).",
    "Please explain to me (how|why) this could happen.",
    "(Tell me why|Give me one reason why) I should (stay|order again).",
)

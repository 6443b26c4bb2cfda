# ruff: noqa: E501 - a phrase reads best on one line
"""The words by which the simulated large model tells one concern from another. Data only.

Each cue is a pattern over lower-cased text between word borders; the label with most cues wins,
the earlier one on a tie.
"""

from __future__ import annotations

Cues = dict[str, tuple[str, ...]]

ROUTE: Cues = {
    "refund_status": ("refund", "refunded", "money back", "been refunded"),
    "gift_card": (r"gift (card|certificate)", "balance", r"(card|certificate) i (sent|gave)", r"gift \w+ (number|from)"),
    "discount_code": (
        r"(discount|promo|voucher) code", "coupon", "discount", "promo", r"two codes",
    ),
    "account_access": (
        "log in|sign in|my account|account", "password", "reset", "locked|blocked|verification|login",
        "delete",
    ),
    "warranty_repair": (
        "warranty|guarantee", "repair", "spare parts?|replacement part", "broke|stopped working|fell apart",
        "claim",
    ),
    "payment_problem": (
        "charged|billed", "charge of", "declined|not accepted|keeps failing", "payment|checkout",
        "statement", "twice|two times|double",
    ),
    "change_address": (
        r"address", "i moved|have moved", r"(deliver|ship) .* (office|neighbour) instead", r"(change|update|correct|wrong|new|different|another) .*address",
        r"wrong (street|zip code|house number)", "my new place",
    ),
    "cancel_order": (
        "cancel|cancellation", "no longer want|do not want", r"(stop|halt) order", "accidentally|mistakenly",
    ),
    "return_item": (
        "return|send it back|send back", "return label", "exchange", "does not (fit|suit)",
    ),
    "order_status": (
        r"where is (my|the|order|so-)", "shipped|ship", r"arrive|get here|on its way", "tracking", "still waiting for",
        r"when will",
    ),
    "product_question": (
        "waterproof|dishwasher safe|machine washable|real leather", r"what (size|weight|colour|material)",
        "come with|include", r"how (tall|wide|heavy|big)", "work with", r"(do you have|is there) the",
        "larger size",
    ),
    "other": (
        r"(a shop|a store) in", "hiring|looking for staff", "partnership|advertising|blog article",
        "designed|drew|wrote your", "mailing list|from your newsletter", "interview|speak with your",
        "student|journalist",
    ),
}  # fmt: skip

TICKET: Cues = {
    "account": (
        "log in|sign in", "password", "loyalty points", "my account shows", "profile", "account",
    ),
    "billing": ("invoice", "charged|billed", "refund", "shipping was free|fee that was free"),
    "delivery": (
        "courier|driver|delivery", r"days late|is \d+ days", "never arrived|got lost|was delivered",
        "parcel", "was moved to",
    ),
    "quality": (
        "crack|stain|scratched|wobbles|faded", "seam|handle|zip|lid", "cheaper|thinner",
        "strange noise|smells", "defective|faulty", "came off",
    ),
}  # fmt: skip
PRIORITY: Cues = {
    "urgent": ("urgent", "solved (today|right now|within)", "is tomorrow", "immediately", "cannot wait|can not wait"),
    "high": ("this week", "answer (soon|by)", "as soon as possible", "with priority"),
    "low": ("no rush|no hurry", "whenever you have time", "small thing only|not important", "take your time"),
}  # fmt: skip
SENTIMENT: Cues = {
    "negative": (
        "annoyed|angry|disappointed|fed up|frustrated", "disgrace|ridiculous|unacceptable|worst",
        r"(never|not going to) (buy|order) here", "what a (mess|joke|shame)",
    ),
    "positive": (
        "love|really like|adore", "(great|excellent|wonderful) service", "always been|so kind|you are (great|wonderful)",
        "perfect|beautiful|lovely",
    ),
}  # fmt: skip
REPLY: Cues = {
    "partly": (
        "mostly|partly|a bit", "still (sticks|is loose)|is still loose", "(one|half) (of|works|is)", "the (other|rest) (is not|does not)",
        "better|almost there|nearly", "but i only got|still missing", "but (without|it lacks)", "the rest is", "some of|part of",
        "the first", "the second",
    ),
    "unclear": (
        "which|what (ticket|order|mail)", "do you mean|is this about", "not checked|could not check|did not look",
        "who is this|why do i get", "maybe|not sure|hard to say|i don't know", "(let me|will) (see|test)",
        "until", "(write|say) that again", "ask me on",
    ),
    "not_solved": (
        "still (broken|the same|does not|fails)", "nothing (changed|happened|came|works|has|here)",
        "is broken again", "still have no|never got|see no", "did not help", "same (problem|error)",
        "not (solved|fixed|resolved)",
    ),
    "solved": (
        "works|all good|is fine", "is perfect", "(problem|issue) .*(solved|fixed|resolved)", "did the trick|i am happy", "close (this|the ticket)",
        "nothing else|no more questions", "i have it|got it|it is here", "settled|sorted",
    ),
}  # fmt: skip
TOOL: Cues = {
    "thanks": ("thanks,? that|thank you,? that", "that (is all|was all|helps)", "nothing else"),
    "book_callback": ("call me", r"my number is", "(ring|phone) me", r"prefer to (talk|speak)"),
    "start_return": ("return", "you sent|contained|instead of", "broken|damaged|cracked"),
    "cancel_order": ("cancel", "(stop|halt) order", "changed my mind"),
    "check_stock": ("in stock", "available", "left", "how many"),
    "track_order": ("where is", "track", "shipped|leave the warehouse", r"(does|will) so-\d+ arrive", "any news"),
    "person": ("human|person", "bot"),
}  # fmt: skip
RETURN_REASON: Cues = {
    "damaged": ("broken|damaged|cracked",),
    "wrong_item": ("wrong", "instead of"),
    "too_small": ("too (small|tight)",),
    "not_wanted": ("do not (like|need)", "better one"),
}
ISSUE: Cues = {
    "a missing part": ("without the", "missing"),
    "a double charge": ("charged twice", "two times", "twice"),
    "a late delivery": ("days late", "been waiting", "should have been|was promised"),
    "a wrong item": ("instead of", "wrong", "this is not the"),
    "a damaged item": ("broken|damaged|cracked|smashed", "crack|dent"),
}
WISH: Cues = {
    "a voucher": ("voucher|store credit",),
    "a replacement": ("replacement|replaced", "new one"),
    "a refund": ("refund", "money back"),
    "a call back": ("call me",),
}
STATE: Cues = {
    "damaged": ("broken|damaged|cracked",),
    "unopened": (
        "unopened|sealed|original packaging", "(never|not) (open|opened)", "still (closed|sealed)", "closed",
    ),
    "opened": ("i (opened|used|tried)", "(is|been) (open|opened|used|worn)"),
}  # fmt: skip

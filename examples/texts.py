# ruff: noqa: E501 - a phrase reads best on one line
"""What customers say about each concern: phrases with (alternatives|like these) and {slots}.

Data only. `examples.desk` asks with them; `examples.rules` never reads this file.
"""

from __future__ import annotations

ROUTE: dict[str, tuple[str, ...]] = {
    "order_status": (
        "where is (my order|my parcel|my package|the {product}|order {order})?",
        "(has|did) (order {order}|my {product}|the {thing} for {first}) (already |)(shipped|ship)?",
        "when will (my {product}|the parcel|order {order}|my package) (arrive|get here)",
        "I am still waiting for (my {product}|order {order}|the parcel from {weekday})",
        "(the tracking|tracking for {order}|my tracking link) has not moved (since {weekday}|for {days} days)",
        "(is|could you check if) order {order} (is |)on its way",
    ),
    "cancel_order": (
        "(please |can you |I need you to |)cancel (order {order}|my order|the {product}|my {thing})",
        "I (no longer want|do not want) the {product}, (please |)cancel it (before it ships|today)",
        "(stop|halt) order {order}, I (ordered|bought) the wrong thing",
        "I (accidentally|mistakenly) ordered (two {thing} sets|it twice), cancel (one|the second one)",
        "(is it too late to|how do I|can I still) cancel (order {order}|the {product}) from {weekday}",
        "I want (a cancellation|the cancellation) of order {order}",
    ),
    "return_item": (
        "(how do I|I want to|can I|I would like to) (return|send back) (the {product}|my {thing})",
        "(where do I get|please send me|I need) a return label for (order {order}|the {product})",
        "the {product} does not (fit|suit me), (can I|I want to) send it back",
        "(I would like to exchange|can I exchange) the {product} for (a {other}|another size)",
        "how (many days|long) do I have to return the {product}",
    ),
    "refund_status": (
        "(where is|when do I get|still waiting for) my (refund|money back) for (order {order}|the {product})",
        "I sent the {product} back {days} days ago and (see no refund|have not been refunded)",
        "(has|was) the refund of {price} (been issued|processed|made)",
        "you (promised|told me) (a refund|my money back) on {weekday}, nothing (came|is on my card)",
        "the refund for {order} is (missing|late|still not there)",
    ),
    "payment_problem": (
        "my (credit card|debit card|card|paypal) (was declined|is not accepted|keeps failing) at checkout",
        "I was charged (twice|two times|double) for (order {order}|the {product})",
        "(there is|I see) a charge of {price} on my statement that (I do not know|is not mine)",
        "the (payment|checkout) (fails|gives an error|does not go through) for the {product}",
        "I was billed {price} but (the price was lower|it said less)",
    ),
    "change_address": (
        "(please |can you |)(change|update|correct) the (delivery|shipping) address (of|for) order {order}",
        "I (moved|have moved) to {city}, send order {order} to (my new place|the new address)",
        "I (typed|entered|gave) the wrong (street|zip code|house number|address) for {order}",
        "can order {order} go to (a different|another) address in {city}",
        "(deliver|ship) the {product} to my (office|neighbour) instead of my home",
    ),
    "product_question": (
        "(is|will) the {product} (be |)(waterproof|dishwasher safe|machine washable|made of real leather)",
        "what (size|weight|colour|material) is the {product}",
        "does the {product} (come with|include) (batteries|a cover|screws|a manual)",
        "(how tall|how wide|how heavy|how big) is the {product}",
        "(will the {product}|does the {thing}) work with (a {other}|the {other})",
        "(do you have|is there) the {product} in (black|white|green|size L|a larger size)",
    ),
    "discount_code": (
        "my (discount code|coupon|promo code|voucher code) (does not work|is rejected|has expired)",
        "(can I|how do I) use (two codes|a coupon) (on|for) the {product}",
        "(is there|do you have) a (student|newsletter|first order) discount (for the {product}|)",
        "I forgot to (enter|add) the (promo code|coupon) on order {order}",
        "the {days} percent (discount|coupon) was not (applied|taken off) at the till",
    ),
    "account_access": (
        "I (cannot|can't) (log in|sign in|get into my account)",
        "(how do I|please help me) reset my password",
        "my account (is locked|was locked|has been blocked) since {weekday}",
        "the (password reset|verification|login) (email|code) never (came|arrives|reached {email})",
        "(please |)change the email (on|of) my account to {email}",
        "(please |I want you to )delete my account (and data|for {email}|)",
    ),
    "warranty_repair": (
        "the {product} (broke|stopped working|fell apart) after {days} (weeks|months), is it under warranty",
        "(how long is|what does) the (warranty|guarantee) (on|of) the {product} (cover|last|)",
        "(can you|who can) repair my {product}",
        "I need (a spare part|spare parts|a replacement part) for my {product}",
        "I want to (make|file|start) a warranty claim for order {order}",
    ),
    "gift_card": (
        "(how much|what balance) is (left|still) on my gift card (from {weekday}|for {email}|of {price})",
        "(I want to buy|do you sell) a gift card (worth|of|for) {price}",
        "my gift card (number|from {first}) is (not accepted|invalid)",
        "can I pay for the {product} with a gift (card|certificate)",
        "the gift card I (sent|gave) to {email} (never arrived|was not received)",
    ),
    "other": (
        "do you have (a shop|a store) in {city}, and (when is it open|is it open on {weekday})",
        "are you (hiring|looking for staff) in {city}",
        "I (write|am writing) about (a partnership|advertising|a blog article) with your company",
        "who (designed|drew|wrote) your {month} catalogue",
        "(please |)(take me off|remove me from) your (mailing list|newsletter)",
        "I am a (student|journalist) and would like to (interview|speak with) your (founder|manager)",
    ),
}

TRIAGE: dict[str, tuple[str, ...]] = {
    "delivery": (
        "the (courier|driver|delivery) (left the {product} in the rain|came to the wrong door)",
        "order {order} (is|was) {days} days late",
        "the parcel with my {product} (never arrived|got lost|was delivered to {city})",
        "the box of the {product} (came open|was crushed) by the courier",
        "my delivery of the {thing} was moved to {weekday}",
    ),
    "quality": (
        "the {product} (has a crack|has a stain|is scratched|wobbles|is faded)",
        "the (seam|handle|zip|lid) of the {product} (broke|came off) on day {days}",
        "the {product} (looks|feels) (cheaper|thinner) than in the photo",
        "my {product} (makes a strange noise|smells of paint)",
        "the {thing} I got is (defective|faulty)",
    ),
    "billing": (
        "the invoice for {order} (shows|says) {price} (too much|more than agreed)",
        "I was charged (twice|{price} extra) for the {product}",
        "my invoice (has the wrong name|is missing the tax number) for {order}",
        "you (billed|charged) (shipping|a fee) that was free",
        "the refund of {price} (is not on|never reached) my card",
    ),
    "account": (
        "I cannot (log in|sign in) to my account (with {email}|any more)",
        "the password (link|mail) for {email} does not work",
        "my loyalty points (are gone|vanished|dropped) from the account",
        "my account shows (the orders of someone else|an old email|the wrong name)",
        "my profile (page|picture) does not (load|save)",
    ),
}
PRIORITY: dict[str, tuple[str, ...]] = {
    "urgent": (
        "(this is urgent|it is urgent)",
        "I need (this|it) solved (today|right now|within the hour)",
        "(my wedding|our event|the party) is tomorrow",
        "(call|answer) me immediately",
        "this (can not|cannot) wait",
    ),
    "high": (
        "please (look at|fix|answer) it this week",
        "I need an answer (soon|by {weekday})",
        "as soon as possible please",
        "please (treat|handle) this with priority",
    ),
    "low": (
        "(no rush|no hurry|there is no rush)",
        "(answer|reply) whenever you have time",
        "it is (a small thing only|not important)",
        "take your time",
    ),
    "normal": ("",),
}
SENTIMENT: dict[str, tuple[str, ...]] = {
    "negative": (
        "I am (really |very |so |)(annoyed|angry|disappointed|fed up|frustrated)",
        "this is (a disgrace|ridiculous|unacceptable|the worst service)",
        "I (will never|am not going to) (buy|order) here again",
        "what a (mess|joke|shame)",
    ),
    "positive": (
        "I (love|really like|adore) your (shop|store|things) (otherwise|anyway|)",
        "(otherwise|apart from that) (great|excellent|wonderful) service",
        "you (have always been|are) (great|wonderful|so kind)",
        "the rest of the order is (perfect|beautiful|lovely)",
    ),
    "neutral": ("",),
}

FIXES: tuple[str, ...] = (
    "Hello {first}, we have sent a new {product}; it (left|shipped) on {weekday}.",
    "Hello {first}, the refund of {price} for order {order} is on its way to your card.",
    "Hello {first}, we reset your password; the mail went to {email}.",
    "Hello {first}, we moved the delivery of order {order} to {weekday}.",
    "Hello {first}, the missing part for your {product} was posted on {weekday}.",
    "Hello {first}, the code for {price} off is now active on your account.",
)
ANSWERS: dict[str, tuple[str, ...]] = {
    "solved": (
        "(yes|yep|great), (it works|that works|all good|everything is fine) now",
        "the (new |){product} (came|arrived) and is perfect",
        "(problem|issue) with the {thing} (solved|fixed|resolved)",
        "that did the trick with the {thing}, (I am happy|you can close this)",
        "(I have it|got it|it is here), (nothing else|no more questions)",
        "(thanks {first}, |)you can close the ticket (for|about) {order}",
        "(the money|{price}) is (here|on my card), all (settled|sorted)",
    ),
    "partly": (
        "it (works|is better) (mostly|partly|a bit), but the {thing} (still sticks|is still loose)",
        "(one|half) of (it|them|the two) (is fine|works), the (other|rest) (is not|does not) since {weekday}",
        "(better|almost there|nearly), but (I only got {price}|the lid is still missing)",
        "the {product} (came|arrived), but (without|it lacks) the (screws|manual|cable)",
        "(some|part) of (the money|the order) is here, the rest is (missing|open)",
        "the first (problem|issue) is gone, the second (one |)is (not|still there)",
    ),
    "not_solved": (
        "no, (it is still broken|still the same|nothing (changed|happened|came))",
        "(the {product}|it) (still does not work|still fails|is broken again)",
        "I (still have no|never got the|see no) ({product}|refund|mail|parcel)",
        "(that|this) did not help (at all |)with the {thing}",
        "(nothing works|nothing has arrived|nothing here) since {weekday}",
        "same (problem|error) as (before|on {weekday})",
        "not (solved|fixed|resolved), {order} (is as it was|looks the same)",
    ),
    "unclear": (
        "(which|what) (ticket|order|mail) (is this about|do you mean)",
        "I (have not checked|could not check|did not look) yet, (I am away|ask me on {weekday})",
        "(who is this|why do I get this mail|is this about {order})",
        "(maybe|I am not sure|hard to say|I don't know), (I will|let me) (see|test it) on {weekday}",
        "I (will be|am) in {city} until {weekday} and (will|can only) (test|look at) the {thing} then",
        "(could|can) you (write|say) that again (in simple words|please)",
    ),
}

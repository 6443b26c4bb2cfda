"""The simulated large model's answers to open letters: long, and different for every letter.

What is picked depends on the details of the letter and on a digest of the whole prompt, so that
there is nothing in it for a small model to learn.
"""

from __future__ import annotations

import random

from examples.wording import THINGS

_NOUNS = (
    (
        "courier|driver|box|fence|story|wedding|birthday|farewell|letter|chat|day|holiday|phone|smell|"
        "cellar|price|order|{thing}|visit|delivery|call|answer|wait"
    )
    .replace("{thing}", "|".join(THINGS))
    .split("|")
)

_HEARD = (
    "Thank you for taking the time to describe it so exactly.",
    "I have read your letter twice, and I understand why you wrote it.",
    "Your letter was passed to me this morning and I put other things aside for it.",
    "It is not easy to read what you went through with us, and it should not be.",
)
_SORRY = (
    "What you write about the {a} should never have happened, and I am sorry for it.",
    "I apologise for the {a}; there is no excuse for the {b} that came with it.",
    "That the {a} ended in such a way is our fault alone, and I regret it very much.",
    "You had every right to expect better when it came to the {a} and the {b}.",
)
_WHY = (
    "As far as I can see, a note about the {b} was lost between two of our teams.",
    "We changed our warehouse system in the same week, and the {b} slipped through.",
    "I spoke to the people involved: nobody took responsibility for the {b}, which explains much.",
    "The partner who handles the {b} for us has had many new staff, and we failed to check.",
    "My colleagues meant well with the {b}, but they did not listen, and I told them so.",
)
_OFFER = (
    "I would like to refund half of the price and collect the {c} at a time that suits you.",
    "Please keep the {c}; a new one leaves our house today, at no cost to you.",
    "May I offer you a voucher of {n} dollars, and my direct line for whatever is still open?",
    "If you allow, I will come back to you within {n} hours with a date for the {c}.",
    "The full amount goes back to you today, and the next {n} months of shipping are on us.",
)
_CLOSE = (
    "I hope that you will give us the chance to do it right.",
    "Whatever you decide, thank you for being so frank.",
    "Do write to me if anything remains unsaid.",
    "I would be glad to hear whether this is what you had in mind.",
)


def letter(text: str, key: str) -> str:
    """A personal reply of 80 to 160 words."""
    rng = random.Random(key)
    words = [noun for noun in _NOUNS if noun in text] or ["matter"]
    lines = [rng.choice(_HEARD)]
    for pool, count in ((_SORRY, 2), (_WHY, rng.randint(1, 2)), (_OFFER, rng.randint(1, 2))):
        for line in rng.sample(pool, count):
            a, b, c = (rng.choice(words) for _ in range(3))
            lines.append(line.format(a=a, b=b, c=c, n=rng.randint(2, 60)))
    lines.append(rng.choice(_CLOSE))
    return f"Dear customer,\n\n{' '.join(lines)}\n\nYour customer care team"

# ruff: noqa: SIM905 - word lists read best as text
"""How customers write: who they are, what they bought, and the noise around what they mean.

A phrase such as `"(where is|any news on) my {product}"` stands for every choice of its
alternatives and slots. `Voice` draws all of it from one seeded generator.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import accumulate

COLOURS = (
    "black white red blue green grey brown navy beige yellow orange purple silver golden striped "
    "oak walnut pine bamboo steel copper brass glass ceramic leather cotton linen wool velvet denim"
).split()
THINGS = (
    "lamp|desk lamp|floor lamp|bookcase|shelf|coffee table|bar stool|armchair|rug|door mat|curtain|"
    "cushion|blanket|duvet cover|bath towel|mirror|picture frame|wall clock|vase|plant pot|kettle|"
    "toaster|blender|coffee grinder|frying pan|saucepan|knife set|cutting board|mug|teapot|"
    "dinner plate|salad bowl|water bottle|lunch box|backpack|travel bag|wallet|belt|scarf|"
    "rain jacket|sweater|hoodie|running shoe|sandal|sun hat|umbrella|headphones|keyboard|"
    "phone case|laptop sleeve|yoga mat|dumbbell|tent|camping chair|garden hose|bird feeder"
).split("|")
PLACES = (
    "Dayton OH 454|Columbus OH 432|Austin TX 787|Houston TX 770|Dallas TX 752|Denver CO 802|"
    "Boulder CO 803|Portland OR 972|Salem OR 973|Seattle WA 981|Tacoma WA 984|Boston MA 021|"
    "Worcester MA 016|Albany NY 122|Buffalo NY 142|Rochester NY 146|Chicago IL 606|Peoria IL 616|"
    "Atlanta GA 303|Savannah GA 314|Miami FL 331|Tampa FL 336|Orlando FL 328|Phoenix AZ 850|"
    "Tucson AZ 857|Sacramento CA 958|Oakland CA 946|Fresno CA 937|Madison WI 537|Detroit MI 482|"
    "Lansing MI 489|Nashville TN 372|Memphis TN 381|Richmond VA 232|Norfolk VA 235"
).split("|")
STATES = {
    "OH": "Ohio", "TX": "Texas", "CO": "Colorado", "OR": "Oregon", "WA": "Washington",
    "MA": "Massachusetts", "NY": "New York", "IL": "Illinois", "GA": "Georgia", "FL": "Florida",
    "AZ": "Arizona", "CA": "California", "WI": "Wisconsin", "MI": "Michigan", "TN": "Tennessee",
    "VA": "Virginia",
}  # fmt: skip
SUFFIXES = "St|Street|Ave|Avenue|Rd|Road|Ln|Lane|Dr|Drive|Blvd|Court|Way|Place".split("|")
TREES = "Oak Maple Cedar Elm Pine Birch River Lake Hill Park Mill Church Meadow Spring".split()
MAIL = "gmail.com outlook.com yahoo.com icloud.com proton.me fastmail.com mail.com".split()

OPENERS = (
    "Hi,|Hello,|Hi there,|Hey,|Good morning,|Good evening,|Dear team,|Hi team,|Hello support,|"
    "Hey there,|Good day,|Hello again,|Sorry to bother you,|Quick one:|Hi, me again,|"
    "To whom it may concern,|Hi folks,|Morning,|Hello shop team,|Greetings,"
).split("|")
FILLERS = (
    "I (bought it|got it) for my (sister|brother|mother|father|neighbour|flatmate).",
    "It is (a present|a birthday present|a gift) for my (niece|nephew|cousin|colleague|aunt).",
    "I have been (shopping with you|your customer) since 20(12|15|17|18|19|20|21|22|23).",
    "This is my (first|second|third|fourth|fifth) order (this year|this month|with you).",
    "(I wrote to you on {weekday}|I tried the chat on {weekday}|I called on {weekday}).",
    "(I live|We live|I stay) (near|close to) {city}.",
    "(We just moved into a new flat|We are furnishing the office|We redecorate the kitchen).",
    "My (partner|son|daughter|roommate) (picked|chose) the {thing}.",
    "I (saw|found) it in your {month} (catalogue|newsletter).",
    "(Just so you know|For context|By the way), I ordered on {weekday}.",
)
CLOSERS = (
    "Thanks!|Thank you.|Thanks a lot.|Thanks in advance.|Cheers|Best regards|Kind regards|Best|"
    "Regards|Many thanks|Have a nice day|Looking forward to your answer.|Talk soon|Thx|"
    "Best wishes|Yours|Let me know.|Please advise.|Greetings from {city}|Have a good {weekday}"
).split("|")
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December"
).split()
_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")


Weighted = tuple[list[str], list[float]]


@cache
def _names() -> tuple[Weighted, Weighted]:
    """American first and last names, each with its cumulative frequencies."""
    from faker.providers.person.en_US import Provider

    first, last = Provider.first_names, Provider.last_names
    weighted = [(list(names), list(accumulate(names.values()))) for names in (first, last)]
    return weighted[0], weighted[1]


def _draw(rng: random.Random, names: Weighted) -> str:
    return rng.choices(names[0], cum_weights=names[1])[0]


class Voice:
    """One customer: a name, an order, a product, and a way of writing. Deterministic by seed."""

    def __init__(self, seed: str, today: date) -> None:
        self.rng = random.Random(seed)
        self.today = today
        first, last = _names()
        self.first, self.last = _draw(self.rng, first), _draw(self.rng, last)
        self.name = f"{self.first} {self.last}"
        self.neighbour = _draw(self.rng, last)
        self.lower = self.rng.random() < 0.3
        self.slots = self._slots()

    def _slots(self) -> dict[str, str]:
        rng = self.rng
        thing = rng.choice(THINGS)
        dot = rng.choice([".", "_", "", "-"])
        number = rng.choice(["", "", str(rng.randint(1, 99))])
        return {
            "name": self.name,
            "first": self.first,
            "last": self.last,
            "neighbour": self.neighbour,
            "email": f"{self.first}{dot}{self.last}{number}@{rng.choice(MAIL)}".lower(),
            "phone": f"({rng.randint(201, 989)}) 555-{rng.randint(100, 9999):04d}",
            "order": f"SO-{rng.randint(100_000, 999_999)}",
            "thing": thing,
            "product": f"{rng.choice(COLOURS)} {thing}",
            "other": f"{rng.choice(COLOURS)} {rng.choice(THINGS)}",
            "weekday": rng.choice(WEEKDAYS),
            "month": rng.choice(MONTHS),
            "city": rng.choice(PLACES).rsplit(" ", 2)[0],
            "days": str(rng.randint(2, 28)),
            "price": f"${rng.randint(6, 240)}.{rng.choice(['00', '50', '90', '95', '99'])}",
        }

    def chance(self, share: float) -> bool:
        """True in `share` of the cases."""
        return self.rng.random() < share

    def day_before(self, days: int) -> str:
        """The date so many days before today, ISO."""
        return (self.today - timedelta(days=days)).isoformat()

    def say(self, phrases: str | Sequence[str], more: Mapping[str, str] | None = None) -> str:
        """One phrase with its alternatives chosen, its typos made and its slots filled."""
        text = phrases if isinstance(phrases, str) else self.rng.choice(phrases)
        while _CHOICE.search(text):
            text = _CHOICE.sub(lambda found: self.rng.choice(found[1].split("|")), text)
        if self.chance(0.15):
            text = self._typo(text)
        if self.lower:
            text = text.lower()
        values = {**self.slots, **(more or {})}
        return _SLOT.sub(lambda slot: values[slot[1]], text)

    def _typo(self, text: str) -> str:
        """Swap, drop or double one letter inside one of the longer plain words."""
        words = text.split(" ")
        long = [i for i, word in enumerate(words) if len(word) > 5 and word.isalpha()]
        if not long:
            return text
        at = self.rng.choice(long)
        words[at] = self.rng.choice(sorted(misspellings(words[at])))
        return " ".join(words)

    def message(self, core: str, *, fill: float = 0.35, close: float = 0.4) -> str:
        """The core of a message inside a greeting, small talk and a goodbye."""
        core = core if core[-1] in ".?!" else core + self.rng.choice([".", ".", "", "!"])
        parts = [core if self.lower else core[0].upper() + core[1:]]
        if self.chance(fill):
            parts.insert(self.rng.choice([0, 1]), self.say(FILLERS))
        if self.chance(0.5):
            parts.insert(0, self.say(OPENERS))
        if self.chance(close):
            end = self.say(CLOSERS)
            sign = end[-1] not in ".!" and self.chance(0.7)
            parts.append(f"{end}, {self.first}" if sign else end)
        text = parts[0]
        for part in parts[1:]:
            text += (" " if text[-1] in ".?!,:" else "\n") + part
        return text

    def address(self) -> dict[str, str]:
        """A street address: street, unit (may be empty), city, state code, zip."""
        rng = self.rng
        city, state, prefix = rng.choice(PLACES).rsplit(" ", 2)
        road = rng.choice([rng.choice(TREES), self.neighbour, self.neighbour])
        unit = f"{rng.choice(['Apt', 'Unit', 'Suite'])} {rng.choice(['', 'B', 'C'])}"
        return {
            "street": f"{rng.randint(2, 9899)} {road} {rng.choice(SUFFIXES)}",
            "unit": f"{unit}{rng.randint(1, 48)}" if self.chance(0.35) else "",
            "city": city,
            "state": state,
            "zip": f"{prefix}{rng.randint(1, 99):02d}",
        }


def misspellings(word: str) -> set[str]:
    """Return what a hurried writer makes of a word.

    Two inner letters swapped, one dropped or doubled.
    """
    found = set()
    for i in range(1, len(word) - 1):
        found.add(word[:i] + word[i + 1 :])
        found.add(word[:i] + word[i] + word[i:])
        if i < len(word) - 2:
            found.add(word[:i] + word[i + 1] + word[i] + word[i + 2 :])
    return found - {word}

"""The probe: personal data is injected in the day's own texts, and what survives is counted.

`probe` plants values of every type in sampled calls, as a sentence, inside a line and as a JSON
value, sends the calls through the same scanner and cleaner, and looks for the injected values in
what comes out. `tasks.deidentify` refuses the night when a type's recall is below its floor.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from random import Random

from tasks.core.records import Call, Json
from tasks.deidentify.cleaner import norm
from tasks.deidentify.wordlists import like, words

Make = Callable[[Random], str]


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of the injected values of a type that were found, with a 95 % interval."""

    kind: str
    injected: int
    found: int
    low: float
    high: float

    @property
    def recall(self) -> float:
        """The share that was found."""
        return self.found / self.injected if self.injected else 1.0


def interval(found: int, injected: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 %."""
    from scipy.stats import beta

    if not injected:
        return 0.0, 1.0
    low = float(beta.ppf(0.025, found, injected - found + 1)) if found else 0.0
    high = float(beta.ppf(0.975, found + 1, injected - found)) if found < injected else 1.0
    return low, high


def _digits(rng: Random, count: int) -> str:
    return str(rng.randint(1, 9)) + "".join(rng.choices("0123456789", k=count - 1))


def _chars(rng: Random, count: int) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=count))


def _name(rng: Random) -> tuple[str, str]:
    given = rng.choice(words(f"names {rng.choice(('female', 'male'))}"))
    family = rng.choice(words("names family"))
    if rng.random() < 0.3:  # a name that no list holds
        family = like("Xx", family[:3].lower() + rng.choice(words("names family"))[2:].lower())
    return given, family


def _person(rng: Random) -> str:
    name = " ".join(_name(rng))
    return name.lower() if rng.random() < 0.15 else name


def _email(rng: Random) -> str:
    given, family = _name(rng)
    host = rng.choice(("gmail.com", "example.com", f"{family}.org"))
    return f"{given}.{family}{_digits(rng, 2)}@{host}".lower()


def _address(rng: Random) -> str:
    road = rng.choice(("Street", "Avenue", "Road", "Lane", "Drive", "Ave", "St"))
    town, street = (rng.choice(words("names family")) for _ in range(2))
    state = rng.choice(("CA", "TX", "NY"))
    return f"{_digits(rng, 3)} {street} {road}, {town}ville, {state} {_digits(rng, 5)}"


def _card(rng: Random) -> str:
    from tasks.deidentify.keyed_random import luhn

    body = "4" + _digits(rng, 14)
    return next(body + str(d) for d in range(10) if luhn(body + str(d)))


def _iban(rng: Random) -> str:
    body = _digits(rng, 18)
    return f"DE{98 - int(body + '131400') % 97:02d}{body}"


def _phone(rng: Random) -> str:
    area, middle, last = f"{rng.randint(201, 989)}", f"{rng.randint(201, 989)}", _digits(rng, 4)
    return rng.choice(("+1 {}-{}-{}", "({}) {}-{}", "{}-{}-{}")).format(area, middle, last)


def _birth(rng: Random) -> str:
    return f"{rng.randint(1950, 1998)}-{rng.randint(1, 12):02d}-{rng.randint(10, 28)}"


def _ssn(rng: Random) -> str:
    return f"{rng.randint(100, 599)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"


def _handle(rng: Random) -> str:
    return "_".join((*_name(rng), _digits(rng, 4))).lower()


@dataclass(frozen=True, slots=True)
class Plant:
    """A type's made-up values, and the sentences and JSON keys that they stand in."""

    make: Make
    sentences: tuple[str, ...]
    keys: tuple[str, ...]


PLANTS: Mapping[str, Plant] = {
    "PERSON": Plant(
        _person,
        ("My name is {}.", "{} called about this.", "Please ask {} first.", "Thanks, {}"),
        ("name", "customer_name", "passenger"),
    ),
    "EMAIL_ADDRESS": Plant(
        _email, ("Write to {}.", "my mail is {}", "({})"), ("email", "contact", "note")
    ),
    "PHONE_NUMBER": Plant(
        _phone, ("Call me at {}.", "phone {}", "My number is {}."), ("phone", "phone_number")
    ),
    "ADDRESS": Plant(
        _address,
        ("I live at {}.", "Ship it to {}.", "Address: {}"),
        ("address", "shipping_address"),
    ),
    "BIRTH_DATE": Plant(_birth, ("I was born on {}.", "DOB: {}"), ("dob", "date_of_birth")),
    "CREDIT_CARD": Plant(_card, ("My card is {}.", "Pay with {}."), ("card_number", "note")),
    "IBAN_CODE": Plant(_iban, ("Refund to IBAN {}.", "{}"), ("iban", "note")),
    "US_SSN": Plant(_ssn, ("My SSN is {}.", "social security number {}"), ("ssn",)),
    "CARD_LAST_FOUR": Plant(
        lambda r: _digits(r, 4), ("the visa ending in {}", "card ending with {}"), ("last_four",)
    ),
    "USERNAME": Plant(_handle, ("My user id is {}.", "I am {}"), ("user_id", "username")),
    "PASSWORD": Plant(
        lambda r: f"{_chars(r, 5)}!{_digits(r, 2)}",
        ("my password is {}", "password: {}"),
        ("password",),
    ),
    "SECRET": Plant(
        lambda r: rng_secret(r),
        ("Use the key {}.", "api_key={}", "Authorization: Bearer {}"),
        ("api_key", "note"),
    ),
    "IP_ADDRESS": Plant(
        lambda r: ".".join(str(r.randint(11, 126)) for _ in range(4)), ("from IP {}",), ("ip",)
    ),
    "ID_NUMBER": Plant(
        lambda r: f"{_chars(r, 2).upper()}{_digits(r, 7)}",
        ("passport number {}", "my driver's license is {}"),
        ("passport_number",),
    ),
}


def rng_secret(rng: Random) -> str:
    """A key as some provider writes it."""
    prefix = rng.choice(("sk-proj-", "ghp_", "AKIA", "glpat-", "xoxb-", "sk_live_"))
    if prefix == "AKIA":
        return prefix + _chars(rng, 15).upper() + "7"
    return prefix + _chars(rng, 35) + "7"


def plant(call: Call, value: str, how: Plant, rng: Random) -> Call:
    """The call with a value injected in its last user message: as a sentence, a line or JSON."""
    messages = [dict(m) for m in call.messages]
    users = [m for m in messages if m.get("role") == "user" and isinstance(m.get("content"), str)]
    if not users:
        messages.append({"role": "user", "content": ""})
    target = users[-1] if users else messages[-1]
    text, draw = str(target["content"]), rng.random()
    sentence = rng.choice(how.sentences).format(value)
    if draw < 0.3:
        text = _with_json(text, rng.choice(how.keys), value)
    elif draw < 0.65:
        text = f"{text} {sentence}"
    else:
        lines = text.split("\n")
        lines.insert(rng.randint(0, len(lines)), sentence)
        text = "\n".join(lines)
    target["content"] = text
    return replace(call, request=call.request | {"messages": messages})


def _with_json(text: str, key: str, value: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return json.dumps(document | {key: value})
    body: Json = {"id": 4711, key: value, "status": "open"}
    return f"{text}\n{json.dumps(body)}"


def injected(
    calls: Sequence[Call], per_kind: int, again: int, seed: int
) -> list[tuple[str, str, Call]]:
    """Calls with an injected value each: type, value, call; each is a conversation of its own.

    Half of the values of a type occur once. The others are one value that `again` calls share in
    the same words, as somebody's signature or in a prompt that names its user: whoever writes often
    is no template.
    """
    rng = Random(seed)
    order = list(calls)
    rng.shuffle(order)
    source = cycle(order or [Call(id="", at=0.0, source="", request={"messages": []}, reply={})])
    out = []
    for kind, how in PLANTS.items():
        once = [how.make(rng) for _ in range(per_kind - per_kind // 2)]
        texts = [(value, plant(next(source), value, how, rng)) for value in once]
        often, sentence = how.make(rng), rng.choice(how.sentences)
        texts += [(often, _signed(next(source), sentence.format(often), n)) for n in range(again)]
        for number, (value, call) in enumerate(texts):
            out.append((kind, value, replace(call, conversation=f"probe:{kind}:{number}")))
    return out


def _signed(call: Call, line: str, number: int) -> Call:
    """The call with a line of its own at the end of the user's words, or of the prompt's."""
    role = "system" if number % 4 == 3 else "user"
    messages = [dict(m) for m in call.messages]
    mine = [m for m in messages if m.get("role") == role and isinstance(m.get("content"), str)]
    if mine:
        mine[-1]["content"] = f"{mine[-1]['content']}\n{line}"
    else:
        messages.insert(0 if role == "system" else len(messages), {"role": role, "content": line})
    return replace(call, request=call.request | {"messages": messages})


def survives(value: str, clean: Call) -> bool:
    """Return whether an injected value is still there, in any writing."""
    texts = [str(m.get("content") or "") for m in clean.messages]
    return norm(value) in norm("\n".join(texts))


def recalls(results: Sequence[tuple[str, bool]]) -> dict[str, Recall]:
    """Recall per type from (type, whether it was found)."""
    out = {}
    for kind in dict.fromkeys(k for k, _ in results):
        hits = [hit for k, hit in results if k == kind]
        low, high = interval(sum(hits), len(hits))
        out[kind] = Recall(kind, len(hits), sum(hits), round(low, 4), round(high, 4))
    return out

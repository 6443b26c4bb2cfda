"""Random values to copy and to normalise: names, addresses, ids, dates, amounts. All made up.

Used by `bases.synth`; `make(Random(1), "email")` is an e-mail address.
"""

import calendar
import string
from collections.abc import Callable
from random import Random

from bases.wordlists import faker_words, pick, words

Maker = Callable[[Random], str]
Pair = tuple[str, str]  # as written in the text, as wanted in the answer

MONTHS = list(calendar.month_name)[1:]
DAYS = list(calendar.day_name)
SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}


def digits(rng: Random, n: int) -> str:
    """A number of `n` digits."""
    return str(rng.randrange(10 ** (n - 1), 10**n))


def pseudo(rng: Random, syllables: int = 0) -> str:
    """A word that nobody has seen, so that copying is learned and not a list of names."""
    n = syllables or 1 + int(rng.random() * 3)
    return "".join(
        pick(rng, words("onsets")) + pick(rng, words("vowels")) + pick(rng, words("codas"))
        for _ in range(n)
    )


def code(rng: Random, alphabet: str, n: int) -> str:
    """`n` letters of the alphabet given."""
    return "".join(alphabet[int(rng.random() * len(alphabet))] for _ in range(n))


def first(rng: Random) -> str:
    """A first name, known or made up."""
    return pick(rng, faker_words("first")) if rng.random() < 0.75 else pseudo(rng).capitalize()


def last(rng: Random) -> str:
    """A last name, known or made up."""
    roll = rng.random()
    if roll < 0.7:
        return pick(rng, faker_words("last"))
    name = pseudo(rng, 2).capitalize()
    return f"{name}-{pick(rng, faker_words('last'))}" if roll > 0.96 else name


def person(rng: Random) -> str:
    """A full name."""
    roll = rng.random()
    if roll < 0.08:
        return f"{first(rng)} {rng.choice(string.ascii_uppercase)}. {last(rng)}"
    if roll < 0.14:
        return f"{pick(rng, ('Dr.', 'Mr.', 'Mrs.', 'Ms.', 'Prof.'))} {last(rng)}"
    return f"{first(rng)} {last(rng)}"


def city(rng: Random) -> str:
    """A made-up place."""
    roll = rng.random()
    if roll < 0.35:
        return first(rng) + pick(rng, faker_words("city_suffix"))
    if roll < 0.5:
        return f"{pick(rng, faker_words('city_prefix'))} {last(rng)}"
    if roll < 0.7:
        return last(rng)
    end = pick(rng, ("burg", "ford", "stadt", "ham", "field", "port")) if roll > 0.85 else ""
    return f"{pseudo(rng, 2).capitalize()}{end}"


def domain(rng: Random) -> str:
    """A made-up internet domain."""
    name = pick(rng, faker_words("word")) if rng.random() < 0.5 else pseudo(rng, 2)
    tld = pick(rng, ("com", "com", "net", "org", "io", "co.uk", "de", "example", "info"))
    return f"{name}.{tld}" if rng.random() < 0.7 else f"{name}{pick(rng, ('-', ''))}mail.{tld}"


def email(rng: Random) -> str:
    """An e-mail address."""
    a, b = first(rng).lower(), last(rng).lower()
    n = digits(rng, 1 + int(rng.random() * 3)) if rng.random() < 0.4 else ""
    forms = (f"{a}.{b}{n}", f"{a}{b}{n}", f"{a[0]}{b}{n}", f"{a}_{b}{n}", f"{b}{n}", f"{a}{n}")
    return f"{pick(rng, forms)}@{domain(rng)}"


def phone(rng: Random) -> str:
    """A phone number as people write it."""
    return phone_pair(rng)[0]


def phone_pair(rng: Random) -> Pair:
    """A phone number as written and as plain digits."""
    a, b, c = digits(rng, 3), digits(rng, 3), digits(rng, 4)
    cc = pick(rng, ("", "", "+1 ", "+44 ", "+49 ", "001-"))
    forms = (f"({a}) {b}-{c}", f"{a}-{b}-{c}", f"{a}.{b}.{c}", f"{a} {b} {c}", f"{a}{b}{c}")
    text = cc + pick(rng, forms)
    plus = "+" if text[0] == "+" else ""
    return text, plus + "".join(ch for ch in text if ch.isdigit())


def zip_code(rng: Random) -> str:
    """A postal code, American or British in shape."""
    up = string.ascii_uppercase
    if rng.random() < 0.75:
        return digits(rng, 5)
    return f"{code(rng, up, 2)}{digits(rng, 1)} {digits(rng, 1)}{code(rng, up, 2)}"


def street(rng: Random) -> str:
    """House number, street and sometimes a unit."""
    name = last(rng) if rng.random() < 0.7 else f"{first(rng)} {last(rng)}"
    unit = f" {pick(rng, ('Apt.', 'Suite', 'Unit', 'Flat'))} {digits(rng, 2)}"
    kind = pick(rng, words("streets"))
    return f"{rng.randrange(1, 9999)} {name} {kind}{unit if rng.random() < 0.2 else ''}"


def address(rng: Random) -> str:
    """Street and city in one line."""
    return f"{street(rng)}, {city(rng)}" + (f", {zip_code(rng)}" if rng.random() < 0.5 else "")


def order_id(rng: Random) -> str:
    """An order, ticket or invoice number."""
    up = string.ascii_uppercase
    roll, n = rng.random(), 4 + int(rng.random() * 5)
    if roll < 0.35:
        return f"{code(rng, up, 1 + int(rng.random() * 3))}-{digits(rng, n)}"
    if roll < 0.55:
        prefix = pick(rng, ("ORD", "INV", "PO", "REF", "TK", "CASE"))
        return f"{prefix}{pick(rng, '-_#')}{digits(rng, n)}"
    if roll < 0.75:
        return f"#{digits(rng, n)}"
    return digits(rng, n + 2) if roll < 0.87 else code(rng, up + string.digits, n + 2)


def uuid(rng: Random) -> str:
    """An id that only machines read."""
    h = f"{rng.getrandbits(128):032x}"
    roll = rng.random()
    if roll < 0.4:
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
    return h[: 8 + int(rng.random() * 9)] if roll < 0.8 else f"{pseudo(rng, 1)}_{h[:10]}"


def date(rng: Random) -> str:
    """A date as people write it."""
    return date_pair(rng)[0]


def date_pair(rng: Random) -> Pair:
    """A date as written and in ISO form."""
    y, m, d = rng.randrange(1960, 2031), 1 + int(rng.random() * 12), 1 + int(rng.random() * 28)
    name = MONTHS[m - 1]
    end = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(d, "th")
    forms = (
        f"{y}-{m:02d}-{d:02d}",
        f"{d}.{m}.{y}",
        f"{name} {d}, {y}",
        f"{d} {name[:3]} {y}",
        f"{d} {name} {y}",
        f"{name[:3]} {d} {y}",
        f"the {d}{end} of {name} {y}",
        f"{name} {d}{end} {y}",
        f"{y}/{m:02d}/{d:02d}",
        f"{d:02d}.{m:02d}.{y}",
    )
    return pick(rng, forms), f"{y}-{m:02d}-{d:02d}"


def time(rng: Random) -> str:
    """A time of day as people write it."""
    return time_pair(rng)[0]


def time_pair(rng: Random) -> Pair:
    """A time as written and on the 24-hour clock."""
    h, m = int(rng.random() * 24), pick(rng, (0, 0, 15, 30, 45, int(rng.random() * 60)))
    half, h12 = ("am" if h < 12 else "pm"), (h % 12 or 12)
    short = f"{h12} {half}" if m == 0 else f"{h12}:{m:02d} {half}"
    return pick(rng, (f"{h:02d}:{m:02d}", short, short.replace(" ", ""))), f"{h:02d}:{m:02d}"


def amount(rng: Random) -> str:
    """An amount of money as people write it."""
    return amount_pair(rng)[0]


def amount_pair(rng: Random) -> Pair:
    """An amount as people write it, and as `number currency`."""
    whole = rng.randrange(1, 10 ** (1 + int(rng.random() * 4)) + 1)
    cents = f".{int(rng.random() * 100):02d}" if rng.random() < 0.6 else ""
    sign = pick(rng, list(SIGNS))
    shown = f"{whole:,}{cents}" if rng.random() < 0.4 else f"{whole}{cents}"
    if rng.random() < 0.6:
        return pick(
            rng, (f"{sign}{shown}", f"{shown}{sign}", f"{sign} {shown}")
        ), f"{whole}{cents} {SIGNS[sign]}"
    iso = pick(rng, words("codes"))
    return pick(rng, (f"{shown} {iso}", f"{iso} {shown}")), f"{whole}{cents} {iso}"


def card(rng: Random) -> str:
    """A card number, sometimes masked."""
    d = digits(rng, 16)
    groups = pick(rng, (" ", "-", "")).join(d[i : i + 4] for i in range(0, 16, 4))
    return groups if rng.random() < 0.7 else f"{d[:4]} **** **** {d[-4:]}"


def ip(rng: Random) -> str:
    """An IPv4 address."""
    return ".".join(str(int(rng.random() * 256)) for _ in range(4))


def company(rng: Random) -> str:
    """A made-up company."""
    name = last(rng) if rng.random() < 0.6 else pseudo(rng, 2).capitalize()
    roll = rng.random()
    if roll < 0.4:
        return f"{name} {pick(rng, faker_words('company_suffix'))}"
    return (
        f"{name} {pick(rng, ('Group', 'Bank', 'Foods', 'Labs', 'Travel', 'Motors', 'Media'))}"
        if roll < 0.7
        else name
    )


def number(rng: Random) -> str:
    """A count, in digits or as a word."""
    if rng.random() < 0.25:
        return pick(rng, words("counts")[1:])
    return str(rng.randrange(2, 10 ** (1 + int(rng.random() * 3)) + 2))


def flight(rng: Random) -> str:
    """A flight number."""
    return f"{code(rng, string.ascii_uppercase, 2)}{pick(rng, (' ', ''))}{digits(rng, 3)}"


def url(rng: Random) -> str:
    """A made-up link."""
    return f"{pick(rng, ('https://', 'http://', 'www.'))}{domain(rng)}/{pseudo(rng, 2)}"


def job(rng: Random) -> str:
    """An occupation."""
    return pick(rng, faker_words("job")).lower()


MAKERS: dict[str, Maker] = {
    "first_name": first, "last_name": last, "person": person, "city": city, "email": email,
    "phone": phone, "zip": zip_code, "street": street, "address": address, "order_id": order_id,
    "uuid": uuid, "date": date, "time": time, "amount": amount, "card": card, "ip": ip,
    "company": company, "number": number, "flight": flight, "url": url, "job": job,
    "country": lambda r: pick(r, faker_words("country")),
    "state": lambda r: pick(r, faker_words("state")),
    "digits4": lambda r: digits(r, 4), "when": lambda r: pick(r, words("when")),
    "language": lambda r: pick(r, words("languages")),
    "currency": lambda r: pick(r, words("currencies")),
    "genre": lambda r: pick(r, words("genres")), "month": lambda r: pick(r, MONTHS),
    "weekday": lambda r: pick(r, DAYS), "word": lambda r: pick(r, faker_words("word")),
    "errcode": lambda r: f"{pick(r, ('', 'E', '0x'))}{digits(r, 3)}",
    "score": lambda r: f"{int(r.random() * 6)}-{int(r.random() * 6)}",
    "pseudo": lambda r: pseudo(r, 2),
}  # fmt: skip


def make(rng: Random, kind: str) -> str:
    """A value of the kind."""
    return MAKERS[kind](rng)

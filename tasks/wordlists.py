"""Word lists for surrogates and recognisers: names by role, place words, what is kept in addresses.

The names are Faker's (MIT), gathered into `bases/tagger/names.json` by `python -m bases.tagger.text`.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import msgspec

from tasks.patterns import STATES

NAMES = Path(__file__).parents[1] / "bases" / "tagger" / "names.json"

PARTICLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "dr",
        "prof",
        "sir",
        "madam",
        "lady",
        "lord",
        "herr",
        "frau",
        "monsieur",
        "madame",
        "señor",
        "senor",
        "señora",
        "de",
        "da",
        "di",
        "del",
        "della",
        "dos",
        "das",
        "do",
        "du",
        "des",
        "van",
        "von",
        "der",
        "den",
        "ter",
        "la",
        "le",
        "el",
        "al",
        "bin",
        "ibn",
        "bint",
        "y",
        "e",
        "und",
        "jr",
        "sr",
        "ii",
        "iii",
        "iv",
        "phd",
        "md",
        "esq",
        "st",
        "captain",
        "capt",
        "officer",
        "judge",
        "president",
        "doctor",
        "professor",
        "rev",
        "father",
        "sister",
    ]
)
ROLES = frozenset(
    [
        "info",
        "support",
        "sales",
        "noreply",
        "no",
        "reply",
        "admin",
        "contact",
        "help",
        "hello",
        "billing",
        "orders",
        "service",
        "user",
        "users",
        "customer",
        "client",
        "guest",
        "test",
        "team",
        "office",
        "mail",
        "email",
        "hr",
        "jobs",
        "press",
        "account",
        "accounts",
        "my",
        "the",
        "id",
    ]
)
PROVIDERS = frozenset(
    [
        "gmail.com",
        "googlemail.com",
        "yahoo.com",
        "hotmail.com",
        "outlook.com",
        "live.com",
        "icloud.com",
        "aol.com",
        "msn.com",
        "proton.me",
        "protonmail.com",
        "gmx.de",
        "gmx.net",
        "web.de",
        "mail.com",
        "yandex.ru",
        "mail.ru",
        "yahoo.co.uk",
        "hotmail.co.uk",
        "me.com",
        "comcast.net",
        "verizon.net",
        "att.net",
        "orange.fr",
        "free.fr",
        "libero.it",
        "t-online.de",
    ]
)
COMPANY_WORDS = frozenset(
    [
        "inc",
        "llc",
        "ltd",
        "corp",
        "corporation",
        "company",
        "group",
        "gmbh",
        "plc",
        "limited",
        "the",
        "and",
        "of",
        "for",
        "bank",
        "hospital",
        "university",
        "college",
        "school",
        "international",
        "national",
        "institute",
        "foundation",
        "association",
        "society",
        "department",
        "ministry",
        "church",
        "airlines",
        "hotel",
        "insurance",
        "services",
        "solutions",
        "systems",
        "holdings",
    ]
)
_STATES = (
    "alabama alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii "
    "idaho illinois indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan "
    "minnesota mississippi missouri montana nebraska nevada hampshire jersey mexico york carolina "
    "dakota ohio oklahoma oregon pennsylvania rhode island tennessee texas utah vermont virginia "
    "washington wisconsin wyoming columbia ontario quebec alberta manitoba saskatchewan scotia "
    "brunswick newfoundland british england scotland wales ireland united states kingdom america usa "
    "uk us canada australia germany deutschland france spain españa italy italia netherlands india "
    "brazil brasil sweden norway denmark finland poland portugal switzerland austria belgium japan "
    "china singapore zealand south africa nigeria kenya mexico argentina chile colombia peru turkey"
)
_STREETS = (
    "street st avenue ave av road rd boulevard blvd drive dr lane ln court ct place pl square sq "
    "terrace ter way parkway pkwy circle cir highway hwy trail trl loop crescent cres close mews row "
    "walk alley plaza plz pike turnpike expressway run ridge gardens grove hill park path pass cove "
    "crossing causeway broadway esplanade quay wharf strasse straße str weg platz allee gasse ring "
    "rue chemin impasse calle avenida carrera paseo camino via viale piazza corso rua travessa "
    "vej gade gatan väg vägen katu tie ulica utca straat laan plein"
)
_UNITS = (
    "apt apartment suite ste unit floor fl room rm bldg building lot box po p o no number nr house flat "
    "block tower level c/o attn zip code postal city state county country street address at in on of "
    "the and near first second third fourth fifth sixth th nd rd"
)
_DIRECTIONS = (
    "n s e w ne nw se sw north south east west northeast northwest southeast southwest new"
)
_LITTLE = "de la le du des del el los las da do dos das van von der den am im an auf und et y saint"
STATE_CODES = frozenset(STATES.lower().split("|"))
ADDRESS_WORDS = frozenset(f"{_STATES} {_STREETS} {_UNITS} {_DIRECTIONS} {_LITTLE}".split())


@cache
def fold(word: str) -> str:
    """A word without case and accents."""
    plain = unicodedata.normalize("NFKD", word)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold() or word


def like(model: str, word: str) -> str:
    """The word in the case of the model."""
    if model.islower():
        return word.lower()
    if model.isupper() and (len(model) > 1 or len(word) == 1):
        return word.upper()
    return word[:1].upper() + word[1:]


@cache
def pools() -> dict[str, tuple[str, ...]]:
    """The names by role: female, male, family, words (names that are also English words)."""
    return {
        role: tuple(text.split())
        for role, text in msgspec.json.decode(NAMES.read_bytes(), type=dict[str, str]).items()
    }


@cache
def roles() -> dict[str, str]:
    """Each known name and the role it has most likely."""
    found: dict[str, str] = {}
    for role in ("family", "male", "female"):
        found |= {fold(name): role for name in pools()[role]}
    return found


@cache
def places() -> tuple[str, ...]:
    """Words that name streets and towns: longer family names, as most towns have."""
    return tuple(n for n in pools()["family"] if 5 <= len(n) <= 9)


def is_name(folded: str) -> bool:
    """Whether a word is known as a name and not as an ordinary word."""
    return folded in roles()


def names_for(folded: str) -> tuple[str, ...]:
    """The pool that a name word's surrogate comes from."""
    return pools()[roles().get(folded, "family")]


def places_for(folded: str) -> tuple[str, ...]:
    """The pool that a place word's surrogate comes from."""
    return places()

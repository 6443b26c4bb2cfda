"""Fields that a text may hold and how people write them; noisy texts built from chosen fields.

Used by `bases.extracts` and `bases.dialogs`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from bases.grammar import categories, filler, intents, noisy, odd_key, say, slot, styled
from bases.values import MAKERS, make, pick


@dataclass(frozen=True, slots=True)
class Example:
    """One chat: messages as (role, text) and the answer that is to be learned."""

    kind: str
    messages: tuple[tuple[str, str], ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Field:
    """A kind of value, what developers call it, and phrases that carry it in a text."""

    maker: str
    keys: tuple[str, ...]
    phrases: tuple[str, ...]


TABLE = """
person | name;customer;customer name;full name;contact;client | my name is @;this is @;i am @;@ here;\
name: @;the name on the account is @;it's @ speaking;regards, @;best, @;thanks, @;customer @
email | email;email address;contact email;mail;customer email | my email is @;email: @;reach me at @;\
write to @;you can mail me: @;(@);send it to @;the address is @;@ is my email;registered with @
phone | phone;phone number;mobile;telephone;contact number | my number is @;call me on @;phone: @;\
tel @;you can ring @;my cell is @;reachable at @;text me at @
order_id | order id;order;order number;reference;ticket;invoice number | order @;my order number is @;\
order id: @;about order @;ref @;for @;it's order @;regarding @;the number is @;order no. @
uuid | id;request id;session;device id;trace id | request id @;session @;id: @;the device id is @;id=@
item | item;product;article;goods;product name | i ordered a @;the @;i bought the @;it is about the @;\
product: @;a @ that i got;one @ please;my @ is affected;the @ came yesterday;item: @
number | quantity;count;amount of items;qty;number of pieces | @ pieces;quantity @;@ of them;x@;\
i need @;we want @ units;qty: @;@ in total;there should be @
amount | price;total;amount;cost;paid;sum | i paid @;for @;the total was @;it cost @;price: @;\
you charged @;@ was taken;total @;amount due @
date | date;day;due date;purchase date;event date | on @;bought on @;date: @;since @;by @;the date is @;\
dated @;it was @;due @
time | time;hour;start time;when | at @;around @;time: @;from @;not before @;@ works
street | street;address line;street address | i live at @;street: @;@;our office is at @;address: @;\
deliver to @
address | address;shipping address;delivery address;location | ship it to @;i live at @;address: @;\
my address is @;deliver to @;send it to @;we are at @
city | city;town;place;location;destination | in @;i live in @;city: @;from @;i'm based in @;@ area;\
our @ office
zip | zip;postal code;postcode;zip code | zip @;zip code: @;postcode @;postal code is @;@
country | country;nation | in @;country: @;i am from @;shipping to @;@
state | state;region;province | in the state of @;state: @;@;from @
company | company;organisation;employer;vendor;shop | i work at @;on behalf of @;company: @;from @;\
@ sent me this;we at @;your partner @
card | card;card number;credit card | card @;my card number is @;card no. @;paid with @;visa @
ip | ip;ip address;host;server | from ip @;ip: @;host @;the server @ is down;@ is not reachable
url | url;link;website;page | see @;link: @;on the page @;at @;the site @ fails
flight | flight;flight number | flight @;on @;my flight is @;i fly with @
colour | colour;color | in @;colour: @;the @ one;it should be @;@ please
job | job;occupation;role;position | i work as a @;job: @;position @;she is a @
language | language;lang;locale | in @;i speak @;language: @;please answer in @
weekday | weekday;day | on @;every @;@ is fine;@
food | food;dish;meal | with @;we want @;a plate of @;@ for me
medical_person | doctor;specialist | with the @;i saw the @;a @
document | document;paper | my @ is attached;the @;where is the @
vehicle | vehicle;car type | my @;a @;vehicle: @
software | software;system;application | in the @;the @ is slow;system: @;our @
pseudo | code;keyword;nickname;brand;model | code @;model @;it says @;keyword: @;brand @;called @
"""
TWINS = """
person | sender;from name | from: @;sent by @;@ wrote:
person | recipient;receiver;to name | to: @;for @;please give it to @
person | manager;approver | approved by @;my manager @;ask @
city | origin;from city;departure | from @;leaving @;starting in @
city | destination;to city;arrival | to @;going to @;arriving in @
date | start date;check in;from | from @;starting @;check-in @
date | end date;check out;until | until @;to @;check-out @
address | old address;previous address | i used to live at @;old address: @;no longer at @
address | new address;current address | i moved to @;new address: @;now at @
amount | expected;quoted price | you quoted @;it should be @;the offer said @
amount | charged;actual amount | but i was charged @;the bill says @;you took @
email | old email | was @;no longer use @;my old mail @
email | new email;alternative email | now it is @;use @ instead;new mail: @
order_id | order id | order @;order number @
order_id | invoice;ticket id | invoice @;ticket @;case @
"""


def parse_table(table: str) -> list[Field]:
    rows = [[c.strip() for c in r.split("|")] for r in table.strip().splitlines()]
    return [Field(m, tuple(k.split(";")), tuple(p.split(";"))) for m, k, p in rows]


FIELDS, ROLES = parse_table(TABLE), parse_table(TWINS)
OPENERS = [i for i in intents() if i.domain not in ("news", "smalltalk", "reply")]


def value(rng: Random, field: Field) -> str:
    return make(rng, field.maker) if field.maker in MAKERS else slot(rng, field.maker, {})


def chosen(rng: Random, n: int) -> list[tuple[str, Field]]:
    """Up to `n` fields with the key that the schema gives each; no key twice."""
    pool = FIELDS + ROLES + ROLES if rng.random() < 0.3 else FIELDS
    out: dict[str, Field] = {}
    for _ in range(n):
        field = pick(rng, pool)
        key = styled(rng, pick(rng, field.keys)) if rng.random() < 0.88 else odd_key(rng)
        if not any(f.maker == field.maker and f in FIELDS for f in out.values()):
            out.setdefault(key, field)
    return list(out.items())


def mention(rng: Random, field: Field, text: str) -> str:
    return pick(rng, field.phrases).replace("@", text, 1)


def compose(rng: Random, fragments: list[str], keep: frozenset[str], fill: float = 1.2) -> str:
    """Fragments in some order between fillers, joined as people and forms do."""
    parts = list(fragments)
    rng.shuffle(parts)
    while rng.random() < fill - 0.5:
        parts.insert(int(rng.random() * (len(parts) + 1)), filler(rng))
        fill *= 0.75
    if rng.random() < 0.4:
        opener = noisy(rng, say(rng, pick(rng, OPENERS)))
        if not any(ch.isdigit() or ch == "@" for ch in opener):
            parts.insert(0, opener)
    glue = pick(rng, (", ", ". ", ". ", "\n", " ", "; ", " - ", ", "))
    return noisy(rng, glue.join(p.rstrip(".") if glue == ". " else p for p in parts), keep)


def words_of(values: Mapping[str, str]) -> frozenset[str]:
    return frozenset(w.strip(".,!?") for v in values.values() for w in v.split()) | {""}


def filled(rng: Random, fields: list[tuple[str, Field]]) -> dict[str, str]:
    return {key: value(rng, field) for key, field in fields}


def noisy_text(rng: Random, fields: list[tuple[str, Field]], values: dict[str, str]) -> str:
    """A text that mentions all `values`, and with some luck one value that nobody asks for."""
    fragments = [mention(rng, dict(fields)[k], v) for k, v in values.items()]
    if rng.random() < 0.3:
        extra = pick(rng, FIELDS)
        if all(extra.maker != f.maker for _, f in fields):
            fragments.append(mention(rng, extra, value(rng, extra)))
    return compose(rng, fragments, words_of(values) or frozenset({""}))


def dump(rng: Random, data: object) -> str:
    """JSON as most models write it, with the odd compact or indented one."""
    roll = rng.random()
    if roll < 0.88:
        return json.dumps(data, ensure_ascii=False)
    if roll < 0.95:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(data, ensure_ascii=False, indent=1)


def known(category: str) -> tuple[str, ...]:
    return categories()[category]

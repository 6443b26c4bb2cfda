"""How much of a text stays as it is, and how much personal data goes: by language and jargon.

    python -m benchmarks.languages [--values 12] [--parts plain latest later after ...]

Fills the sentences of `language_texts.txt` with values of Faker's locales, sends them through the
whole hop and prints with 95 % intervals: words of texts about nobody that are kept, values found
in sentences that the patterns were fitted on (tuned) and in others (the rest; those from latest to
strangers have values of their own), and what is left of teams of 1 to 200 people that write 1 to
100 times each. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.params import Deidentify
from tasks.core.records import Call, Json, read_clean, write
from tasks.deidentify.cleaner import norm
from tasks.deidentify.deidentify import deidentify
from tasks.deidentify.recall_probe import interval
from tasks.deidentify.wordlists import fold, word_set

if TYPE_CHECKING:
    from faker import Faker


TEXTS = Path(__file__).with_name("language_texts.txt")
LOCALES = {
    "de": ("de_DE", "de_AT"),
    "es": ("es_ES", "es_MX"),
    "fr": ("fr_FR", "fr_CH"),
    "it": ("it_IT",),
    "nl": ("nl_NL", "nl_BE"),
    "pt": ("pt_PT", "pt_BR"),
    "en": ("en_US", "en_GB"),
}
DATES = {"de": "%d.%m.%Y", "en": "%m/%d/%Y", "nl": "%d-%m-%Y"}
SLOT = re.compile(r"\{(\w+)\}")
SECTION = re.compile(r"\[([a-z ]+)\]")
MARK = re.compile(r"<<(\w+)=(.*?)>>(?!>)")  # <<name=Mia Li>>
MARKED = ("latest", "later", "after", "strangers")  # values of their own
PARTS = ("plain", *MARKED, "unseen", "fresh", "held", "tuned", "people")
TEAMS = (  # people, calls of each
    *((1, 1), (1, 20), (1, 100), (3, 30), (10, 50), (25, 25), (50, 20), (60, 8), (100, 10)),
    *((200, 1), (200, 10), (200, 100)),
)
Row = Json


@cache
def sections() -> dict[str, list[str]]:
    """The sentences by section."""
    found: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in TEXTS.read_text().splitlines():
        if title := SECTION.fullmatch(line):
            name = title[1]
        elif line and not line.startswith("#"):
            found[name].append(line.replace("\\n", "\n"))
    return found


@cache
def _faker(locale: str, seed: int) -> Any:
    from faker import Faker

    made = Faker(locale)
    made.seed_instance(seed)
    return made


def person(language: str, number: int) -> dict[str, str]:
    """The values of one made-up person."""
    locales = LOCALES[language]
    fake = _faker(locales[number % len(locales)], 7)
    first, last = fake.first_name(), fake.last_name()
    born = fake.date_of_birth(minimum_age=20, maximum_age=80)
    address = fake.address().replace("\n", ", ")
    return {
        "first": first,
        "last": last,
        "name": f"{first} {last}",
        "address": address,
        "phone": fake.phone_number(),
        "email": fake.email()
        if number % 2
        else f"{_plain(first)}.{_plain(last)}@{fake.free_email_domain()}",
        "id": fake.ssn(),
        "iban": _iban(fake),
        "birth": born.strftime(DATES.get(language, "%d/%m/%Y")),
    }


def _plain(name: str) -> str:
    return norm(name)


def _iban(fake: Faker) -> str:
    number = str(fake.iban())
    return " ".join(number[i : i + 4] for i in range(0, len(number), 4))


def call(name: str, text: str, reply: str = "ok", system: str = "") -> Call:
    """A call with one user message."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    request = {"model": "m", "messages": messages}
    answer = {"role": "assistant", "content": reply}
    return Call(id=name, at=0.0, source=f"x:{name}", request=request, reply=answer)


def hop(calls: Sequence[Call]) -> dict[str, str]:
    """The user's text after the hop, by the call's id; calls that were set aside are missing."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "calls.parquet", Path(folder) / "out"
        out.mkdir()
        write(source, calls)
        deidentify(source, out, Deidentify(probe=0), key=b"benchmark")
        return {
            c.id: json.dumps([c.messages, c.reply], ensure_ascii=False)
            for c in read_clean(out / "calls.parquet")
        }


def _share(found: int, n: int, **more: object) -> Row:
    low, high = interval(found, n)
    return {"share": found / max(n, 1), "low": low, "high": high, "n": n} | more


def plain() -> Row:
    """Words kept in texts about nobody, in each language and jargon: of all, and by section."""
    texts = {k: v for k, v in sections().items() if k.split()[1] == "plain"}
    calls = [call(f"{k}:{i}", t) for k, some in texts.items() for i, t in enumerate(some)]
    after = hop(calls)
    shown: Row = {}
    for name in dict.fromkeys(k.split()[0] for k in texts):
        parts = {k: _kept(k, v, after) for k, v in texts.items() if k.split()[0] == name}
        changed = [pair for _, _, pairs in parts.values() for pair in pairs]
        kept, count = sum(p[0] for p in parts.values()), sum(p[1] for p in parts.values())
        by_section = {k.partition(" ")[2]: f"{p[0]}/{p[1]}" for k, p in parts.items()}
        shown[name] = _share(kept, count, sections=by_section, changed=changed)
        print(f"  {name:9} words kept {_told(shown[name])} {by_section} {' '.join(changed[:12])}")
    return shown


def _kept(name: str, texts: Sequence[str], after: Mapping[str, str]) -> tuple[int, int, list[str]]:
    """Words kept, all words, and those that changed."""
    count, kept, changed = 0, 0, []
    for i, text in enumerate(texts):
        done = after.get(f"{name}:{i}")
        old = text.split()
        new = json.loads(done)[0][0]["content"].split() if done else [""] * len(old)
        count += len(old)
        kept += sum(a == b for a, b in zip(old, new, strict=False))
        changed += [f"{a}>{b}" for a, b in zip(old, new, strict=False) if a != b]
    return kept, count, changed


def _told(row: Row) -> str:
    return f"{row['share']:.4f} [{row['low']:.4f} {row['high']:.4f}] of {row['n']}"


Wanted = dict[str, list[tuple[str, str]]]  # the values of a call, with their types


def found(part: str, values: int) -> Row:
    """Values replaced, by language and type; a name counts when none of its words is left."""
    calls: list[Call] = []
    wanted: Wanted = {}
    for language in LOCALES:
        for number in range(values):
            who = person(language, number)
            for i, sentence in enumerate(sections()[f"{language} {part}"]):
                name = f"{language}:{number}:{i}"
                slots = SLOT.findall(sentence)
                calls.append(call(name, sentence.format(**who), f"{name} done"))
                wanted[name] = [(slot, who[slot]) for slot in slots]
    return _judged(part, calls, wanted)


def marked(part: str) -> Row:
    """The same for sentences with values of their own: `<<name=Mia Li>>`."""
    calls: list[Call] = []
    wanted: Wanted = {}
    for language in LOCALES:
        for i, sentence in enumerate(sections()[f"{language} {part}"]):
            name = f"{language}:{i}"
            calls.append(call(name, MARK.sub(lambda m: m[2], sentence), f"{name} done"))
            wanted[name] = MARK.findall(sentence)
    return _judged(part, calls, wanted)


def _judged(part: str, calls: Sequence[Call], wanted: Wanted) -> Row:
    after = hop(calls)
    shown: Row = {}
    for language in LOCALES:
        tally: dict[str, Counter[bool]] = defaultdict(Counter)
        missed = []
        for name, pairs in wanted.items():
            if name.split(":")[0] != language:
                continue
            for slot, value in pairs:
                gone = name not in after or not _left(slot, value, after[name])
                tally[slot][gone] += 1
                missed += [] if gone else [f"{slot}={value!r}"]
        right, n = sum(t[True] for t in tally.values()), sum(t.total() for t in tally.values())
        kinds = {slot: f"{t[True]}/{t.total()}" for slot, t in sorted(tally.items())}
        shown[language] = _share(right, n, kinds=kinds, left=missed)
        print(f"  {language} {part:5} found {_told(shown[language])} {kinds}")
        print(f"      left: {' · '.join(missed[:8])}") if missed else None
    return shown


def _left(slot: str, value: str, text: str) -> bool:
    """Return whether a value, or a word of a name or a street, still stands in a text."""
    if slot in {"name", "first", "last"}:
        words = (w for w in value.split() if len(w) > 2 and fold(w) not in word_set("particles"))
        return any(re.search(rf"(?<!\w){re.escape(w)}(?!\w)", text) for w in words)
    if slot == "address":
        return norm(value.split(",")[0]) in norm(text)
    return norm(value) in norm(text)


def team(people: int, times: int) -> Iterator[tuple[dict[str, str], Call]]:
    """Calls of a team: a prompt that names the user, a signature, and a bare name in lower case."""
    languages = list(LOCALES)
    for number in range(people):
        who = person(languages[number % 7], number)
        for i in range(times):
            asked = f"please book room {i % 60} ({number * times + i})"
            sign = f"{who['email']}\nTel {who['phone']}\nKind regards, {who['name']}"
            system = f"You are the office desk.\nYou are talking to {who['name']}."
            text = f"{asked}\n{sign}"
            yield who, call(f"{number}:{i}", text, "facilities", system)


def people() -> Row:
    """Calls in which something of the user is left, by size of the team."""
    shown: Row = {}
    for size, times in TEAMS:
        made = list(team(size, times))
        after = hop([c for _, c in made])
        left = sum(
            any(_left(s, who[s], after.get(c.id, "")) for s in ("name", "email", "phone"))
            for who, c in made
        )
        shown[f"{size}x{times}"] = _share(left, len(made))
        print(f"  {size:3} people x {times:3} calls: something left in {left} of {len(made)}")
    return shown


def main() -> None:
    """Run the parts that are named; all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    parser.add_argument("--values", type=int, default=12, help="people of each language")
    args = parser.parse_args()
    parts: dict[str, Callable[[], Row]] = {
        part: partial(found, part, args.values) for part in PARTS
    }
    parts |= {part: partial(marked, part) for part in MARKED}
    parts |= {"plain": plain, "people": people}
    figures = {}
    for part in args.parts:
        print(part)
        figures[part] = parts[part]()
    print(json.dumps(figures, ensure_ascii=False))


if __name__ == "__main__":
    main()

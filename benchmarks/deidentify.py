"""How much personal data is found, what is hit by mistake, and how fast: beside stock Presidio.

    python -m benchmarks.deidentify [quality|logs|false|json|speed ...] [--data FOLDER]

Reads the labelled sets `pii_*/*.jsonl.gz` of the folder and our own labels of 200 agent-log
messages (`benchmarks/pii_agent_logs.json`: where, from, to, type; no text). The last line is one
JSON object with every figure.

A labelled span counts as found when findings of its group cover half of it; a finding is right when
labels of its group cover half of it. Groups join types that stand for the same thing in different
sets (an address and its parts; passport, licence and account numbers). F2 weighs recall double.
"""

# ruff: noqa: E501 - the table of groups
from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.records import Json
from tasks.deidentify.scanner import Scanned, Scanner, leaves

SAMPLE = Path(__file__).parents[1] / "examples" / "calls.jsonl.gz"
LABELS = Path(__file__).with_name("pii_agent_logs.json")
GROUPS = {
    "PERSON": "PERSON", "STREET_ADDRESS": "PLACE", "ADDRESS": "PLACE", "ZIP_CODE": "PLACE",
    "GPE": "PLACE", "LOCATION": "PLACE", "ORGANIZATION": "ORGANIZATION", "ORG": "ORGANIZATION",
    "BANK": "ORGANIZATION", "EMAIL_ADDRESS": "EMAIL", "EMAIL": "EMAIL", "PHONE_NUMBER": "PHONE",
    "PHONE": "PHONE", "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN", "IBAN": "IBAN", "US_SSN": "NUMBER",
    "SSN": "NUMBER", "IP_ADDRESS": "IP", "US_DRIVER_LICENSE": "NUMBER", "PASSWORD": "PASSWORD",
    "USERNAME": "USERNAME", "USERID": "USERNAME", "USER_ID": "USERNAME", "BIRTH_DATE": "BIRTH_DATE",
    "CARD_LAST_FOUR": "CARD_LAST_FOUR", "SECRET": "PASSWORD", "ID_NUMBER": "NUMBER",
    "BANK_NUMBER": "NUMBER", "US_BANK_NUMBER": "NUMBER", "US_PASSPORT": "NUMBER", "US_ITIN": "NUMBER",
    "ACCOUNT": "NUMBER", "PASSPORT": "NUMBER", "PAN": "NUMBER", "TAX_ID": "NUMBER", "TAXID": "NUMBER",
    "ACCOUNT_NUMBER": "NUMBER", "AADHAR": "NUMBER", "DRIVER_LICENSE": "NUMBER", "LICENSE": "NUMBER",
    "ROUTING_NUMBER": "NUMBER", "PATIENT_ID": "NUMBER", "INSURANCE_ID": "NUMBER", "VOTER_ID": "NUMBER",
    "BANK_ACCOUNT": "NUMBER", "BANK_ACCOUNT_NUM": "NUMBER", "DRIVER_LICENSE_NUM": "NUMBER",
    "PASSPORT_NUM": "NUMBER", "EMPLOYEE_ID": "NUMBER", "PID": "NUMBER", "POLICE_ID_NUM": "NUMBER",
    "UK_NHS": "NUMBER", "MEDICAL_LICENSE": "NUMBER",
}  # fmt: skip
FREE = {
    "DATE_TIME",
    "TITLE",
    "AGE",
    "NRP",
    "DOMAIN_NAME",
    "PREFIX",
    "SYSTEM",
    "EVENT",
    "URL",
    "UUID",
}
Span = tuple[int, int, str]
Row = Json
Find = Callable[[Sequence[str]], list[list[Span]]]


@dataclass(slots=True)
class Tally:
    """Counts of one group."""

    labels: int = 0
    found: int = 0
    hits: int = 0
    right: int = 0

    def row(self, name: str) -> Row:
        """Recall, precision and F2 with 95 % intervals, printed and as figures."""
        from tasks.deidentify.recall_probe import interval

        r, p = self.found / max(self.labels, 1), self.right / max(self.hits, 1)
        f2 = 5 * p * r / (4 * p + r) if p + r else 0.0
        low, high = interval(self.found, self.labels)
        below, above = interval(self.right, self.hits)
        print(
            f"  {name:14} recall {r:.3f} [{low:.3f} {high:.3f}] of {self.labels:<5} "
            f"precision {p:.3f} [{below:.3f} {above:.3f}] of {self.hits:<5} F2 {f2:.3f}"
        )
        told = {"recall": r, "low": low, "high": high, "n": self.labels}
        return told | {"precision": p, "below": below, "above": above, "hits": self.hits, "f2": f2}


def data() -> Path:
    """The folder of labelled sets and logs."""
    home = Path(__file__).parents[2] / "shared" / "data"
    return Path(os.environ.get("FLYWHEEL_EVAL_DATA") or home)


def file(name: str) -> Path:
    """Where a set lies: the sample agent's log is the project's own."""
    return SAMPLE if name == SAMPLE.name else data() / f"{name}.jsonl.gz"


def there(name: str) -> bool:
    """Return whether a set is there."""
    return file(name).exists()


def rows(name: str) -> Iterator[Json]:
    """The records of a set."""
    with gzip.open(file(name)) as lines:
        yield from map(json.loads, lines)


def table(counts: dict[str, Tally]) -> Row:
    """A row for each group and two for all of them."""
    shown = {group: counts[group].row(group) for group in sorted(counts)}
    shown["without org"] = total(counts, {"ORGANIZATION"}).row("without org")
    return shown | {"all": total(counts, set()).row("all")}


def covered(span: Span, others: Sequence[Span]) -> bool:
    """Return whether others of the same group cover half of a span."""
    same = [o for o in others if o[2] == span[2]]
    size = sum(max(0, min(span[1], b) - max(span[0], a)) for a, b, _ in same)
    return 2 * size >= span[1] - span[0]


def tally(
    gold: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]], skip: set[str]
) -> dict[str, Tally]:
    """Counts by group; `skip` are groups that a set does not label."""
    counts: dict[str, Tally] = defaultdict(Tally)
    for labels, hits in zip(gold, found, strict=True):
        free = [s for s in labels if s[2] in FREE or s[2] not in GROUPS]
        wanted = [(a, b, GROUPS[k]) for a, b, k in labels if k in GROUPS]
        mine = [(a, b, GROUPS[k]) for a, b, k in hits if k in GROUPS]
        for span in wanted:
            counts[span[2]].labels += 1
            counts[span[2]].found += covered(span, mine)
        for span in mine:
            if span[2] in skip or any(a < span[1] and span[0] < b for a, b, _ in free):
                continue
            counts[span[2]].hits += 1
            counts[span[2]].right += covered(span, wanted)
    return counts


def total(counts: dict[str, Tally], leave: set[str]) -> Tally:
    """All groups together but some."""
    chosen = [t for g, t in counts.items() if g not in leave]
    return Tally(
        *(sum(getattr(t, f) for t in chosen) for f in ("labels", "found", "hits", "right"))
    )


def ours(ner: str = "bundled") -> Find:
    """Our detectors, segment by segment as the hop uses them."""
    from tasks.core.params import Deidentify
    from tasks.deidentify.detectors import Detector

    scanner = Scanner(Detector(Deidentify(ner=ner)), {})

    def find(texts: Sequence[str]) -> list[list[Span]]:
        names = [scanner.add("", text) for text in texts]
        scanner.flush()
        return [placed(text, scanner[name]) for text, name in zip(texts, names, strict=True)]

    return find


def placed(text: str, scanned: Scanned) -> list[Span]:
    """Findings, which count from the start of their leaf, by their place in the text.

    A leaf is a stretch of prose or a JSON string's value, whose escapes move what is behind them.
    """
    spans: list[Span] = []
    at = 0
    for leaf, some in zip(leaves(text), scanned, strict=False):
        written = [leaf.text, *(json.dumps(leaf.text, ensure_ascii=a)[1:-1] for a in (False, True))]
        start, form = min((p, w) for w in written if (p := text.find(w, at)) >= 0)
        ascii_only = form == written[2]
        for f in (found.finding for found in some):
            ends = [f.start, f.end]
            if form != leaf.text:
                heads = (json.dumps(leaf.text[:e], ensure_ascii=ascii_only)[1:-1] for e in ends)
                ends = [len(head) for head in heads]
            spans.append((start + ends[0], start + ends[1], f.kind))
        at = start + len(form)
    return spans


def stock() -> Find:
    """Presidio as it comes, with a blank pipeline: no model hub is needed for either."""
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
    engine = SpacyNlpEngine([{"lang_code": "en", "model_name": "blank"}])
    engine.nlp = {"en": spacy.blank("en")}
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    analyzer = AnalyzerEngine(registry, engine)

    def find(texts: Sequence[str]) -> list[list[Span]]:
        return [[(r.start, r.end, r.entity_type) for r in analyzer.analyze(t, "en")] for t in texts]

    return find


def quality(finders: dict[str, Find], size: int) -> Row:
    """The labelled sets of others."""
    shown: Row = {}
    for path in sorted(data().glob("pii_*/*.jsonl.gz")):
        name = f"{path.parent.name}/{path.name.removesuffix('.jsonl.gz')}"
        texts = list(rows(name))[:size]
        gold = [[(s["start"], s["end"], s["type"]) for s in r["spans"]] for r in texts]
        kinds = {GROUPS.get(k, "") for spans in gold for _, _, k in spans}
        skip = {g for g in GROUPS.values() if g not in kinds}
        for who, find in finders.items():
            counts = tally(gold, find([r["text"] for r in texts]), skip)
            print(f"{name}: {who}, {len(texts)} texts")
            shown[f"{name}: {who}"] = table(counts)
    return shown


def logged(entry: Json, cache: dict[str, list[Any]]) -> str:
    """The text that a label of ours is about."""
    if entry["set"] not in cache:
        cache[entry["set"]] = list(rows(entry["set"]))
    record = cache[entry["set"]][entry["row"]]
    messages = [*record["request"]["messages"], record["response"]["choices"][0]["message"]]
    return str(messages[entry["message"]]["content"])


def logs(finders: dict[str, Find]) -> Row:
    """Our own labels of agent-log prose."""
    cache: dict[str, list[object]] = {}
    shown: Row = {}
    entries = [e for e in json.loads(LABELS.read_text()) if there(e["set"])]
    texts = [logged(e, cache) for e in entries]
    gold = [[(a, b, k) for a, b, k in e["spans"]] for e in entries]
    for who, find in finders.items():
        counts = tally(gold, find(texts), {"ORGANIZATION"})
        print(f"agent logs: {who}, {len(texts)} messages")
        shown[who] = table(counts)
    return shown


def main() -> None:
    """Run the parts that are named; all of them by default."""
    from benchmarks import deidentify_logs as parts

    known: dict[str, Callable[[], Row]] = {
        "quality": lambda: quality(finders(), args.size),
        "logs": lambda: logs(finders()),
        "false": lambda: parts.false_hits(ours(args.ner)),
        "json": parts.bodies,
        "speed": parts.speed,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*known, []], default=[])
    parser.add_argument(
        "--data", type=Path, default=data(), help="folder of labelled sets and logs"
    )
    parser.add_argument("--size", type=int, default=10_000, help="texts of each labelled set")
    parser.add_argument("--ner", default="bundled")
    parser.add_argument("--alone", action="store_true", help="without stock Presidio")
    args = parser.parse_args()
    os.environ["FLYWHEEL_EVAL_DATA"] = str(args.data)

    def finders() -> dict[str, Find]:
        mine = {"flywheel": ours(args.ner)}
        return mine if args.alone else mine | {"presidio, stock": stock()}

    figures: Row = {}
    for part in args.parts or known:
        began = time.monotonic()
        figures[part] = known[part]()
        print(f"[{part}: {time.monotonic() - began:.0f} s]", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

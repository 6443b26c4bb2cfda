"""Every small case of a folder through the hops that it is about, judged by its `case.json`.

    python -m benchmarks.cases [../shared/data/cases] [--only NAME ...] [--verbose]

A case is a folder of log files beside a `case.json` (`what`, `expected`). Its files are ingested as
one source and validated; cases about personal data or about harmless texts are de-identified too.
`expected` is judged by the rules below: how many calls, whole answers, quarantined, replaced,
unchanged, tokens. What `benchmarks/cases.json` (or `case.json` itself, under `facts`) states
about a case is held exactly. In every case nothing may vanish, no reason may be an exception's
name, and no learnt text may be a serialised message.
Prints a line per case with its reason; the last line is one JSON object; exit status 1 on a fail.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from tasks.core import records
from tasks.core.contract import answer_of
from tasks.core.params import Deidentify, Ingest, Validate
from tasks.core.records import CALLS, Call, CleanCall, Rejected, Writer, text_of
from tasks.core.stage import Refused
from tasks.deidentify.deidentify import deidentify
from tasks.ingest.ingest import ingest
from tasks.validate.checks import problem, view

WORDS_KEPT = 0.995  # of the words of texts without personal data
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_ENVELOPE = re.compile(r"""\s*\[?\s*\{\s*["'](role|parts|choices|messages|candidates)["']\s*:""")
_MARKUP = re.compile(r"<\|?/?\w*(think|reason|channel|thought)|\[/?THINK|◁", re.IGNORECASE)
_INTERNAL = re.compile(r"\b[A-Z]\w+(Error|Exception)\b")
_PERSONAL = re.compile(r"[\w.%+-]+(?:@|%40)[\w-]+\.\w+|\+\d[\d ]{8,}\d|\b(?=\S*\d)\S{12,}")
_DATED = re.compile(r"\W?20\d\d-\d\d-\d\d-\d{1,3}")  # the day of a record, and its number


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The exact outcome of a case, where somebody wrote it down."""

    kept: int | None = None
    answers: list[str] | None = None  # of the kept calls, in the order of the log
    asked: list[str] | None = None  # the last message of each kept call
    reasons: dict[str, int] | None = None
    prompt_tokens: list[int | None] | None = None
    completion_tokens: list[int | None] | None = None
    refused: bool = False


class Case(msgspec.Struct, frozen=True):
    """A `case.json`."""

    what: str = ""
    expected: str = "read, or quarantined with a clear reason"
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a case."""

    read: int
    kept: list[Call]
    rejected: list[Rejected]
    refused: str  # ingest's sentence when it recognised nothing
    clean: list[CleanCall]  # without those that de-identification withheld

    @property
    def answers(self) -> list[str]:
        """The kept calls' answers, as a student would learn them."""
        return [answer_of(call.reply) for call in self.kept]


def run(files: Sequence[Path], work: Path, private: bool) -> Outcome:
    """Ingest and validate one case's files; de-identify what is kept where that is asked for."""
    refused, counts, calls = "", None, list[Call]()
    work.mkdir(parents=True)
    try:
        counts = ingest([str(f) for f in files], work, Ingest())
    except Refused as error:
        refused = str(error)
    rejected = list(records.read_rejected(work / "quarantine.parquet"))
    for path in sorted((work / "calls").glob("*.parquet")):
        for row, call in zip(pq.read_table(path).to_pylist(), records.read(path), strict=True):
            if found := problem(view(row), Validate()):
                reason, detail = found
                rejected.append(
                    Rejected(id=call.id, source=call.source, reason=reason, detail=detail)
                )
            else:
                calls.append(call)
    calls.sort(key=lambda c: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", c.source)])
    clean = cleaned(calls, work) if private and calls else []
    read = counts.read if counts else len(rejected)
    return Outcome(read, calls, rejected, refused, clean)


def cleaned(calls: Sequence[Call], work: Path) -> list[CleanCall]:
    """The calls with surrogates; those that cannot be cleaned are withheld."""
    with Writer(work / "valid.parquet", CALLS) as writer:
        for call in calls:
            writer.write(call)
    out = work / "clean"
    out.mkdir()
    params = msgspec.structs.replace(Deidentify(), probe=0)
    deidentify(work / "valid.parquet", out, params, key=b"cases")
    return list(records.read_clean(out / "calls.parquet"))


def said(call: Call) -> str:
    """Everything that a call's texts say, and what stands around them."""
    outside = {k: v for k, v in call.request.items() if k != "messages"}
    texts = [text_of(m.get("content")) for m in (*call.messages, call.reply)]
    return "\n".join([*texts, json.dumps(outside, ensure_ascii=False), call.id])


Rule = Callable[[Outcome, re.Match[str]], str]  # why it is not so; empty when it is


def _count(found: Outcome, match: re.Match[str]) -> str:
    number = int(match[1]) if match[1].isdigit() else NUMBERS.get(match[1], -1)
    calls = [len(c.reply.get("tool_calls") or ()) for c in found.kept]
    if number < 0 or len(found.kept) == number or (calls and set(calls) == {number}):
        return ""
    return f"{len(found.kept)} calls kept, expected {number}"


def _none(found: Outcome, _: re.Match[str]) -> str:
    return f"{len(found.kept)} calls kept: {found.answers[:3]}" if found.kept else ""


def _all(found: Outcome, _: re.Match[str]) -> str:
    clear = {"error reply", "not a call", "refusal", "content filter"}
    lost = [r for r in found.rejected if r.reason not in clear]
    if found.refused or lost or not found.kept:
        return found.refused or f"not read: {[(r.reason, r.detail) for r in lost][:3]}"
    return ""


def _no_markup(found: Outcome, _: re.Match[str]) -> str:
    marked = [a for a in found.answers if _MARKUP.search(a)]
    return f"markup left: {marked[:2]}" if marked or not found.kept else ""


def _own(found: Outcome, _: re.Match[str]) -> str:
    wrong = [
        call
        for call in found.kept
        if not set(text_of(call.reply["content"]).split()) & set(said(call).split("\n{")[0].split())
        or text_of(call.reply["content"]).split()[0] not in text_of(call.messages[-1]["content"])
    ]
    return f"{len(wrong)} answers stand behind another request" if wrong else ""


def _tokens(found: Outcome, match: re.Match[str]) -> str:
    number, kind = int(match[1].replace(",", "")), f"{match[2]}_tokens"
    stated = [getattr(call, kind) for call in found.kept]
    return "" if number in stated else f"{kind} are {stated}, expected {number}"


def _replaced(found: Outcome, _: re.Match[str]) -> str:
    raw = {said(call) for call in found.kept}
    after = [said(call) for call in found.clean]
    same = [text[:90] for text in after if text in raw]
    found_in = (v for text in raw for v in _PERSONAL.findall(text))
    ids = {call.id for call in found.kept}  # the name of a record, if nothing else, is nobody's
    values = dict.fromkeys(v for v in found_in if v not in ids and not _DATED.fullmatch(v))
    left = [value for value in values if any(value in text for text in after)]
    if not (same or left):
        return ""
    return f"{len(same)} of {len(raw)} calls unchanged: {same[:3]}; left {left[:4]}"


def _unchanged(found: Outcome, _: re.Match[str]) -> str:
    after, words, kept = {c.source: c for c in found.clean}, 0, 0
    changed = 0
    for call in found.kept:
        if (clean := after.get(call.source)) is None:
            continue  # withheld under its reason
        old, new = Counter(said(call).split()), Counter(said(clean).split())
        words, kept = words + old.total(), kept + (old & new).total()
        changed += answer_of(call.reply) != answer_of(clean.reply)
    if words and (kept < WORDS_KEPT * words or changed):
        return f"{kept:,} of {words:,} words kept, {changed} answers changed"
    return ""


# The first words of `expected` that are found decide; several rules may apply.
RULES: tuple[tuple[str, Rule], ...] = (
    (r"^(\d+|one|two|three|four|five|six) (?:tool )?calls?\b", _count),
    (r"^(?!.*\bor\b).*(?:quarantined|not an answer)", _none),
    (r"left out", _no_markup),
    (r"own request", _own),
    (r"([\d,]+) (prompt|completion) tokens", _tokens),
    (r"replaced|no real", _replaced),
    (r"unchanged", _unchanged),
    (r"^(?:read(?! or|,| \()|kept|whole answer|text\b|read with)(?!.*\bor\b)", _all),
)
_PRIVATE = re.compile(r"replaced|no real|unchanged")


def always(found: Outcome) -> Iterator[str]:
    """Yield what must hold of every case."""
    if found.read != len(found.kept) + len(found.rejected):
        yield f"{found.read} records in, {len(found.kept)} kept and {len(found.rejected)} rejected"
    for one in found.rejected:
        if not one.reason or _INTERNAL.search(one.detail):
            yield f"unclear reason: {one.reason}: {one.detail}"
    for call in found.kept:
        for text in (text_of(m.get("content")) for m in (*call.messages, call.reply)):
            if _ENVELOPE.match(text):
                yield f"a serialised message is learnt as text: {text[:80]}"


def exactly(found: Outcome, facts: Facts) -> Iterator[str]:
    """Yield what is stated about a case, and is not so."""
    seen = {
        "kept": len(found.kept),
        "answers": found.answers,
        "asked": [text_of(c.messages[-1].get("content")) for c in found.kept],
        "reasons": dict(Counter(r.reason for r in found.rejected)),
        "prompt_tokens": [c.prompt_tokens for c in found.kept],
        "completion_tokens": [c.completion_tokens for c in found.kept],
    }
    for name, value in seen.items():
        if (stated := getattr(facts, name)) is not None and stated != value:
            yield f"{name}: {value}, expected {stated}"
    if bool(found.refused) != facts.refused and facts.kept != 0:
        yield f"refused: {found.refused or 'no'}"


def judge(found: Outcome, case: Case, facts: Facts | None) -> list[str]:
    """Every way in which a case did not come out as it should."""
    problems = list(dict.fromkeys(always(found)))
    exact = facts is not None and facts.kept is not None
    rules = [
        (rule, re.search(pattern, case.expected.lower()))
        for pattern, rule in RULES
        if not (exact and rule in (_count, _all))
    ]
    problems += [why for rule, match in rules if match and (why := rule(found, match))]
    if facts is not None:
        problems += exactly(found, facts)
    return problems


def verdicts(folder: Path, only: Sequence[str]) -> Iterator[tuple[str, list[str], Outcome]]:
    """(name, what is wrong, what came out) of every case in a folder."""
    written = Path(__file__).with_suffix(".json").read_bytes()
    stated = msgspec.json.decode(written, type=dict[str, Facts])
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        if only and not any(o in path.name for o in only):
            continue
        description = path / "case.json"
        case = Case()
        if description.exists():
            case = msgspec.json.decode(description.read_bytes(), type=Case)
        files = sorted(f for f in path.iterdir() if f.is_file() and f != description)
        private = bool(_PRIVATE.search(case.expected.lower()))
        with tempfile.TemporaryDirectory() as work:
            parts = [[f] for f in files] if private else [files]  # each file is a log of its own
            problems: list[str] = []
            for number, part in enumerate(parts):
                found = run(part, Path(work) / str(number), private)
                problems += judge(found, case, case.facts or stated.get(path.name))
            yield path.name, problems, found


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    home = Path(os.environ.get("FLYWHEEL_EVAL_DATA") or Path(__file__).parents[2] / "shared/data")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of cases")
    parser.add_argument("--data", type=Path, default=home, help="folder that holds `cases`")
    parser.add_argument("--only", nargs="*", default=[], help="cases whose name holds one of these")
    parser.add_argument("--verbose", action="store_true", help="also what came out")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # of libraries, between the lines of the table
    failed: dict[str, list[str]] = {}
    total = 0
    for name, problems, found in verdicts(chosen.folder or chosen.data / "cases", chosen.only):
        total += 1
        reasons = dict(Counter(r.reason for r in found.rejected))
        print(f"{'FAIL' if problems else 'pass'}  {name:<36}{len(found.kept):>4} kept  {reasons}")
        for problem_ in problems:
            print(f"      {problem_[:300]}")
        if chosen.verbose:
            show(found)
        if problems:
            failed[name] = problems
    print(json.dumps({"cases": total, "passed": total - len(failed), "failed": failed}))
    sys.exit(1 if failed else 0)


def show(found: Outcome) -> None:
    """Print what came out of a case."""
    for call in found.kept:
        asked = [f"{m['role']}: {text_of(m.get('content'))[:60]}" for m in call.messages[:4]]
        print(f"      {asked} -> {answer_of(call.reply)[:120]!r} {call.finish_reason}")
    for one in found.rejected:
        print(f"      {one.source.rpartition('/')[2]}: {one.reason}: {one.detail[:160]}")
    if found.refused:
        print(f"      refused: {found.refused[-200:]}")


if __name__ == "__main__":
    main()

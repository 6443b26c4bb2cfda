"""Third hop: surrogates in place of everything personal. `python -m tasks.deidentify`.

Every string of a call is scanned once (`segments`, `detectors`, `tagger`); what is found gets a
surrogate that is the same everywhere in its conversation (`cleaner`, `surrogates`). Text that is
the same for everybody (prompts, schemas, fixed lines) keeps its names (`public`), so that templates
can be mined afterwards and still match production. Without a detector there is no data: it fails
closed.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from random import Random

from tasks.core import stage
from tasks.core.params import Deidentify, load
from tasks.core.records import (
    CLEAN,
    REJECTED,
    Call,
    CleanCall,
    Counts,
    Rejected,
    Writer,
    read,
    text_of,
)
from tasks.core.stage import Refused
from tasks.deidentify import damage
from tasks.deidentify.boilerplate import Public
from tasks.deidentify.cleaner import Cleaner, Quarantined, Text, strings
from tasks.deidentify.conversations import conversation_of, first_words, sealed
from tasks.deidentify.damage import Comparison, Damage, Harm
from tasks.deidentify.detectors import Detector, version
from tasks.deidentify.languages import language
from tasks.deidentify.leak_check import Originals
from tasks.deidentify.recall_probe import Recall, injected, recalls, survives
from tasks.deidentify.scanner import Scanner
from tasks.deidentify.surrogates import Surrogates

WAITING = 4_096  # strings scanned in one batch
RECENT = 1_000  # conversations whose finished strings are kept at hand
SAMPLE = 300  # calls whose texts the probe plants in


def load_key(home: Path) -> bytes:
    """The secret behind the surrogates: `$FLYWHEEL_PII_KEY`, else `home/pii.key` (made, 0600)."""
    given = os.environ.get("FLYWHEEL_PII_KEY")
    if given:
        return given.encode()
    path = home / "pii.key"
    if not path.exists():
        stage.private(home)
        stage.write_secret(path, secrets.token_hex(32).encode())
    if path.stat().st_mode & 0o077:
        raise Refused(f"{path} can be read by others; run `chmod 600 {path}`")
    if not (key := path.read_bytes()).strip():
        raise Refused(f"{path} is empty; restore it, or remove it where nothing was learned yet")
    return key


class Deidentifier:
    """One run: findings per string, public lines, surrogates per conversation."""

    def __init__(self, params: Deidentify, key: bytes, scanner: Scanner | None = None) -> None:
        self._key = key
        self.scanner = scanner or Scanner(Detector(params), params.keys, key)
        self._public = Public(params.public_conversations)
        self._people: dict[str, Surrogates] = {}
        self._recent: deque[Surrogates] = deque()
        self.originals = Originals(key)
        self.cleaner = Cleaner(params, self._public, Surrogates(key, ""), self.originals)

    def survey(self, calls: Iterable[Call]) -> int:
        """First pass: scan every distinct string, count lines. Returns the number of calls."""
        count = 0
        waiting: list[tuple[str, str, str]] = []
        for count, call in enumerate(calls, 1):  # noqa: B007 - the count is the result
            conversation, client = first_words(call), call.key or call.client
            self._public.meet(client)
            for _, path, text in strings(call):
                if text:
                    waiting.append((conversation, client, self.scanner.add(path, text)))
            if self.scanner.waiting >= WAITING:
                self._count(waiting)
        self._count(waiting)
        return count

    def _count(self, waiting: list[tuple[str, str, str]]) -> None:
        self.scanner.flush()
        for conversation, client, name in waiting:
            for leaf in self.scanner[name]:
                for located in leaf:
                    self._public.note(conversation, located.mark, client)
        waiting.clear()

    def clean(self, call: Call) -> CleanCall:
        """Second pass: the call with surrogates. Raises Quarantined."""
        same = {f.name: getattr(call, f.name) for f in fields(call)}
        texts = [Text(r, p, t, self.scanner.known(p, t)) for r, p, t in strings(call)]
        conversation = conversation_of(call)
        changed = self.cleaner.clean(call, texts, self._surrogates(conversation, call))
        return CleanCall(**same | changed | {"conversation": sealed(self._key, conversation)})

    def _surrogates(self, conversation: str, call: Call) -> Surrogates:
        person = self._people.get(conversation)
        if person is None:
            person = Surrogates(self._key, conversation, _tongue(call))
            self._people[conversation] = person
            self._recent.append(person)
            if len(self._recent) > RECENT:
                self._recent.popleft().done.clear()
        return person


def _tongue(call: Call) -> str:
    """The language of the last message of a user that has one, or of any message."""
    users = [message for message in call.messages if message.get("role") == "user"]
    said = (language(text_of(m.get("content"))) for m in (*reversed(users), *call.messages))
    return next(filter(None, said), "")


def probe(
    calls: Iterable[Call],
    params: Deidentify,
    key: bytes,
    seed: int = 0,
    *,
    scanner: Scanner | None = None,
) -> dict[str, Recall]:
    """Recall per type: personal data injected in a sample of these calls and looked for again."""
    again = max(params.probe // 2, params.public_conversations)
    trials = injected(_sample(calls, SAMPLE, seed), params.probe, again, seed)
    deidentifier = Deidentifier(params, key, scanner)
    deidentifier.survey(call for _, _, call in trials)
    return recalls(
        [(kind, not _survives(deidentifier, value, call)) for kind, value, call in trials]
    )


def _survives(deidentifier: Deidentifier, value: str, call: Call) -> bool:
    try:
        return survives(value, deidentifier.clean(call))
    except Quarantined:
        return False


def _sample(calls: Iterable[Call], size: int, seed: int) -> list[Call]:
    """A uniform sample of a stream."""
    rng = Random(seed)
    kept: list[Call] = []
    for number, call in enumerate(calls):
        if number < size:
            kept.append(call)
        elif (place := rng.randint(0, number)) < size:
            kept[place] = call
    return kept


def judge(recalls: Mapping[str, Recall], params: Deidentify) -> None:
    """Raise Refused when a type's recall is below its floor; nothing may train on such a night."""
    for kind, recall in recalls.items():
        unread = params.ner == "none" and kind == "PERSON"  # chosen: patterns find no names
        floor = 0.0 if unread else params.floors.get(kind, params.floor)
        if recall.recall < floor:
            raise Refused(
                f"de-identification found {recall.found} of {recall.injected} injected {kind}, "
                f"below the floor of {floor:g} in params.deidentify; nothing trains on this night"
            )


def judge_damage(damage: Damage, params: Deidentify) -> None:
    """Raise Refused when more words or labels were changed by mistake than the limit allows."""
    if sentence := damage.over(params.damage):
        raise Refused(
            f"{sentence}, above deidentify.damage {params.damage:g} in params.yaml; nothing trains "
            "on this night: see `flywheel pii`, and the languages that are read"
        )


def deidentify(
    calls: Path,
    out: Path,
    params: Deidentify,
    *,
    key: bytes,
    seed: int = 0,
    cache: Path | None = None,
) -> Counts:
    """Write `out/calls.parquet` (clean calls) and `out/quarantine.parquet`. Raises Refused.

    With a `cache` file, text that an earlier night scanned is not scanned again.
    """
    deidentifier = Deidentifier(params, key)
    detectors = version(params)
    if cache:
        deidentifier.scanner.load(cache, detectors)
    total = deidentifier.survey(read(calls))
    if cache:
        deidentifier.scanner.save(cache, detectors)
    recalls = (
        probe(read(calls), params, key, seed, scanner=deidentifier.scanner) if params.probe else {}
    )
    judge(recalls, params)
    dropped: Counter[str] = Counter()
    compared = Comparison(max(1, total // damage.CALLS))
    with (
        Writer(out / "calls.parquet", CLEAN) as kept,
        Writer(out / "quarantine.parquet", REJECTED) as aside,
    ):
        for call in read(calls):
            try:
                clean = deidentifier.clean(call)
                kept.write(clean)
                compared.note(call, clean)
            except Quarantined as reason:
                dropped[str(reason)] += 1
                aside.write(Rejected(id=call.id, source=call.source, reason=str(reason)))
    counts = Counts("deidentify", total, kept.count, dict(dropped))
    deidentifier.originals.save(out)
    harm = Harm(compared.by_call(), params.damage)
    harm.write(out / damage.FILE)
    whole = damage.total(harm.calls.values())
    judge_damage(whole, params)
    stage.finish(out, counts, _report(deidentifier, recalls, whole))
    return counts


def _report(
    deidentifier: Deidentifier, recalls: Mapping[str, Recall], harm: Damage
) -> dict[str, object]:
    """Return what the manifest tells: counts by type and detector, probe and damage.

    Never a text.
    """
    return {
        "entities": dict(sorted(deidentifier.cleaner.entities.items())),
        "detectors": dict(sorted(deidentifier.cleaner.detectors.items())),
        "probe": {kind: asdict(r) | {"recall": r.recall} for kind, r in recalls.items()},
        "damage": asdict(harm) | {"share": round(harm.share, 5)},
    }


def main() -> Counts:
    """The DVC stage: data/validate → data/deidentify."""
    params = load().deidentify
    key = load_key(Path(os.environ.get("FLYWHEEL_HOME", ".flywheel")))
    source = Path("data/validate/calls.parquet")
    return stage.hop(
        "deidentify", Path("data/deidentify"), lambda o: deidentify(source, o, params, key=key)
    )

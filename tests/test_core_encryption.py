"""Raw calls on disk are readable with the key alone; what lay there before stays readable."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import fsspec
import msgspec
import pytest
import served
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic import call

from flows.cli import decisions, status
from flows.night import hops, retention
from flows.night.folders import Night
from serving import audit_history, evidence, shadow
from serving.client_keys import ClientKeys
from serving.journal import Journal
from tasks.core import encryption, records
from tasks.core.encryption import VARIABLE
from tasks.core.params import Economics, Ingest, Validate, load
from tasks.core.records import CALLS, Call
from tasks.core.stage import Refused
from tasks.ingest import encoding, sources
from tasks.ingest.ingest import dry_run, ingest
from tasks.report.days import days
from tasks.validate.validate import validate

KEY, OTHER = "5a" * 32, base64.b64encode(b"\xfb" * 32).decode()
NOON = 1_772_452_800.0  # 2026-03-02 12:00 UTC
DAY = "2026-03-02"
NAME = "Mia Lindqvist"
WRONG = rf"is encrypted with the key \w{{8}}, which {VARIABLE} does not hold"
MISSING = rf"is encrypted with the key \w{{8}}, and {VARIABLE} is not set"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the key; there is one from the start."""

    def use(value: str) -> None:
        monkeypatch.setenv(VARIABLE, value)

    use(KEY)
    return use


def line(number: int) -> dict[str, object]:
    """A journal line of a served and audited call."""
    message = {"role": "user", "content": f"{number}: {NAME} asks"}
    asked = {"adapter": "a-v1-00000000", "version": 1, "since": 0.0, "answer": NAME}
    return {
        **{"id": f"call-{number}", "at": NOON + number, "request": {"messages": [message]}},
        **{"reply": {"content": NAME}, "answered_by": "a-v1-00000000", "task": "a", "key": "app"},
        **{"student": asked, "audit": {"agrees": True, "reply": {"content": NAME}}},
        **{"usage": {"prompt_tokens": 9, "completion_tokens": 9}, "reason": "served"},
    }


def lived(home: Path, *numbers: int) -> Path:
    """A home whose journal has some lines."""
    journal = Journal(home / "journal")
    for number in numbers:
        journal.append(line(number))
    journal.close()
    return home / "journal" / f"{DAY}.jsonl"


def readers(home: Path) -> dict[str, Callable[[], int]]:
    """All that reads a journal, as the number of calls that it finds."""
    folder = home / "journal"

    def ingested() -> int:
        return ingest([], home / "ingest", Ingest(), journal=folder).kept

    def spent() -> int:
        keys = ClientKeys(home, Economics(teacher_input=0, student_input=0, student_output=1e6 / 9))
        keys.recall(folder, NOON)
        return round(sum(keys._dollars.values()))

    def shown() -> int:
        return sum(bool(decisions._line(home, f"call-{n}")) for n in range(3))

    return {
        "ingest": ingested,
        "report": lambda: days(folder, Economics())[0].audited,
        "evidence": lambda: len(list(evidence.lines(folder / f"{DAY}.jsonl"))),
        "watch": lambda: len(audit_history.gather(home)),
        "keys": spent,
        "lineage": shown,
    }


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=300))
def test_what_is_encrypted_is_one_line_and_comes_back(data: bytes) -> None:
    """Whatever it holds; twice the same is not seen to be the same."""
    made = encryption.encrypted(data)
    assert b"\n" not in made
    assert encryption.decrypted(made) == data
    assert encryption.encrypted(data) != made
    assert encryption.decrypted(made[:-1]) == made[:-1]  # torn


def test_keys_come_as_text_or_in_a_file(key: Callable[[str], None], tmp_path: Path) -> None:
    """In hexadecimal or base64; the first of several encrypts, and all decrypt."""
    old = encryption.encrypted(b"old")
    (tmp_path / "keys").write_text(f"{OTHER}\n{KEY}\n")
    for both in (f"{OTHER} {KEY}", str(tmp_path / "keys")):
        key(both)
        assert encryption.decrypted(old) == b"old"
        new = encryption.encrypted(b"new")
        key(OTHER)
        assert encryption.decrypted(new) == b"new"
    key("")
    assert encryption.encrypted(b"plain") == encryption.decrypted(b"plain") == b"plain"


@pytest.mark.parametrize("wrong", ["5a" * 31, "hunter2", f"{KEY} x", "/", os.devnull])
def test_a_key_that_is_none_is_refused_unseen(key: Callable[[str], None], wrong: str) -> None:
    """Nothing is written in plain text by mistake, and the sentence does not show the secret."""
    key(wrong)
    with pytest.raises(Refused, match=f"{VARIABLE} is neither a key") as refused:
        Journal(Path("nowhere"))
    assert wrong not in str(refused.value).replace("nor the name of a file of keys", "")


@pytest.mark.parametrize("name", readers(Path()))
def test_a_journal_that_was_plain_at_first_is_read_whole(
    key: Callable[[str], None], name: str, tmp_path: Path
) -> None:
    """Whoever reads it finds all calls, of several keys or none, and leaves torn lines out."""
    key("")
    lived(tmp_path, 0)
    key(KEY)
    file = lived(tmp_path, 1)
    with file.open("ab") as torn:
        torn.write(encryption.encrypted(b"{}")[:40])
    key(f"{OTHER} {KEY}")
    lived(tmp_path, 2)
    assert file.read_bytes().count(NAME.encode()) == 4  # in the first line alone
    assert readers(tmp_path)[name]() == 3


@pytest.mark.parametrize(("now", "sentence"), [("", MISSING), (OTHER, WRONG)])
@pytest.mark.parametrize("name", readers(Path()))
def test_without_its_key_a_journal_is_refused_and_stays(
    key: Callable[[str], None], name: str, now: str, sentence: str, tmp_path: Path
) -> None:
    """The sentence names the file and the variable; with the key all is there as before."""
    file = lived(tmp_path, 0, 1, 2)
    before = file.read_bytes()
    key(now)
    with pytest.raises(Refused, match=rf"{DAY}\.jsonl(:1)? {sentence}"):
        readers(tmp_path)[name]()
    assert file.read_bytes() == before
    key(KEY)
    assert readers(tmp_path)[name]() == 3


def test_the_gateway_does_not_start_without_its_key(tmp_path: Path) -> None:
    """One sentence and exit status 2, before a call is taken; lines put aside are left alone."""
    lived(tmp_path, 0)
    env = {**os.environ, "TEACHER_BASE_URL": "http://127.0.0.1:9/v1", VARIABLE: OTHER}
    command = [sys.executable, "-m", "serving.gateway", "--home", str(tmp_path), "--port", "0"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"flywheel: {tmp_path}/journal/{DAY}.jsonl is encrypted with" in ended.stderr
    assert VARIABLE in ended.stderr


@pytest.mark.parametrize(("now", "sentence"), [("", MISSING), (OTHER, WRONG)])
@pytest.mark.parametrize("torn", [b"", b'{"encrypted":"AAAA\n'])
def test_nothing_is_added_to_what_another_key_encrypted(
    key: Callable[[str], None], now: str, sentence: str, torn: bytes, tmp_path: Path
) -> None:
    """Though the watch has read all of it, a gateway without the key does not start, nor a night.

    What they took would be written in plain text.
    """
    file = lived(tmp_path, 0)
    with file.open("ab") as opened:
        opened.write(torn)
    audit_history.gather(tmp_path)
    assert len(audit_history.look(tmp_path)) == 1
    key(now)
    with pytest.raises(Refused, match=rf"{DAY}\.jsonl {sentence}"):
        served.gateway(tmp_path, None).remember()
    night = Night(tmp_path, "2026-03-09", load())
    with pytest.raises(Refused, match=rf"{DAY}\.jsonl {sentence}"):
        hops.ingest(night, [str(tmp_path / "log.jsonl")])
    key(KEY)
    served.gateway(tmp_path, None).remember()


def test_a_night_is_not_written_beside_those_of_another_key(
    key: Callable[[str], None], tmp_path: Path
) -> None:
    """A home that learns from logs alone has no journal that would say so."""
    folder = tmp_path / "nights" / DAY
    folder.parent.mkdir()
    kept(folder)
    key(OTHER)
    with pytest.raises(Refused, match=rf"ingest/quarantine\.parquet {WRONG}"):
        hops.ingest(Night(tmp_path, "2026-03-03", load()), [str(folder / "log.jsonl")])


def test_encryption_makes_no_line_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is on what is in it."""
    monkeypatch.setattr(encoding, "MAX_LINE", 1 << 20)
    monkeypatch.setattr(encoding, "MAX_ENCRYPTED", (1 << 20) // 3 * 4 + encoding.BLOCK)
    for size, problem in ((1 << 20, ""), ((1 << 20) + 1, "too long: 1,048,577 bytes on one line")):
        file = BytesIO(encryption.encrypted(b"x" * size) + b"\n{}\n")
        first, second = encoding.lines_of(file, b'{"en')
        assert (len(first.data), first.problem, second.data) == (size, problem, b"{}")


def test_the_sentence_names_a_source_that_is_no_file(
    key: Callable[[str], None], tmp_path: Path
) -> None:
    """A bucket's, and a journal's that is only looked at."""
    store = fsspec.filesystem("memory")
    store.pipe("/aside.parquet", kept(tmp_path / "a")[2].read_bytes())
    file = lived(tmp_path, 0)
    key("")
    with pytest.raises(Refused, match=rf"memory://aside\.parquet {MISSING}"):
        list(sources.documents("memory://aside.parquet"))
    with pytest.raises(Refused, match=rf"^{file}:1 {MISSING}$"):
        dry_run([str(file)])


@pytest.mark.parametrize(
    ("file", "status", "said"), [("nowhere", 1, "flywheel: nowhere cannot be read: No such file")]
)
def test_a_person_who_reads_a_journal_gets_a_sentence(file: str, status: int, said: str) -> None:
    """No traceback."""
    command = [sys.executable, "-m", "tasks.core.encryption", file]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.startswith(said)) == (status, True)


def test_what_callers_name_outlives_their_calls_as_a_digest(tmp_path: Path) -> None:
    """Manifest, checks and Data Docs of a night are not encrypted, and stay."""
    home, name = tmp_path / "home", "mia-lindqvist"
    home.mkdir()
    tools = [{"type": "function", "function": {"name": f"{name}_tool", "parameters": {}}}]
    one = {**line(1), "audit": None, "answered_by": "teacher", "model": f"{name}-model"}
    one["request"] = {**served.requests("route", 1)[0], "tools": tools}
    (home / "log.jsonl").write_bytes(msgspec.json.encode({"v": 1, **one}) + b"\n")
    ingest([str(home / "log.jsonl")], home / "ingest", Ingest())
    earlier = home / "first"
    for out, history in ((earlier, []), (home / "second", [earlier])):
        validate(home / "ingest/calls", out, Validate(), history=history)
    (call_,) = records.read(earlier / "calls.parquet")
    assert (call_.model, call_.request["tools"]) == (f"{name}-model", tools)
    written = [p for p in home.rglob("*") if p.suffix in (".json", ".html")]
    assert len(written) > 4
    assert not [p for p in written if name in p.read_text()]


def test_lines_of_killed_gateways_are_encrypted_and_recovered(
    key: Callable[[str], None], tmp_path: Path
) -> None:
    """What was put aside for an audit is raw, too."""
    killed = Journal(tmp_path)
    killed.put_aside(line(1))
    (aside,) = tmp_path.glob(".aside-*/*.json")
    assert NAME.encode() not in aside.read_bytes()
    assert killed._alive
    killed._alive.release()
    key(OTHER)
    with pytest.raises(Refused, match=WRONG):
        Journal(tmp_path).recover()
    key(KEY)
    assert Journal(tmp_path).recover() == 1
    (file,) = tmp_path.glob("*.jsonl")
    assert [msgspec.json.decode(one)["id"] for one in encryption.lines(file)] == ["call-1"]


def test_a_changed_line_costs_itself_alone(tmp_path: Path) -> None:
    """It is left out of figures, and in quarantine with its reason; the others are calls."""
    file = lived(tmp_path, 0, 1)
    whole = file.read_bytes()
    file.write_bytes(whole[:60] + (b"A" if whole[60:61] != b"A" else b"B") + whole[61:])
    assert readers(tmp_path)["report"]() == readers(tmp_path)["ingest"]() == 1
    (bad,) = records.read_rejected(tmp_path / "ingest/quarantine.parquet")
    assert (bad.reason, bad.detail) == ("broken file", "changed since it was encrypted")


def test_lines_in_other_logs_do_not_stop_a_night(tmp_path: Path) -> None:
    """Whoever can write a line into a log can write one that looks encrypted."""
    log = tmp_path / "log.jsonl"
    made = msgspec.json.encode({"encrypted": "AAAA" * 20, "key": "00000000"})
    log.write_bytes(made + b"\n" + msgspec.json.encode({"v": 1, **line(1)}) + b"\n")
    assert ingest([str(log)], tmp_path / "out", Ingest()).dropped == {"encrypted": 1}


def kept(home: Path) -> list[Path]:
    """Ingest and validate a few calls, of which one is quarantined in each; the files."""
    home.mkdir()
    calls = [served.requests("route", 1, seed=n)[0] for n in range(3)]
    bodies = [{"v": 1, **line(n), "request": one} for n, one in enumerate(calls)]
    bodies.append({**bodies[0], "id": "long", "audit": None, "reply": {"content": NAME * 1_000}})
    with (home / "log.jsonl").open("wb") as log:
        log.writelines(msgspec.json.encode(body) + b"\n" for body in bodies)
        log.write(f'{{"broken": "{NAME}"'.encode() + b"\n")
    ingest([str(home / "log.jsonl")], home / "ingest", Ingest())
    validate(home / "ingest/calls", home / "validate", Validate(max_characters=9_000))
    return [
        *((home / "ingest/calls").glob("*.parquet")),
        *(home / one / "quarantine.parquet" for one in ("ingest", "validate")),
        home / "validate/calls.parquet",
    ]


def test_what_a_night_read_and_validated_is_encrypted(
    key: Callable[[str], None], tmp_path: Path
) -> None:
    """Calls and quarantine: the same records, and nothing of them in the files' bytes."""
    encrypted = kept(tmp_path / "a")
    key("")
    plain = kept(tmp_path / "b")
    assert all(path.read_bytes()[:4] == b"PAR1" for path in plain)
    assert all(path.read_bytes()[:4] == path.read_bytes()[-4:] == b"PARE" for path in encrypted)
    with pytest.raises(Refused, match=rf"calls\.parquet {MISSING}"):
        list(records.read(encrypted[-1]))
    key(f"{OTHER} {KEY}")
    assert _without_source(encrypted[-1]) == _without_source(plain[-1])
    for ours, theirs in zip(encrypted[1:3], plain[1:3], strict=True):
        (one,), (other,) = map(records.read_rejected, (ours, theirs))
        assert (one.reason, one.detail) == (other.reason, other.detail)
        assert NAME in one.raw


def _without_source(path: Path) -> list[tuple[str, object, object]]:
    return [(one.id, one.request, one.reply) for one in records.read(path)]


def test_an_encrypted_quarantine_is_taken_in_again(
    key: Callable[[str], None], tmp_path: Path
) -> None:
    """As any source is; without its key the sentence names the file."""
    aside = kept(tmp_path / "a")[2]
    assert ingest([str(aside)], tmp_path / "again", Ingest()).kept == 1
    key(OTHER)
    with pytest.raises(Refused, match=f"{aside} {WRONG}"):
        ingest([str(aside)], tmp_path / "once more", Ingest())


def test_clean_calls_are_as_they_were(tmp_path: Path) -> None:
    """What follows de-identification is the same bytes each time: its snapshots have a hash."""
    made = call(1, "Answer.", "hello", "ok")
    raw = Call(**{name: getattr(made, name) for name in CALLS.names})
    records.write(tmp_path / "clean.parquet", [raw], records.CLEAN)
    assert (tmp_path / "clean.parquet").read_bytes()[:4] == b"PAR1"


def test_answers_of_shadows_are_encrypted_until_they_are_forgotten(
    key: Callable[[str], None], tmp_path: Path
) -> None:
    """They repeat what callers wrote; what is left of them after the retention needs no key."""
    journal = Journal(tmp_path / "shadow" / "a-v1")
    for number, said in enumerate((NAME, "")):
        told = {"call": f"c{number}", "conversation": "x", "score": -0.1, "agrees": True}
        journal.append({"at": NOON, "adapter": "a", "answer": said, **told})
    journal.close()
    (file,) = (tmp_path / "shadow").glob("*/*.jsonl")
    assert NAME.encode() not in file.read_bytes()
    before = list(shadow.seen(tmp_path, "a", 1))
    assert len(before) == 2
    retention._without_answers(file)
    key("")
    assert list(shadow.seen(tmp_path, "a", 1)) == before


def test_status_counts_what_it_cannot_show(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The chart of who answered is of all lines."""
    lived(tmp_path, 0, 1)
    status._chart(tmp_path)
    assert "0% of 2" in capsys.readouterr().out

"""No raw value outlives its days: every file of a finished home is opened and searched."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import served
import yaml
import zstandard
from safetensors.numpy import save_file

from benchmarks import plain, raw_search
from benchmarks.raw_search import Values
from examples.agent import conversations
from flows.night import pool_update, retention
from flows.night.folders import Night
from registry import plots
from tasks.core import encryption, records, stage
from tasks.core.params import load
from tasks.report import report

pytestmark = pytest.mark.flow  # a night of a few hundred calls
ROOT = Path(__file__).parents[1]
FIRST, CALLS = date(2026, 3, 2), 400
MAIL = "mia.li+7@gmail.com"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home after a day of the sample's calls, a night that trained, and its report."""
    yield from _lived(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same one, lived with a key for what it keeps."""
    yield from _lived(tmp_path_factory.mktemp("locked"), "5a" * 32)


def _lived(folder: Path, key: str = "") -> Iterator[Path]:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"]["rungs"] = ["linear"]
    params["calibrate"] |= {"alpha": 0.3, "delta": 0.3}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        patch.setattr(pool_update, "promote", lambda _: None)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FLYWHEEL_PARAMS", str(folder / "params.yaml"))
        patch.setenv("FLYWHEEL_PII_KEY", "the same surrogates")
        patch.setenv(encryption.VARIABLE, key)
        asyncio.run(_traffic(folder / "home"))
        plain.night(str(FIRST), str(folder / "home"))
        days = report.days(folder / "home/journal", load().economics)
        report.write(folder / "home", days, now=datetime.now(UTC))
        yield folder / "home"


async def _traffic(home: Path) -> None:
    """The first calls of a day's conversations, through a gateway."""
    async with served.client(served.gateway(home, None)) as client:
        for case in conversations(CALLS, FIRST, 0):
            headers = {"x-flywheel-at": f"{case.at:.3f}", "x-conversation-id": case.seed}
            asked = {"model": "large", **next(case.open())}
            answer = await client.post("/v1/chat/completions", json=asked, headers=headers)
            assert answer.status_code == 200


@pytest.fixture(scope="module")
def values(home: Path) -> Values:
    """What is personal in that day's calls and no other customer's surrogate."""
    made = raw_search.personal(CALLS, 1, 0, FIRST)
    return made.without(raw_search.surrogate_names(home, made))


def test_raw_values_stand_in_raw_folders_alone(home: Path, values: Values) -> None:
    """Journal, ingest and validate: datasets, students, registry, report and caches are clean."""
    assert set(values.kinds.values()) == {"name", "email", "phone", "street"}
    found = raw_search.search(home, values)
    assert {path.split("/")[0] for path in found} == {"journal", "nights"}
    assert not raw_search.leaks(found)
    assert home.stat().st_mode & 0o777 == 0o700  # and only its owner may enter any of them


def test_nothing_is_left_after_the_retention(home: Path, values: Values, tmp_path: Path) -> None:
    """A month later not even there."""
    copy = tmp_path / "home"
    shutil.copytree(home, copy, symlinks=True)
    later = Night(copy, str(FIRST + timedelta(days=40)), load())
    later.out("ingest").mkdir(parents=True)
    assert retention.forget(later)
    assert not raw_search.search(copy, values)


def test_with_a_key_they_stand_nowhere(home: Path, values: Values, locked: Path) -> None:
    """Not in journal, ingest and validate either; the night kept the same calls, and learned."""
    assert not raw_search.search(locked, values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(encryption.VARIABLE, "5a" * 32)
        file = f"nights/{FIRST}/validate/calls.parquet"
        assert len(list(records.read(locked / file))) > CALLS / 2
        hidden = b"".join(encryption.lines(next((locked / "journal").glob("*.jsonl"))))
    assert any(value in hidden.decode().lower() for value in values.kinds)
    for name in ("ingest", "validate", "deidentify"):
        done = Path("nights", str(FIRST), name)
        assert stage.counts(locked / done) == stage.counts(home / done)
    judged = msgspec.json.decode((locked / "nights" / str(FIRST) / "judge.json").read_bytes())
    assert any(outcome["agreement"] for outcome in judged)  # whether one is proven is luck


def hide(folder: Path) -> None:
    """One address, packed in each of the ways that files of a home are."""
    text = f'{{"said": "write to {MAIL}"}}'
    (folder / "a.jsonl").write_text(json.dumps(text))
    (folder / "b.gz").write_bytes(gzip.compress(zstandard.compress(text.encode())))
    pq.write_table(pa.table({"x": [{"y": [text]}]}), folder / "c.parquet", compression="zstd")
    with sqlite3.connect(folder / "d.db") as database:
        database.execute("create table t (x text)")
        database.execute("insert into t values (?)", (text,))
    np.savez_compressed(folder / "e.npz", x=np.array([text]), y=np.array([text], object))
    save_file({"w": np.zeros(3)}, folder / "f.safetensors", {"note": text})
    (folder / "g.html").write_text(text.replace("@", "&#64;"))
    (folder / "h.log").write_text("GET /?q=" + MAIL.replace("@", "%40").replace("+", "%2B"))
    (folder / "i.json").write_text(text.replace("m", "\\u006d"))
    (folder / "j.msgpack").write_bytes(msgspec.msgpack.encode({"x": [text]}))
    (folder / "files" / "md5").mkdir(parents=True)
    shutil.copy(folder / "c.parquet", folder / "files" / "md5" / "0123abcd")
    (folder / MAIL).write_text("")


def test_a_hidden_leak_is_found(tmp_path: Path) -> None:
    """However it is packed; where nothing is, nothing is found."""
    hide(tmp_path)
    known = Values({MAIL: "email"})
    found = raw_search.search(tmp_path, known)
    assert found.keys() == {
        str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()
    }
    assert raw_search.leaks(found) == found
    assert not raw_search.search(tmp_path, Values({"someone.else@gmail.com": "email"}))
    old = {"journal/2026-03-02.jsonl": found["a.jsonl"]}
    assert not raw_search.leaks(old)
    assert raw_search.leaks(old, forgotten="2026-03-03") == old


def test_rooms_of_a_night_are_known() -> None:
    """What is written beside `validate` is no raw folder."""
    assert raw_search.RAW.match("nights/2026-03-02/validate/data_docs/index.html")
    assert not raw_search.RAW.match("nights/2026-03-02/dataset/a/train.parquet")

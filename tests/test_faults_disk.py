"""Files are damaged and disks fill up while calls are answered and students promoted.

Each time the end state is right, nobody serves who was not verified, and a person reads one
sentence. Services that die are in test_faults, promotions on a full disk in test_killed.
"""

from __future__ import annotations

import asyncio
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import served
import students
from colours import PROMPT, call, large, subject, trained
from disks import Disk, mounted
from unattended import YESTERDAY, calls, flywheel, params
from upstream import application

from flows.night import hops
from flows.night.folders import Night, open_night
from registry.store import Store
from serving.client import Client
from serving.decoder import Engine
from serving.engine import app
from serving.pool import Pool
from serving.reconcile import Changes, reconcile, routes
from tasks.core.records import Counts
from tasks.core.stage import Refused, room
from tasks.students.adapters import FILES

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that names colours, and its base."""
    return trained(tmp_path_factory.mktemp("colours"))


class Colours:
    """A home with one registered student, a real engine for its pool, and a gateway."""

    def __init__(self, home: Path, student: Path) -> None:
        self.home, self.base = home, student / "tiny"
        self.store = Store(f"sqlite:///{home}/mlflow.db", b"key")
        task = subject("a-1")
        folder, made, lineage = students.bundle(
            home / "made", subject=task, trained=student / "trained"
        )
        proof = students.certificate(made, task="a-1", threshold=-9.0)
        asked = [{"prompt": PROMPT, "answer": "red"}]
        (folder / "canary.json").write_bytes(msgspec.json.encode(asked))
        (folder / "certificate.json").write_bytes(msgspec.json.encode(proof))
        card = students.scorecard(made, task="a-1")
        self.version = self.store.register(task, folder, card, proof, students.PASSED, lineage)
        self.store.set_champion("a-1", 1)
        self.copies = [
            home / "adapters" / self.version.bundle,
            next((home / "mlartifacts").rglob("canary.json")).parent,
        ]
        self.start()

    def start(self) -> None:
        """Start the pool, with nothing in it."""
        self.engine = Engine(self.base, self.home / "adapters", most=1)
        self.engine.start()
        self.url = application(app(self.engine))

    def promote(self) -> Changes:
        """Make the pool match the registry."""

        async def act() -> Changes:
            async with Client() as client:
                pools = {"encoder": Pool(self.url, client)}
                aliases = self.store.aliases()
                return await reconcile(self.home, self.store, aliases, pools, str(self.base))

        return asyncio.run(act())

    def asked(self) -> str:
        """Why a call went where it went."""
        built = served.gateway(self.home, None, large)
        built.students.pools = {"encoder": Pool(self.url, built.teacher.client)}
        reply = served.post(built, call("a-1"))
        assert reply.json()["choices"][0]["message"]["content"] == "red"
        return reply.headers["x-flywheel-reason"]

    def put_aside(self, student: Path) -> None:
        """Have the engine read the student again when it is asked next."""
        other = shutil.copytree(student / "trained", self.home / "adapters" / "other")
        self.engine.load("other", other / "adapter")


class Bomb:
    """What a pickle may hold."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        """Run something where it is opened."""
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("damage", ["one bit", "cut", "pickle"])
def test_a_damaged_adapter_is_not_asked(student: Path, tmp_path: Path, damage: str) -> None:
    """It is fetched anew; where the registry's is damaged as well, the teacher has the task."""
    home, marker = tmp_path / "home", tmp_path / "opened"
    home.mkdir()
    place = Colours(home, student)
    assert (place.promote().refused, place.asked()) == ({}, "served")
    files = [copy / "adapter" / FILES["encoder"][-1] for copy in place.copies]
    whole = files[0].read_bytes()
    damaged = {
        "one bit": whole[:-1] + bytes([whole[-1] ^ 1]),
        "cut": whole[: len(whole) // 2],
        "pickle": pickle.dumps(Bomb(marker)),
    }[damage]
    files[0].write_bytes(damaged)
    place.put_aside(student)
    assert place.asked() == "pool refused"
    changes = place.promote()
    assert (changes.loaded, changes.refused) == ((place.version.adapter,), {})
    assert (files[0].read_bytes(), place.asked()) == (whole, "served")
    for file in files:
        file.write_bytes(damaged)
    place.engine.stop()
    place.start()
    changes = place.promote()
    assert "has digest" in changes.refused[place.version.bundle]
    assert (changes.serving, routes(home), place.engine.models.keys()) == ((), [], {"tiny"})
    assert place.asked() == "no task"
    assert not marker.exists()
    place.engine.stop()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk", 200) as made:
        yield made


@pytest.mark.parametrize("audit", [0.0, 1.0])
def test_a_gateway_on_a_full_disk_serves_nothing_that_it_cannot_record(
    disk: Disk, audit: float
) -> None:
    """The teacher answers; with room again students do, and every line is whole."""
    home = disk.root / "home"
    served.write_routes(home, served.route("route"))
    built = served.gateway(home, served.student("other"), audit=audit)

    def reasons() -> set[str]:
        replies = [served.post(built) for _ in range(20)]
        assert {reply.status_code for reply in replies} == {200}
        return {reply.headers["x-flywheel-reason"] for reply in replies}

    assert reasons() == {"served"}
    disk.fill()
    whys = reasons()
    assert whys - {"served"} == {"not recorded"}
    assert "(No space left on device)" in built.state()["journal"]
    disk.empty()
    built.journal.keep({"id": "room", "at": 1.0})
    assert reasons() == {"served"}


def test_a_command_on_a_full_disk_says_so(disk: Disk) -> None:
    """Before it starts anything: where, what takes the room, and nothing is left behind."""
    home = disk.root / "home"
    (home / "nights").mkdir(parents=True, mode=0o700)
    (home / "nights" / "calls").write_bytes(bytes(1 << 23))
    disk.fill()
    for words in (["promote"], ["nightly"], ["up"]):
        done = flywheel(*words, "--home", str(home), COLUMNS="1000")
        assert done.returncode == 2
        assert done.stdout.strip() == (
            f"flywheel: the disk that holds {home} is full, most of it by {home}/nights (8 MB): "
            "make room there and run this again; nothing is half written"
        )
    assert "only 0 MB are free" in flywheel("status", "--home", str(home)).stdout
    assert not [path for path in home.rglob("*") if path.suffix in (".tmp", ".json")]


def written(home: Path) -> dict[str, bytes]:
    """The rows that the hops of a night wrote."""
    found = (home / "nights").rglob("*.parquet")
    return {str(path.relative_to(home)): path.read_bytes() for path in found}


def test_hops_that_find_no_room_end_the_same(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hop had begun takes no room, and its bytes are those of a night that had enough."""
    lines = [msgspec.json.encode(one) + b"\n" for one in calls(300, "route")]
    (tmp_path / "log.jsonl").write_bytes(b"".join(lines))
    monkeypatch.setenv("FLYWHEEL_PARAMS", str(params(tmp_path, tmp_path / "log.jsonl")))
    short, whole = (open_night(at / "home", str(YESTERDAY)) for at in (disk.root, tmp_path))
    for hop in (hops.ingest, hops.validate):
        disk.fill(but=16_384)
        with pytest.raises(Refused, match=f"^the disk that holds {short.home} is full"):
            in_room(hop, short)
        assert not [p for p in short.home.rglob(".*") if p.suffix in (".tmp", ".partial")]
        disk.empty()
        hop(short), hop(whole)
    assert written(short.home) == written(whole.home)
    assert len(written(short.home)) >= 4


def in_room(hop: Callable[[Night], Counts], night: Night) -> None:
    with room(night.home):
        hop(night)

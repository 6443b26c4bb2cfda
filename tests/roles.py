"""What the containers of infra/ run, as processes on this machine in the containers' roles.

An image is a folder with the files that its Dockerfile copies, its variables, and its command;
where we are root it runs as the container's user, and can write below one folder only. What is
mounted and which address is listened on is put in the command's place of the container's own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
USER = 10001
WAIT_SECONDS = 600.0


def image_name(dockerfile: Path) -> str:
    """The name that the head of a Dockerfile gives its image."""
    found = re.search(r"^#.*docker build .* -t (\S+) \.$", dockerfile.read_text(), re.MULTILINE)
    assert found, dockerfile
    return found[1]


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; connections that are refused meanwhile are none."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if condition():
                return
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {WAIT_SECONDS:.0f} s")


@cache
def as_user(user: int = USER) -> tuple[str, ...]:
    """What a command begins with to run as a user, the containers'; nothing where that cannot be.

    An interpreter in root's own home is read by a capability, which lets nobody write.
    """
    plain = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    reads = (*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for words in (reads, plain) if os.geteuid() == 0 and shutil.which("setpriv") else ():
        tried = subprocess.run([*words, sys.executable, "-c", "import yaml"], capture_output=True)
        if tried.returncode == 0:
            return words
    return ()


# Run as `sh -c READ_ONLY place command...` in mounts of its own.
READ_ONLY = (
    'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'
)


@cache
def read_only(place: Path) -> tuple[str, ...]:
    """What a command begins with to find all but `place` read-only; nothing where it cannot."""
    words = ("unshare", "--mount", "sh", "-c", READ_ONLY, str(place))
    if os.geteuid() or not shutil.which("unshare"):
        return ()
    tried = subprocess.run([*words, "true"], capture_output=True)
    return words if tried.returncode == 0 else ()


@contextmanager
def running(
    name: str,
    words: Sequence[str],
    place: Path,
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    user: int = USER,
    contained: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes `place`/name.log and ends, with its children, with the body."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (place / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*(read_only(place) if contained else ()), *as_user(user), *words],
            cwd=cwd or place,
            env={
                **env,
                "PATH": path,
                "HOME": str(place / "tmp"),
                "TMPDIR": str(place / "tmp"),
                "OMP_NUM_THREADS": "1",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its files at `place`/name, and what stands in for its paths and ports."""

    name: str
    place: Path
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The Dockerfile, a line an instruction."""
        file = ROOT / "infra" / "images" / f"{self.name}.Dockerfile"
        return file.read_text().replace("\\\n", " ")

    def _put(self, text: str) -> str:
        instead = {"/tmp": str(self.place / "tmp"), **self.instead}
        longest = sorted(instead, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest)), lambda found: instead[found[0]], text)

    @property
    def command(self) -> list[str]:
        """What it runs."""
        words: list[str] = json.loads(re.findall(r"^CMD (\[.+\])$", self.text, re.MULTILINE)[0])
        return [self._put(word) for word in words]

    @property
    def env(self) -> dict[str, str]:
        """Its variables, and the folder of its code."""
        found = re.findall(r"^ENV (.+)$", self.text, re.MULTILINE)
        pairs = (pair.split("=", 1) for line in found for pair in line.split())
        code = {"PYTHONPATH": str(self.files), "PYTHONDONTWRITEBYTECODE": "1"}
        return {name: self._put(value) for name, value in pairs} | code

    @property
    def files(self) -> Path:
        """Where its files are."""
        return self.place / self.name

    def unpack(self) -> None:
        """Copy what the Dockerfile copies, and nothing else."""
        for line in re.findall(r"^COPY (.+)$", self.text, re.MULTILINE):
            *sources, target = line.split()
            for source in sources:
                to = self.files / target.lstrip("/")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, to, dirs_exist_ok=True)
                    continue
                to = to / Path(source).name if target.endswith("/") else to
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes((ROOT / source).read_bytes())

    @contextmanager
    def running(self, ready: str = "", **env: str) -> Iterator[subprocess.Popen[bytes]]:
        """The container; the body begins when the address `ready` answers 200."""
        if not self.files.exists():
            self.unpack()
        variables = {**self.env, **env}
        with running(
            self.name, self.command, self.place, variables, cwd=self.files, contained=True
        ) as process:
            if ready:
                wait_for(f"the start of {self.name}", lambda: self._answers(process, ready))
            yield process

    def _answers(self, process: subprocess.Popen[bytes], url: str) -> bool:
        log = self.place / f"{self.name}.log"
        assert process.poll() is None, log.read_text()[-3000:]
        return httpx.get(url).status_code == 200

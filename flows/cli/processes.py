"""The processes of the embedded stack: started, kept alive, ended, and found when nobody kept them.

Each carries its stack's name in its environment, as do those that it starts. A guard waits beside
them until the command that started it is gone, however that ended, and ends what is left:

    python -m flows.cli.processes NAME      (started by `running`; ends when its input is closed)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.core.stage import Refused, check_room

MARK = "FLYWHEEL_STACK"  # in the environment of every process of a stack
START_SECONDS = 300.0  # on a busy machine Prefect takes minutes
STOP_SECONDS = 15.0
DEATHS, WINDOW = 5, 600.0  # so many within so many seconds are too many
ANSWER_SECONDS = 5.0
ASK_SECONDS, MISSES = 5.0, 12  # between two questions; so many without an answer, and it hangs


@dataclass(frozen=True, slots=True)
class Service:
    """A program to run, the port it listens on and the path that answers 200 when it is ready.

    `stop` is the signal that ends it. What it prints goes to its log, or to the terminal as well as
    everything else where `shown`.
    """

    name: str
    command: Sequence[str]
    port: int
    ready: str = "/health"
    env: Mapping[str, str] = field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM
    shown: bool = False

    @property
    def url(self) -> str:
        """Its address on this machine."""
        return f"http://127.0.0.1:{self.port}"


def _started(service: Service, name: str, log: Path) -> subprocess.Popen[bytes]:
    """A service's process, in a group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            list(service.command),
            env={**os.environ, **service.env, MARK: name},
            stdin=subprocess.DEVNULL,
            stdout=None if service.shown else output,
            stderr=None if service.shown else subprocess.STDOUT,
            start_new_session=True,
        )


@dataclass(slots=True)
class Kept:
    """A service that is kept alive: its process, when it died lately, and when it starts again.

    `missed` is how many questions it has not answered; they are fewer than none while it starts.
    """

    service: Service
    stack: str
    log: Path
    process: subprocess.Popen[bytes]
    deaths: list[float] = field(default_factory=list)
    again: float | None = None
    missed: int = 0

    @classmethod
    def start(cls, service: Service, stack: str, log: Path) -> Kept:
        """Start a service of a stack by its name."""
        return cls(service, stack, log, _started(service, stack, log))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self, deadline: float) -> None:
        """Wait until it has ended, and kill it at the deadline."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(deadline - time.monotonic(), 0))
        self.signal(signal.SIGKILL)
        self.process.wait()

    def last_words(self) -> str:
        """The last line of its log, and where that is."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        words = lines[-1][:300] if lines else "it printed nothing"
        return f"{words} (log: {self.log})"

    def answers(self) -> bool:
        """Return whether it answers, within some seconds."""
        import httpx

        url = self.service.url + self.service.ready
        with suppress(httpx.HTTPError):
            return httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False).status_code == 200
        return False

    def ask(self) -> None:
        """Count whether it answers."""
        self.missed = 0 if self.answers() else self.missed + 1

    def ready(self) -> None:
        """Wait until it answers. Raises Refused when it ends before, or takes too long."""
        name, deadline = self.service.name, time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Refused(f"the {name} did not start: {self.last_words()}")
            if self.answers():
                return
            time.sleep(0.1)
        raise Refused(f"the {name} was not ready after {START_SECONDS:.0f} s (log: {self.log})")

    def look(self, now: float) -> str | None:
        """Start it again some seconds after it died; the sentence that says so, at its death.

        One that hangs is killed first. Raises Refused when it has died too often.
        """
        code = self.process.poll()
        if code is None and self.missed < MISSES:
            return None
        if self.again is not None:
            if now >= self.again:
                self.process = _started(self.service, self.stack, self.log)
                self.again, self.missed = None, -int(START_SECONDS / ASK_SECONDS)
            return None
        self.signal(signal.SIGKILL)  # what it had started holds its port
        self.process.wait()
        self.deaths = [*(then for then in self.deaths if now - then < WINDOW), now]
        name, count = self.service.name, len(self.deaths)
        how = _how(code)
        if count > DEATHS:
            raise Refused(
                f"the {name} died {count} times within {WINDOW / 60:.0f} minutes: "
                f"{how}, {self.last_words()}"
            )
        wait = 2 ** (count - 1)
        self.again = now + wait
        return f"the {name} died ({how}) and starts again in {wait} s (log: {self.log})"


def _how(code: int | None) -> str:
    """Return how a service ended, by its exit status; None where it hung."""
    if code is None:
        return "it did not answer for a minute"
    return signal.Signals(-code).name if code < 0 else f"status {code}"


Look = Callable[[float], list[str]]  # at a time (monotonic seconds), what there is to say


@contextmanager
def running(services: Sequence[Service], home: Path) -> Iterator[Look]:
    """Start all services at once, wait until each is ready, and stop them when the body ends.

    Gives a function that starts again what has died or hangs. Each writes `home/logs/<name>.log`.
    Raises Refused with a service's last line when it does not start, or where the disk is full.
    """
    name, logs = f"{home}#{uuid.uuid4().hex}", home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    check_room(home)
    kept, over = list[Kept](), threading.Event()
    with _guarded(name):
        try:
            kept.extend(Kept.start(s, name, logs / f"{s.name}.log") for s in services)
            for one in kept:
                one.ready()
            threading.Thread(target=_keep_asking, args=[kept, over], daemon=True).start()
            yield lambda now: [ending for one in kept if (ending := one.look(now))]
        finally:
            over.set()
            _stop(kept)


def _keep_asking(kept: Sequence[Kept], over: threading.Event) -> None:
    while not over.wait(ASK_SECONDS):
        for one in kept:
            one.ask()


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Have a guard beside a stack, which ends what is left of it when this process is gone."""
    guard = subprocess.Popen(
        [sys.executable, "-m", __name__, name], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        guard.communicate()  # closes its input, and waits until it has looked


def _stop(kept: Sequence[Kept]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    for one in kept:
        one.signal(one.service.stop)
    for one in kept:
        one.stop(deadline)


def left(name: str) -> list[psutil.Process]:
    """The processes of a stack by its name, or of all stacks on a home by `<home>#`; not this."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK, "").startswith(name):
                processes.append(process)
    return processes


def end(processes: Sequence[psutil.Process]) -> None:
    """End processes: with SIGTERM, and after some seconds with SIGKILL."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(processes, STOP_SECONDS)[1]:
        with suppress(psutil.Error):
            process.kill()


if __name__ == "__main__":
    sys.stdin.read()
    while processes := left(sys.argv[1]):
        end(processes)

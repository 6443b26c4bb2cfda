"""The embedded engine's heart: a base model, its adapters, and the one thread that decodes."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from serving.chat_request import BadRequest
from tasks.students import minilm
from tasks.students.adapters import FILES, adapter_digest, kind_of
from tasks.students.causal import ADAPTER_FILES, Student, base_digest
from tasks.students.decoding import Answer, Ask
from tasks.students.encoder import EncoderStudent

MAX_BATCH = 32
MAX_WAITING = 512
MAX_RANK = 128


@dataclass(slots=True)
class DecodeJob:
    """One prompt that waits for its answer."""

    model: str
    ask: Ask
    top: int
    done: Future[Answer] = field(default_factory=Future)


class Engine:
    """A base model, the adapters loaded onto it, and the thread that decodes.

    Any number may be loaded; the `most` that were asked last are in memory, and the others are
    read again when they are asked, as in vLLM. One whose bytes are others by then is forgotten.
    """

    def __init__(self, base: Path, adapters: Path, most: int = 32) -> None:
        self.name, self.root, self.most = base.name, adapters.resolve(), most
        self.student = Student.load(base, None)
        self.digest = base_digest(base)
        self.models = {self.name: base}
        self._digests: dict[str, str] = {}  # of the adapters, as they were loaded
        self._held: OrderedDict[str, Student | EncoderStudent] = OrderedDict()
        self.started = int(time.time())
        self._lock = threading.Lock()
        self._jobs: queue.Queue[DecodeJob | None] = queue.Queue()
        self._open: set[Future[Answer]] = set()  # jobs that wait or are decoded
        self._thread = threading.Thread(target=self._work, name="decode", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker once its batch is done; what still waits is cancelled."""
        self._jobs.put(None)
        self._thread.join()

    def load(self, name: str, path: Path) -> None:
        """Load an adapter under a name. Raises BadRequest."""
        with self._lock:
            if name in self.models:
                raise BadRequest(f"The lora adapter '{name}' has already been loaded.")
            self._check(path)
            found = adapter_digest(path)
            self._hold(name, path)
            self.models[name], self._digests[name] = path, found

    def _hold(self, name: str, path: Path) -> Student | EncoderStudent:
        """Read an adapter into memory, in place of the one that was asked longest ago.

        Raises BadRequest where it cannot be read.
        """
        small = kind_of(path) == "encoder"
        try:
            self._held[name] = EncoderStudent.load(path) if small else self.student.adapted(path)
        except Exception as error:  # of safetensors, peft or torch: whatever the bytes are not
            raise BadRequest(f"{path} cannot be read: {error}") from error
        while len(self._held) > self.most:
            self._held.popitem(last=False)
        return self._held[name]

    def student_of(self, name: str) -> Student | EncoderStudent:
        """The student of that name. Raises KeyError and BadRequest.

        One whose files have changed, or are gone, is forgotten: who promotes sees that, and loads
        a whole one.
        """
        with self._lock:
            path = self.models[name]
            if name == self.name:
                return self.student
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
            if not self._unchanged(name, path):
                self._forget(name)
                raise BadRequest(f"The files of '{name}' have changed since it was loaded.", 404)
            return self._hold(name, path)

    def _unchanged(self, name: str, path: Path) -> bool:
        try:
            self._check(path)
            return adapter_digest(path) == self._digests[name]
        except (BadRequest, OSError, ValueError):
            return False

    def _check(self, path: Path) -> None:
        """Refuse what did not come from the registry's own folder or is not for this base."""
        folder = path.resolve()
        if not folder.is_relative_to(self.root):
            raise BadRequest(f"{path} is outside of {self.root}")
        if not (folder / ADAPTER_FILES[0]).is_file():
            raise BadRequest(f"No adapter found for {path}", 404)
        kind = kind_of(folder)
        if not all((folder / name).is_file() for name in FILES[kind]):
            raise BadRequest(f"No adapter found for {path}", 404)
        others = sorted({file.name for file in folder.iterdir()} - {*FILES[kind], "README.md"})
        if others:
            raise BadRequest(f"{path} holds {others[0]}; only safetensors are loaded")
        config = msgspec.json.decode((folder / ADAPTER_FILES[0]).read_bytes())
        base = minilm.DIGEST if kind == "encoder" else self.digest
        if config.get("revision") != base:
            raise BadRequest(f"{path} was trained on another base than {self.name}")
        if not 0 < config.get("r", 0) <= MAX_RANK:
            raise BadRequest(f"{path} has rank {config.get('r')}; at most {MAX_RANK} is served")

    def unload(self, name: str) -> None:
        """Forget an adapter. Raises BadRequest."""
        with self._lock:
            if name == self.name or name not in self.models:
                raise BadRequest(f"The lora adapter '{name}' cannot be found.", 404)
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self.models[name], self._digests[name]
        self._held.pop(name, None)

    def submit(self, job: DecodeJob) -> Future[Answer]:
        """Queue a job. Raises BadRequest when too many wait."""
        if len(self._open) >= MAX_WAITING:
            raise BadRequest(f"{MAX_WAITING} requests are waiting", 503)
        self._open.add(job.done)
        job.done.add_done_callback(self._open.discard)
        self._jobs.put(job)
        return job.done

    def _work(self) -> None:
        """Decode the oldest job together with all that wait for the same model."""
        waiting: list[DecodeJob] = []
        while True:
            arrived = [self._jobs.get()] if not waiting else []
            while not self._jobs.empty():
                arrived.append(self._jobs.get())
            waiting += [job for job in arrived if job is not None]
            if None in arrived:
                break
            batch = [job for job in waiting if job.model == waiting[0].model][:MAX_BATCH]
            waiting = [job for job in waiting if not any(job is taken for taken in batch)]
            self._decode([job for job in batch if job.done.set_running_or_notify_cancel()])
        for job in waiting:
            job.done.cancel()

    def _decode(self, batch: Sequence[DecodeJob]) -> None:
        if not batch:
            return
        try:
            student = self.student_of(batch[0].model)
            top = max(job.top for job in batch)
            answers = student.decode([job.ask for job in batch], top)
        except Exception as error:  # the worker goes on, whatever a batch did
            for job in batch:
                job.done.set_exception(error)
        else:
            for job, answer in zip(batch, answers, strict=True):
                tops = tuple(probable[: job.top] for probable in answer.tops)
                job.done.set_result(replace(answer, tops=tops))

    @property
    def alive(self) -> bool:
        """Return whether the worker still decodes."""
        return self._thread.is_alive()

"""Launch: one training in several processes on this machine, by `accelerate launch`.

The processes run `python -m tasks.train JOB`. The main one tells each step as a line of JSON, and
so does a process that refuses the job; everything else that they print goes to stderr.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec

from tasks.core.params import Rung, Train
from tasks.core.stage import Refused
from tasks.train.loop import Progress


class TrainingJob(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a training; paths as text, empty where there is none."""

    dataset: str
    out: str
    warm: str
    checkpoint: str
    params: Train
    rung: Rung
    minutes: float


class TrainingStep(msgspec.Struct, frozen=True, tag=True):
    """A training's progress, as `Progress` hears it."""

    step: int
    steps: int
    loss: float


class TrainingRefusal(msgspec.Struct, frozen=True, tag=True):
    """Why the job cannot be done."""

    sentence: str


def say(told: TrainingStep | TrainingRefusal) -> None:
    """Tell the process that launched this one."""
    sys.stdout.write(f"{msgspec.json.encode(told).decode()}\n")  # at once: others write here too
    sys.stdout.flush()


def processes(params: Train, rung: Rung) -> int:
    """Return how many processes train a student; `train.processes` 0 is one for each GPU.

    Students of the encoder are too small to be worth more than one. Raises Refused when a GPU
    would have to be shared.
    """
    import torch

    gpus = torch.cuda.device_count()
    if rung != "causal" or params.processes == 1:
        return 1
    if gpus and params.processes > gpus:
        raise Refused(f"train.processes is {params.processes}, this machine has {gpus} GPUs")
    return params.processes or max(gpus, 1)


def run(job: TrainingJob, count: int, progress: Progress | None) -> None:
    """Do a job in `count` processes and pass on how far they are. Raises Refused as they do.

    When it is interrupted here, the processes end; their checkpoint stays.
    """
    import torch

    command = (
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--multi_gpu", "--num_processes", str(count), "--num_machines", "1"),  # CPUs as well
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        *("--num_cpu_threads_per_process", str(max(1, torch.get_num_threads() // count))),
        *("-m", "tasks.train", msgspec.json.encode(job).decode()),
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                told = _heard(line)
                if isinstance(told, TrainingRefusal):
                    raise Refused(told.sentence)
                if told and progress:
                    progress(told.step, told.steps, told.loss)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise RuntimeError(f"accelerate launch ended with status {process.returncode}")


def _heard(line: str) -> TrainingStep | TrainingRefusal | None:
    try:
        return msgspec.json.decode(line, type=TrainingStep | TrainingRefusal)
    except msgspec.DecodeError:
        sys.stderr.write(line)
        return None

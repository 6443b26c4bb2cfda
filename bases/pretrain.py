"""Pretrains the nano base: a Qwen2-type model of 10 M parameters, on synthetic chats.

    python -m bases.pretrain --out bases/nano [--begin bases/nano] [--rows 16]

It takes some minutes on a GPU, with a dozen `--workers` that make text. On a CPU the same command
takes days; fewer `--rows` and `--steps` make a lesser base in an hour. A run that stopped goes on
from its last checkpoint in `--work`, and with other `--steps` too as long as the rate has not begun
to fall; every checkpoint is a loadable folder. `--finish` only copies the last checkpoint to
`--out`.
"""

import argparse
import json
import shutil
import time
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bases import batches, meanings, tokens
from bases.synth import examples
from bases.trainer import EMBEDDINGS, Config, Trainer, rate
from bases.wordlists import vocabulary


def new_tokenizer(config: Config) -> Any:
    """BPE learned from the seed's own examples, which training does not see again."""
    source = islice(examples(-config.seed), config.texts)
    texts = [" ".join([*(t for _, t in e.messages), e.answer]) for e in source]
    often = max(config.texts // 600, 1)  # so that rare everyday words are not spelled in pieces
    own = meanings.common(config.known)
    capital = [word.capitalize() for word in own[: config.known // 2]]
    return tokens.wrap(tokens.train(texts + (vocabulary() + own + capital) * often, config.vocab))


def new_model(config: Config, tokenizer: Any) -> Any:
    """A fresh Qwen2-type model."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(config.seed)
    shape = Qwen2Config(
        vocab_size=config.vocab,
        hidden_size=config.hidden,
        intermediate_size=config.inner,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    return Qwen2ForCausalLM(shape)


def save(folder: Path, model: Any, tokenizer: Any, log: Path | None = None) -> None:
    """Write aside and rename file by file, so that a reader never meets half a file."""
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokens.save(tokenizer, aside)
    if log:
        shutil.copy(log, aside / "training.jsonl")
    publish(aside, folder)
    shutil.rmtree(aside)


def publish(source: Path, folder: Path) -> None:
    """Move every file of a checkpoint into the folder, each in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        part = folder / f".{path.name}.part"
        shutil.copyfile(path, part)  # not its mode: others must be able to read a base
        part.replace(folder / path.name)


@dataclass(slots=True)
class Run:
    """A run and where its files are."""

    config: Config
    work: Path
    tokenizer: Any
    trainer: Trainer
    step: int = 0
    tokens: int = 0

    @property
    def log(self) -> Path:
        """One JSON line for the config, then one for every tenth step; before it, earlier runs."""
        return self.work / "training.jsonl"

    def checkpoint(self) -> None:
        """A loadable folder, and the state that a resumed run needs."""
        import torch

        save(self.work / "checkpoint", self.trainer.model, self.tokenizer, self.log)
        state = {"config": asdict(self.config), "step": self.step, "tokens": self.tokens}
        part = self.work / "state.part"
        torch.save({**state, "trainer": self.trainer.state()}, part)
        part.replace(self.work / "state.pt")

    def note(self, losses: list[float], pace: float, echo: bool) -> None:
        """One line in the log and, every 50 steps, on the screen."""
        step, steps = self.step, self.config.steps
        loss, lr = sum(losses) / len(losses), self.config.lr * rate(self.config, step - 1)
        row = {"step": step - 1, "tokens": self.tokens, "loss": round(loss, 4), "lr": round(lr, 6)}
        with self.log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if echo and step % 50 == 0:
            speed, left = self.tokens / step / pace, (steps - step) * pace / 60
            head = f"{step}/{steps} loss {loss:.3f}"
            print(f"{head} {speed:,.0f} tokens/s, {left:.1f} min left", flush=True)


def runs(log: Path) -> list[list[dict[str, Any]]]:
    """The rows of each run that a base was made by, the config first."""
    found: list[list[dict[str, Any]]] = []
    for row in map(json.loads, log.read_text().splitlines()):
        if "config" in row:
            found.append([])
        found[-1].append(row)
    return found


def fresh(config: Config) -> tuple[Any, Any]:
    """The tokenizer and the model that a run begins with."""
    if config.begin:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(config.begin, dtype="float32")
        return tokens.load(Path(config.begin)), model
    tokenizer = new_tokenizer(config)
    model = new_model(config, tokenizer)
    if config.known:
        meanings.begin(model.get_parameter(EMBEDDINGS), tokenizer, config.seed)
    return tokenizer, model


def begin(config: Config, work: Path, fuse: bool) -> Run:
    """A new run, or the one in `work` from its last checkpoint."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    work.mkdir(parents=True, exist_ok=True)
    state = work / "state.pt"
    if not state.exists():
        tokenizer, model = fresh(config)
        run = Run(config, work, tokenizer, Trainer(config, model, device, fuse))
        header = json.dumps({"config": asdict(config), "device": device})
        earlier = Path(config.begin, "training.jsonl").read_text() if config.begin else ""
        run.log.write_text(f"{earlier}{header}\n")
        return run
    saved = torch.load(state, map_location=device)
    if {**saved["config"], "steps": config.steps} != asdict(config):
        raise SystemExit(f"{work} holds a run with another config: {saved['config']}")
    tokenizer = tokens.load(work / "checkpoint")
    trainer = Trainer(config, new_model(config, tokenizer), device, fuse)
    trainer.restore(saved["trainer"])
    run = Run(config, work, tokenizer, trainer, saved["step"], saved["tokens"])
    *before, rows = runs(run.log)
    rows[0]["config"] = asdict(config)  # a run on its plateau may be given another end
    kept = [*chain(*before), *(row for row in rows if row.get("step", -1) < run.step)]
    run.log.write_text("".join(f"{json.dumps(row)}\n" for row in kept))
    return run


def train(
    config: Config,
    work: Path,
    *,
    save_every: float = 300.0,
    until: int | None = None,
    echo: bool = True,
    fuse: bool = False,
    workers: int = 0,
) -> list[float]:
    """Run to the end, or to step `until`, and return the losses."""
    run = begin(config, work, fuse)
    end = config.steps if until is None else until
    fast, pad = run.tokenizer.backend_tokenizer, run.tokenizer.pad_token_id
    blocks = batches.Blocks(fast, config.seed, config.rows, config.width, pad)
    source = batches.stream(blocks, run.step, workers)
    losses: list[float] = []
    start = since = time.monotonic()
    for batch in islice(source, end - run.step):
        losses.append(run.trainer.step(batch, run.step))
        run.step, run.tokens = run.step + 1, run.tokens + batch.tokens
        if run.step % 10 == 0 or run.step == end:
            run.note(losses[-10:], (time.monotonic() - start) / len(losses), echo)
        if time.monotonic() - since > save_every or run.step == end:
            run.checkpoint()
            since = time.monotonic()
    return losses


def main() -> None:
    """The command line: every field of the config is an option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/nano"))
    parser.add_argument("--out", type=Path, default=Path("bases/nano"))
    parser.add_argument("--save-every", type=float, default=300.0, help="seconds")
    parser.add_argument("--no-fuse", action="store_true", help="do without torch.compile")
    parser.add_argument("--finish", action="store_true", help="only copy the last checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes that make text")
    for name, value in asdict(Config()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = vars(parser.parse_args())
    import torch

    torch.set_num_threads(args["threads"])
    config = Config(**{name: args[name] for name in asdict(Config())})
    if not args["finish"]:
        kept = {name: args[name] for name in ("save_every", "workers")}
        train(config, args["work"], fuse=not args["no_fuse"], **kept)
    publish(args["work"] / "checkpoint", args["out"])


if __name__ == "__main__":
    main()

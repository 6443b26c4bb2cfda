"""Pictures of a student for MLflow: what it may answer at which risk, its mistakes, its training.

Drawn on figures of their own, without pyplot: students are registered in several threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from registry.bundle import ComparedAnswer
from tasks.core.certificate import Certificate
from tasks.core.contract import Contract, normal
from tasks.core.training import Training
from tasks.evaluate import quality
from tasks.evaluate.significance import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, SOFT, RULE, STUDENT, TEACHER = "#191d22", "#5c6570", "#e2e4e1", "#0e7c66", "#b4540a"
MOST = 15  # labels or fields in one picture
WIDE = 28  # characters of a name beside an axis


def plots(
    contract: Contract,
    compared: Sequence[ComparedAnswer],
    certificate: Certificate | None,
    training: Training,
) -> dict[str, Figure]:
    """The pictures that there is something to draw for, by name."""
    figures = {"loss": loss(training)} if training.losses else {}
    if compared:
        figures["risk"] = risk(compared, certificate)
    if compared and contract.kind == "labels":
        figures["confusion"] = confusion(compared, contract)
    if compared and contract.kind in ("json", "tools"):
        figures["fields"] = fields(compared)
    return figures


def risk(compared: Sequence[ComparedAnswer], certificate: Certificate | None) -> Figure:
    """Answers are let through from the most confident down: how many of those are wrong."""
    drawn, axes = _page(
        "Risk and coverage", f"{len(compared)} test calls, most confident answers first"
    )
    sure = sorted((r for r in compared if r.score is not None), key=lambda r: -(r.score or 0.0))
    total = sum(row.weight for row in compared)
    seen = list(accumulate(row.weight for row in sure))
    wrong = list(accumulate(row.weight * (not row.agrees) for row in sure))
    squares = list(accumulate(row.weight**2 for row in sure))
    share = [100 * s / total for s in seen]
    points = [100 * w / s for w, s in zip(wrong, seen, strict=True)]
    bands = [wilson(w / s, s * s / q) for w, s, q in zip(wrong, seen, squares, strict=True)]
    low, high = ([100 * band[side] for band in bands] for side in (0, 1))
    axes.fill_between(share, low, high, color=STUDENT, alpha=0.13, lw=0, label="95 % interval")
    axes.plot(share, points, color=STUDENT, lw=2, label="wrong, of the answers let through")
    top = max([*points[len(points) // 5 :], 1.0])
    if certificate:
        top = max(top, 100 * certificate.alpha)
        served = sum(row.weight for row in sure if (row.score or 0.0) >= certificate.threshold)
        axes.axhline(
            100 * certificate.alpha, color=TEACHER, ls="--", lw=1.2,
            label=f"risk accepted: {certificate.alpha:.1%}",
        )  # fmt: skip
        axes.axvline(
            100 * served / total, color=INK, ls=":", lw=1.4,
            label=f"certified threshold: serves {served / total:.0%}",
        )  # fmt: skip
    axes.set(xlim=(0, 100), ylim=(0, 1.5 * top))
    axes.set_xlabel("answers let through, % of the calls")
    axes.set_ylabel("wrong, % of those")
    drawn.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=INK)
    return drawn


def confusion(compared: Sequence[ComparedAnswer], contract: Contract) -> Figure:
    """Return which labels are taken for which; of many labels those with the most mistakes."""
    names = {normal(label, contract): label for label in contract.labels}
    pairs = [
        tuple(
            names.get(normal(answer, contract), "off contract") for answer in (r.expected, r.given)
        )
        for r in compared
    ]
    wrong = Counter(label for pair in pairs if pair[0] != pair[1] for label in pair)
    common = Counter(expected for expected, _ in pairs)
    shown = sorted({*wrong, *common}, key=lambda label: (-wrong[label], -common[label]))[:MOST]
    shown.sort(key=lambda label: (-common[label], label))
    counts = Counter(pairs)
    cells = [[counts[row, column] for column in shown] for row in shown]
    left = len({*wrong, *common}) - len(shown)
    about = f"{len(compared)} test calls" + (
        f"; {left} labels with fewer mistakes left out" * (left > 0)
    )
    drawn, axes = _page("Confusion", about, 3.2 + 0.36 * len(shown), 2.4 + 0.36 * len(shown))
    shade = [[n / max(sum(row), 1) for n in row] for row in cells]
    axes.imshow(shade, cmap=_shades(), vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(cells):
        for j, count in enumerate(row):
            if count:
                tone = "white" if shade[i][j] > 0.55 else INK
                axes.text(j, i, f"{count}", ha="center", va="center", color=tone, fontsize=8)
    axes.set_xticks(range(len(shown)), map(_short, shown), rotation=40, ha="right")
    axes.set_yticks(range(len(shown)), map(_short, shown))
    axes.set_xlabel("the student's answer")
    axes.set_ylabel("the teacher's answer")
    axes.grid(visible=False)
    return drawn


def fields(compared: Sequence[ComparedAnswer]) -> Figure:
    """The F1 of each field of the answers, the most frequent fields first."""
    every = quality.by_field([row.expected for row in compared], [row.given for row in compared])
    shown = dict(list(every.items())[:MOST])
    left = len(every) - len(shown)
    about = f"{len(compared)} test calls" + (f"; {left} rarer fields left out" * (left > 0))
    drawn, axes = _page("Fields", about, 7.2, 1.9 + 0.34 * len(shown))
    values = [100 * f1 for f1, _ in shown.values()]
    axes.barh(range(len(shown)), values, color=STUDENT, height=0.62)
    for place, (value, (_, count)) in enumerate(zip(values, shown.values(), strict=True)):
        axes.text(value + 1, place, f"{value:.1f}", va="center", color=INK, fontsize=9)
        axes.text(117, place, f"{count:,}", va="center", ha="right", color=SOFT, fontsize=9)
    axes.text(117, -0.85, "expected", ha="right", va="bottom", color=SOFT, fontsize=9)
    axes.set_yticks(range(len(shown)), map(_short, shown))
    axes.set(xlim=(0, 118), ylim=(len(shown) - 0.4, -0.8), xticks=range(0, 101, 20))
    axes.set_xlabel("F1 of the field, %")
    axes.grid(visible=False, axis="y")
    return drawn


def loss(training: Training) -> Figure:
    """The loss step by step, and what the validation rows said."""
    about = f"{training.steps:,} steps, {training.rows:,} rows, {training.seconds:,.0f} s"
    drawn, axes = _page("Training", about)
    steps, values = zip(*training.losses, strict=True)
    axes.plot(steps, values, color=RULE, lw=1, zorder=1)
    axes.plot(steps, _smooth(values), color=SOFT, lw=1.8, label="loss, smoothed", zorder=2)
    at = [mark.step for mark in training.validation]
    axes.plot(at, [mark.loss for mark in training.validation], color=TEACHER, marker="o", ms=4,
              lw=1.6, label="loss on validation rows", zorder=3)  # fmt: skip
    axes.axvline(training.best, color=INK, ls=":", lw=1.4, label=f"kept: step {training.best:,}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats")
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    right.plot(at, [100 * mark.exact for mark in training.validation], color=STUDENT, marker="o",
               ms=4, lw=1.6, label="validation answers exact (right axis)")  # fmt: skip
    right.set_ylabel("exact, %", color=STUDENT)
    right.set_ylim(0, 104)
    right.tick_params(colors=STUDENT, length=0)
    for side in right.spines.values():
        side.set_visible(False)
    lines = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    drawn.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK)
    return drawn


def _page(title: str, about: str, width: float = 7.2, height: float = 4.4) -> tuple[Figure, Axes]:
    """An empty picture in the report's colours; width and height in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    room = ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.14)
    drawn = Figure(figsize=(width, height), dpi=120, layout=room, facecolor="white")
    axes = drawn.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontsize=13, fontweight="bold", pad=24)
    axes.annotate(about, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points",
                  color=SOFT, fontsize=9.5)  # fmt: skip
    axes.grid(color=RULE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, length=0, labelsize=9)
    axes.xaxis.label.set_color(SOFT)
    axes.yaxis.label.set_color(SOFT)
    for side in axes.spines.values():
        side.set_visible(False)
    return drawn, axes


def _smooth(values: Sequence[float]) -> list[float]:
    """Each value with those before it, a fifth of the weight at each step."""
    return list(accumulate(values, lambda before, value: 0.8 * before + 0.2 * value))


def _shades() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("student", ["white", STUDENT])


def _short(name: str) -> str:
    """A name in one line beside an axis; a dollar sign would begin a formula."""
    line = " ".join(name.split())
    return (line if len(line) <= WIDE else f"{line[: WIDE - 1]}…").replace("$", r"\$")

"""A line of shares, day by day, as inline SVG: colours come from the page's CSS classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 30, 34, 32
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)
MOST_LINES, MOST_LABELS = 5, 8


@dataclass(frozen=True, slots=True)
class Point:
    """One day: its share (None when unknown), the interval around it, and the hover text.

    `mark` is what happened that day; empty on most days.
    """

    label: str
    share: float | None
    low: float
    high: float
    hover: str
    mark: str = ""


def line(
    points: Sequence[Point], name: str, *, floor: float = 0.0, target: float | None = None
) -> str:
    """The chart; `name` is the CSS class and the spoken label, `floor` the lowest share shown."""
    step = next((s for s in STEPS if (1 - floor) / s <= MOST_LINES), STEPS[-1])
    low = max(0.0, math.floor(floor / step + 1e-9) * step)
    places = 0 if step >= 0.01 else 1

    def x(index: int) -> float:
        span = WIDTH - LEFT - RIGHT
        return LEFT + span * (index + 0.5) / len(points)

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share) / (1 - low)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart {name}" role="img" '
        f'aria-label="{name} per day">'
    ]
    for mark in range(round((1 - low) / step) + 1):
        share = low + mark * step
        parts.append(
            f'<path class="grid" d="M{LEFT} {y(share):.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">'
            f"{share:.{places}%}</text>"
        )
    measured = [(x(i), p) for i, p in enumerate(points) if p.share is not None]
    if target is not None:
        parts.append(
            f'<path class="target" d="M{LEFT} {y(target):.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="tick" x="{WIDTH - RIGHT}" y="{y(target) + 14:.1f}" text-anchor="end">'
            f"asked for: {target:.0%}</text>"
        )
    parts += [_mark(x(i), point.mark) for i, point in enumerate(points) if point.mark]
    parts += _band(measured, y) + _line(measured, y)
    every = math.ceil(len(points) / MOST_LABELS)
    for index, point in enumerate(points):
        if (len(points) - 1 - index) % every == 0:
            parts.append(
                f'<text class="tick" x="{x(index):.1f}" y="{HEIGHT - 10}" text-anchor="middle">'
                f"{escape(point.label)}</text>"
            )
    return "".join(parts) + "</svg>"


def _mark(x: float, text: str) -> str:
    """A line down one day, and what happened on it."""
    return (
        f'<path class="target" d="M{x:.1f} {TOP - 8}V{HEIGHT - BOTTOM}"/>'
        f'<text class="tick" x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{escape(text)}</text>'
    )


def _band(measured: Sequence[tuple[float, Point]], y: Callable[[float], float]) -> list[str]:
    """The interval around the line; a few days get a bar each as well."""
    if all(point.low == point.high for _, point in measured):
        return []
    upper = [f"{x:.1f},{y(point.high):.1f}" for x, point in measured]
    lower = [f"{x:.1f},{y(point.low):.1f}" for x, point in reversed(measured)]
    parts = [f'<polygon class="band" points="{" ".join(upper + lower)}"/>']
    if len(measured) <= MOST_LABELS:
        bars = "".join(f"M{x:.1f} {y(p.high):.1f}V{y(p.low):.1f}" for x, p in measured)
        parts.append(f'<path class="bar" d="{bars}"/>')
    return parts


def _line(measured: Sequence[tuple[float, Point]], y: Callable[[float], float]) -> list[str]:
    places = [(x, y(point.share or 0.0), point) for x, point in measured]
    path = " ".join(f"{x:.1f},{at:.1f}" for x, at, _ in places)
    parts = [f'<polyline class="line" points="{path}"/>']
    few = len(places) <= MOST_LABELS
    for x, at, point in places:
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{at:.1f}" r="{5 if few else 3}">'
            f"<title>{escape(point.hover)}</title></circle>"
        )
    for x, at, point in places if few else places[-1:]:
        anchor = "start" if few else "end"
        parts.append(
            f'<text class="value" x="{x + 9:.1f}" y="{at - 9:.1f}" text-anchor="{anchor}">'
            f"{point.share:.1%}</text>"
        )
    return parts

"""The gateway's counters, in the text format that Prometheus reads."""

from __future__ import annotations

from collections import Counter

CALLS = "flywheel_calls_total"
SERVED = "flywheel_served_total"
ESCALATED = "flywheel_escalations_total"
AUDITS = "flywheel_audits_total"
TEACHER = "flywheel_teacher_responses_total"
UNWRITTEN = "flywheel_unwritten_total"
SECONDS = "flywheel_call_seconds_total"
_HELP = {
    CALLS: "Calls received.",
    SERVED: "Calls answered by a student, by adapter.",
    ESCALATED: "Calls that went to the teacher, by reason.",
    AUDITS: "Served answers that were also sent to the teacher, by outcome.",
    TEACHER: "The teacher's responses, by HTTP status (0: none).",
    UNWRITTEN: "Answered calls that could not be written to the journal.",
    SECONDS: "Seconds from a call's arrival to the end of its answer, by who answered.",
}


class Metrics:
    """Counters, each with at most one label."""

    def __init__(self) -> None:
        self._values: Counter[tuple[str, str, str]] = Counter()
        self._sums: dict[tuple[str, str, str], float] = {}

    def count(self, name: str, label: str = "", value: str = "") -> None:
        """Add one."""
        self._values[name, label, value] += 1

    def add(self, name: str, label: str, value: str, amount: float) -> None:
        """Add an amount."""
        key = (name, label, value)
        self._sums[key] = self._sums.get(key, 0.0) + amount

    def total(self, name: str) -> int:
        """A counter's sum over its labels."""
        return sum(count for (counter, _, _), count in self._values.items() if counter == name)

    def by(self, name: str) -> dict[str, int]:
        """A counter's values by label value."""
        return {value: n for (counter, _, value), n in self._values.items() if counter == name}

    def text(self) -> str:
        """Everything, in Prometheus' exposition format."""
        lines: list[str] = []
        values: dict[tuple[str, str, str], float] = {**self._values, **self._sums}
        for name, description in _HELP.items():
            lines += [f"# HELP {name} {description}", f"# TYPE {name} counter"]
            for (counter, label, value), number in sorted(values.items()):
                if counter == name:
                    safe = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
                    lines.append(
                        f'{name}{{{label}="{safe}"}} {number}' if label else f"{name} {number}"
                    )
        return "\n".join(lines) + "\n"

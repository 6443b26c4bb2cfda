"""The gateway's metrics, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.journal_quota import JournalQuota

LABELS = 200  # different values of a label; a client could think of any number of option names
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """Counters and latencies of one gateway."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.calls = self._counter("calls", "Calls received, by API.", "api")
        self.served = self._counter("served", "Calls answered by a student, by adapter.", "adapter")
        self._escalated = self._counter(
            "escalations", "Calls that went to the teacher, by reason.", "reason"
        )
        self.audits = self._counter(
            "audits", "Served answers that were also sent to the teacher, by outcome.", "outcome"
        )
        self.revoked = self._counter(
            "revocations", "Students that the audit took out of service, by adapter.", "adapter"
        )
        self.teacher = self._counter(
            "teacher_responses", "The teacher's responses, by HTTP status (0: none).", "status"
        )
        self.refused = self._counter(
            "refused", "Requests that the gateway did not take, by HTTP status.", "status"
        )
        self.unwritten = self._counter(
            "unwritten", "Answered calls that could not be written to the journal."
        )
        self.seconds = Histogram(
            "flywheel_call_seconds",
            "Seconds from a call's arrival to the end of its answer, by who answered.",
            ("by",),
            registry=self._registry,
            buckets=SECONDS,
        )
        self._journal = self._gauge("journal_bytes", "Bytes of the journal's files.")
        self._bare = self._gauge(
            "calls_without_texts", "Calls whose texts were not kept, as the journal is full."
        )
        self._reasons: set[str] = set()

    def journaled(self, quota: JournalQuota) -> None:
        """Note what the journal holds."""
        self._journal.set(quota.held)
        self._bare.set(quota.bare)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"flywheel_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"flywheel_{name}", text, registry=self._registry)

    def escalated(self, reason: str) -> None:
        """Count an escalation."""
        if reason not in self._reasons and len(self._reasons) >= LABELS:
            reason = "other"
        self._reasons.add(reason)
        self._escalated.labels(reason).inc()

    def state(self) -> dict[str, dict[str, int]]:
        """The counts so far, by metric and label value."""
        named = {
            "calls": self.calls,
            "served": self.served,
            "escalated": self._escalated,
            "audits": self.audits,
        }
        return {
            name: {
                next(iter(sample.labels.values())): int(sample.value)
                for metric in counter.collect()
                for sample in metric.samples
                if sample.name.endswith("_total")
            }
            for name, counter in named.items()
        }

    def text(self) -> str:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry).decode()

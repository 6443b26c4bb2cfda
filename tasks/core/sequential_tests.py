"""Evidence: tests of a student's risk that may be looked at after every answer.

`Proof` is an e-process against "more than α of the answers are wrong": whatever happens, the chance
that it ever reaches 1/δ while that is true is at most δ (Ville 1939; betting on several risks at
once as in Waudby-Smith and Ramdas 2024, JRSS B 86, 1-27). `ChangeDetector` is an e-detector
after Shiryaev and Roberts for the change from "at most α are wrong" to more: without a change the
mean number of answers to a false alarm is at least its threshold (Shin, Ramdas and Rinaldo 2024,
NEJSDS 2, 229-260; for guards of deployed models arXiv 2605.20270). `interval` is a confidence
sequence of the risk for people (Robbins 1970, Annals of Mathematical Statistics 41, 1397-1409).
Pure: nothing is read or written here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

LOWER = (0.2, 0.5)  # the risks that a proof bets on, as shares of alpha
HIGHER = (1.6, 2.4, 4.0, 7.0)  # the risks that a detector looks for, as multiples of alpha
ALARM = 3_000.0  # answers at a risk of alpha in which there is one false alarm at most
HALVINGS = 40


def log_mean(logs: list[float]) -> float:
    """The logarithm of the mean of numbers that are given by their logarithms."""
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))


def bet(alpha: float, risk: float, wrong: bool, share: float = 1.0) -> float:
    """The log of a bet's gain on one answer: at a risk of `risk` it grows fastest.

    Its mean is at most 1 where the null holds. `share` (0..1) makes it smaller, for answers that
    stand for fewer calls than others do.
    """
    return math.log1p(share * (alpha - risk) / (alpha * (1 - alpha)) * (alpha - wrong))


@dataclass(slots=True)
class Proof:
    """The evidence against "more than `alpha` of the answers are wrong"; `peak` is its log so far.

    Answers of one conversation must be seen once: they are wrong together.
    """

    alpha: float
    right: int = 0
    wrong: int = 0
    peak: float = 0.0
    _logs: list[float] = field(default_factory=lambda: [0.0] * len(LOWER))

    def see(self, wrong: bool, share: float = 1.0) -> None:
        """Take in one answer; `share` is the calls it stands for, of the most that one may."""
        for place, part in enumerate(LOWER):
            self._logs[place] += bet(self.alpha, part * self.alpha, wrong, share)
        self.wrong += wrong
        self.right += not wrong
        self.peak = max(self.peak, self.log)

    @property
    def log(self) -> float:
        """The log of the evidence now."""
        return log_mean(self._logs)

    def proven(self, delta: float) -> bool:
        """Return whether the risk was at some time proven to be at most alpha."""
        return self.peak >= -math.log(delta)

    def lacking(self, delta: float) -> int:
        """Return how many more answers, all of them right, are the least that prove it."""
        if self.proven(delta):
            return 0
        gains = [bet(self.alpha, part * self.alpha, wrong=False, share=1.0) for part in LOWER]

        def enough(more: int) -> bool:
            logs = [log + more * gain for log, gain in zip(self._logs, gains, strict=True)]
            return log_mean(logs) >= -math.log(delta)

        most = 1
        while not enough(most):
            most *= 2
        return next_true(most // 2, most, enough)


def _one_more(log: float) -> float:
    """The log of a number, given by its log, plus one: the change may begin with any answer."""
    return max(log, 0.0) + math.log1p(math.exp(-abs(log)))


@dataclass(slots=True)
class ChangeDetector:
    """Finds the moment from which more than `alpha` of the answers are wrong."""

    alpha: float
    seen: int = 0
    _logs: list[float] = field(default_factory=list)
    _rise: list[float] = field(default_factory=list)  # since the change, were it there
    _since: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._logs = [-math.inf] * len(self.risks)
        self._rise, self._since = [0.0] * len(self.risks), [0] * len(self.risks)

    @property
    def risks(self) -> list[float]:
        """The risks that are looked for; none is above what lies between alpha and 1."""
        return [min(more * self.alpha, (more * self.alpha + 1) / 2, 0.99) for more in HIGHER]

    def see(self, wrong: bool) -> None:
        """Take in one audited answer."""
        for place, risk in enumerate(self.risks):
            if self._rise[place] <= 0:  # what went before speaks for no change
                self._rise[place], self._since[place] = 0.0, self.seen
            odds = risk / self.alpha if wrong else (1 - risk) / (1 - self.alpha)
            self._rise[place] += math.log(odds)
            self._logs[place] = _one_more(self._logs[place]) + math.log(odds)
        self.seen += 1

    @property
    def log(self) -> float:
        """The log of the evidence for a change; minus infinity before the first answer."""
        return log_mean(self._logs) if self.seen else -math.inf

    def alarm(self, threshold: float = ALARM) -> bool:
        """Return whether the risk has changed.

        Without a change once in `threshold` answers at most.
        """
        return self.log >= math.log(threshold)

    @property
    def changed(self) -> int:
        """The number of answers before the change, as it looks from here."""
        return self._since[max(range(len(self._rise)), key=self._rise.__getitem__)]


def interval(wrong: int, n: int, delta: float = 0.05) -> tuple[float, float]:
    """Return where the risk lies, at all times at once, with confidence 1 - delta.

    The risks that a mixture over all of them, by Jeffreys' prior, has not refuted.
    """
    if n == 0:
        return 0.0, 1.0
    right = n - wrong
    mixed = (
        math.lgamma(wrong + 0.5) + math.lgamma(right + 0.5) - math.lgamma(n + 1) - math.log(math.pi)
    )

    def refuted(risk: float) -> bool:
        if risk <= 0 or risk >= 1:
            return wrong > 0 if risk <= 0 else right > 0
        return mixed - wrong * math.log(risk) - right * math.log1p(-risk) >= -math.log(delta)

    seen = wrong / n
    return _edge(0.0, seen, refuted), _edge(1.0, seen, refuted)


def _edge(out: float, within: float, refuted: Callable[[float], bool]) -> float:
    """The last refuted risk on the way from `out` to one that is not."""
    if not refuted(out):
        return out
    for _ in range(HALVINGS):
        middle = (out + within) / 2
        out, within = (middle, within) if refuted(middle) else (out, middle)
    return out


def next_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The least number above `low`, up to `high`, for which something holds from then on."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high

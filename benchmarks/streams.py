"""Made-up traffic whose risk is known: shapes of risk, a month of nights, conversations, slips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flows.night.shadow_plan import SOON
from registry.gate import to_beat
from tasks.calibrate.calibrate import LIKELY, HeldOut
from tasks.calibrate.shadow_proof import (
    ShadowAnswer,
    ShadowPlan,
    calls_needed,
    certificate,
    standing,
    thresholds,
)
from tasks.calibrate.threshold import MIDDLE, choose, needed, plan, walk
from tasks.core.certificate import Certificate, spent
from tasks.core.params import Dataset, Judge, Serve, Train
from tasks.evaluate.significance import binomial_tail, grouped_tail, wilson

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Curve = Callable[[Floats], Floats]  # the risk at a rank, 0 the most confident and 1 the least

ALPHA, DELTA = 0.05, 0.1
NIGHTS, WINDOW = 30, 14
ALIKE = 0.8  # correlation of what two nights' students find hard
SAME = 0.7  # share of the mistakes that two students have in common, at a like rank
GRID = 100_000
SHARES = Dataset()
AUDIT = Serve().audit
ENOUGH = Train().enough
LEAST = Judge().min_coverage

SHAPES: dict[str, Curve] = {
    "easy": lambda u: 0.075 * u**1.5,
    "rising": lambda u: 0.26 * u**2,
    "right on 40 %": lambda u: np.where(u < 0.4, 0.005, 0.4),
    "right on 20 %": lambda u: np.where(u < 0.2, 0.005, 0.4),
}
MONTHS: dict[str, tuple[Curve, int]] = {  # with calls a day
    "risk .055 everywhere": (lambda u: np.full_like(u, 0.055), 100),
    "risk .06 over all": (lambda u: 0.12 * u, 330),
    "risk .10 over all": (lambda u: 0.2 * u, 330),
    "risk .035 over all": (lambda u: 0.07 * u, 330),
    "right on 40 %": (SHAPES["right on 40 %"], 100),
}
SIZES: dict[str, Callable[[np.random.Generator], NDArray[np.int_]]] = {
    "80 of 5 calls": lambda rng: np.full(80, 5),
    "150, geometric": lambda rng: rng.geometric(0.25, 150),
    "200, Pareto up to 60": lambda rng: np.minimum(60, np.ceil(rng.pareto(1.1, 200) + 0.01)).astype(
        int
    ),
}


def risks(curve: Curve) -> Floats:
    """The true risk of serving the most confident 1, 2, … `GRID` parts of the traffic."""
    ranks = (np.arange(GRID) + 0.5) / GRID
    return np.cumsum(curve(ranks)) / np.arange(1, GRID + 1)


@dataclass(slots=True)
class Waiting:
    """A shadow: what it has to prove, what it has been asked, and what it lacked at its start."""

    plan: ShadowPlan
    lacked: int
    seen: list[ShadowAnswer] = field(default_factory=list)


@dataclass(slots=True)
class Month:
    """A task's life: its calls, who serves them, and what is known of each.

    `hard` and `luck` are what all students have in common about a call; `part` draws its split,
    `audit` whether it is audited, `even` whether it is kept where calls are thinned.
    """

    curve: Curve
    calls: int
    rng: np.random.Generator
    true: Floats
    nights: list[dict[str, Floats]] = field(default_factory=list)
    serving: Certificate | None = None
    since: int = 0
    attempts: int = 0
    bad: bool = False
    served: list[float] = field(default_factory=list)
    shadow: Waiting | None = None
    by_shadow: int = 0

    def day(self) -> None:
        """One day's calls: served by the champion, audited at its rate, else the teacher's."""
        names = ("luck", "part", "audit", "even")
        made = {name: self.rng.random(self.calls) for name in names}
        made["hard"] = self.rng.normal(size=self.calls)
        made["rate"] = np.full(self.calls, AUDIT if self.serving else 1.0)
        ranks, _ = self.ask([made])
        taken = ranks <= -self.serving.threshold if self.serving else np.zeros(self.calls, bool)
        made["labelled"] = (~taken | (made["audit"] < AUDIT)).astype(float)
        made["weight"] = np.where(taken, 1 / AUDIT, 1.0)
        self.served.append(float(taken.mean()))
        self.nights = [*self.nights, made][-WINDOW:]
        if self.shadow:
            self._prove(self.shadow, made, taken)

    def _prove(self, shadow: Waiting, made: dict[str, Floats], taken: Flags) -> None:
        """Ask the shadow the day's labelled calls, and promote it where they prove it."""
        ranks, wrong = self.ask([made])
        share = np.where(taken, 1.0, made["rate"])
        known = np.flatnonzero(made["labelled"])
        shadow.seen += calls(ranks[known], wrong[known], share[known], len(self.served))
        proof = certificate(shadow.plan, standing(shadow.plan, shadow.seen))
        if proof is None:
            return
        self.shadow = None
        if proof.coverage >= max(LEAST, to_beat(self.serving, self.now(), ALPHA)):
            self.by_shadow += 1
            self.promote(-proof.threshold, proof.n, proof.attempt)

    def ask(self, some: Sequence[dict[str, Floats]]) -> tuple[Floats, Flags]:
        """A student's ranks of calls (uniform, 0 its most confident), and which it gets wrong."""
        from scipy.special import ndtr

        hard, luck = (np.concatenate([one[name] for one in some]) for name in ("hard", "luck"))
        own = self.rng.normal(size=len(hard))
        ranks: Floats = ndtr(ALIKE * hard + np.sqrt(1 - ALIKE**2) * own)
        fresh = self.rng.random(len(hard))
        same = self.rng.random(len(hard)) < SAME
        return ranks, np.where(same, luck, fresh) < self.curve(ranks)

    def kept(self, some: Sequence[dict[str, Floats]], known: bool) -> tuple[Flags, Floats]:
        """Return which calls are on record and an even sample, and the draw that splits them.

        With the audit's rate `known`, or by the heaviest call that a day happens to have.
        """
        keys = ("labelled", "rate", "weight", "even", "part")
        labelled, rate, weight, even, part = (np.concatenate([o[k] for o in some]) for k in keys)
        if not known:
            seen = [np.where(o["labelled"] > 0, o["weight"], 1.0).max() for o in some]
            rate = 1 / np.repeat(seen, self.calls)
        return (labelled > 0) & (even < rate * weight), part

    def promote(self, rank: float, n: int, attempt: int) -> None:
        """Let a new student serve from a rank on."""
        self.serving = Certificate(
            task="t", adapter_digest="d", threshold=-rank, alpha=ALPHA, delta=DELTA, n=n,
            accepted=round(rank * n), wrong=0, coverage=rank, floor=0.0, p=0.0, attempt=attempt,
        )  # fmt: skip
        self.since = len(self.served)
        self.bad |= bool(self.true[max(0, round(rank * GRID) - 1)] > ALPHA)

    def now(self) -> HeldOut | None:
        """Return what the champion does on the labelled calls since it serves."""
        days = self.nights[-(len(self.served) - self.since) :]
        if self.serving is None or len(self.served) == self.since:
            return None
        kept, part = self.kept(days, known=True)
        held = kept & (part > SHARES.train + SHARES.validation)
        ranks, wrong = self.ask(days)
        taken = held & (ranks <= -self.serving.threshold)
        right = 1 - float(wrong[taken].mean()) if taken.any() else 1.0
        low, high = wilson(right, float(taken.sum()))
        share = float(taken.sum() / max(1, held.sum()))
        return HeldOut(
            n=int(held.sum()), served=int(taken.sum()), coverage=share,
            agreement=right, low=low, high=high,
        )  # fmt: skip


def before(month: Month) -> None:
    """A night by the rules of old: whole δ each night, walks from the middle, the widest wins."""
    if month.serving and month.serving.coverage >= ENOUGH:
        return
    ranks, wrong = month.ask(month.nights)
    kept, part = month.kept(month.nights, known=False)
    proof = kept & (part > 0.45) & (part <= 0.85)
    n = int(proof.sum())
    step = choose(walk(-ranks[proof], ~wrong[proof], ALPHA, DELTA), DELTA)
    rival = month.serving.coverage if month.serving else 0.0
    if step and wilson(step.accepted / n, n)[1] >= rival:
        month.promote(-step.threshold, n, 1)


def ours(month: Month) -> None:
    """A night as it is: `tasks.calibrate` and `registry.gate`, on made-up students."""
    now = month.now()
    lasting = now is None or wilson(now.coverage, now.n)[1] >= ENOUGH
    enough = month.serving and month.serving.coverage >= ENOUGH and lasting
    if month.serving and enough and not (now and now.breaks(month.serving)):
        return
    least, delta = to_beat(month.serving, now, ALPHA), spent(DELTA, month.attempts + 1)
    ranks, wrong = month.ask(month.nights)
    kept, part = month.kept(month.nights, known=True)
    limits = np.cumsum([SHARES.train, SHARES.validation, SHARES.calibration])
    pilot, proof = (kept & (part > a) & (part <= b) for a, b in pairwise(limits))
    n = int(proof.sum())
    known = list(zip((-ranks[pilot]).tolist(), (~wrong[pilot]).tolist(), strict=True))
    chosen = plan(known, n, ALPHA, delta, least=least)
    if n >= needed(ALPHA, delta) and (not chosen or chosen.chance >= LIKELY):
        month.attempts += 1
        start = chosen.start if chosen else MIDDLE
        step = choose(walk(-ranks[proof], ~wrong[proof], ALPHA, delta, start=start), delta)
        if step and step.accepted / n >= least:
            month.promote(-step.threshold, n, month.attempts)
            month.shadow = None
            return
    tested = kept & (part > limits[-1])
    more = zip((-ranks[tested]).tolist(), (~wrong[tested]).tolist(), strict=True)
    before_ = calls(ranks[proof], wrong[proof], np.ones(n), 0)
    _shadowed(month, [*known, *more], before_, least)


def calls(ranks: Floats, wrong: Flags, share: Floats, day: int) -> list[ShadowAnswer]:
    """Labelled calls as a shadow's proof takes them, each a conversation of its own."""
    return [
        ShadowAnswer(
            call=f"{day}-{n}", at=day + n / len(ranks), conversation=f"{day}-{n}",
            score=-float(ranks[n]), agrees=not wrong[n], share=float(share[n]),
        )
        for n in range(len(ranks))
    ]  # fmt: skip


def _shadowed(
    month: Month, guide: list[tuple[float, bool]], proof: Sequence[ShadowAnswer], least: float
) -> None:
    """Make tonight's student the shadow where a proof is likely, as `flows.night` does."""
    if month.shadow:
        now = standing(month.shadow.plan, month.shadow.seen)
        if now.lacking <= 2 * month.shadow.lacked:
            return
    sure, right = [one for one, _ in guide], [ok for _, ok in guide]
    chosen = thresholds(sure, right, ALPHA, max(LEAST, least))
    if not chosen:
        return
    made = ShadowPlan(
        task="t", adapter_digest="d", alpha=ALPHA, delta=DELTA, attempt=month.attempts + 1,
        thresholds=chosen, loaded=len(month.served) + 0.5, before=tuple(proof),
    )  # fmt: skip
    if calls_needed(made, guide) <= len(proof) + SOON * month.calls:
        month.attempts += 1
        month.shadow = Waiting(made, standing(made, ()).lacking)


def months(name: str, night: Callable[[Month], None], streams: int, seed: int) -> tuple[float, ...]:
    """Return how often a champion over α ever serves.

    The share served; attempts and shadows promoted.
    """
    curve, a_day = MONTHS[name]
    true, found = risks(curve), list[tuple[float, ...]]()
    for stream in range(streams):
        month = Month(curve, a_day, np.random.default_rng((seed, stream)), true)
        for _ in range(NIGHTS):
            month.day()
            night(month)
        shares = float(np.mean(month.served))
        found.append((month.bad, shares, month.attempts, month.by_shadow))
    return tuple(float(mean) for mean in np.mean(found, axis=0))


def conversations(
    name: str, alike: float, risk: float, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return how often a risk in conversations passes as at most α.

    Our test's rate, and a plain one's.
    """
    passed = plain = 0
    for _ in range(draws):
        sizes = SIZES[name](rng)
        part = (1 - alike) / max(alike, 1e-9)
        each = rng.beta(risk * part, (1 - risk) * part, len(sizes)) if alike else risk
        groups = np.repeat(np.arange(len(sizes)), sizes)
        wrong = rng.random(len(groups)) < np.broadcast_to(each, len(sizes))[groups]
        passed += grouped_tail(wrong, groups, ALPHA) <= DELTA
        plain += binomial_tail(int(wrong.sum()), len(wrong), ALPHA) <= DELTA
    return passed / draws, plain / draws


def filtered(
    curve: Curve, slips: float, n: int, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return how often live answers disagree in more than α of the served calls, though certified.

    The teacher's reply is off contract in a share `slips` of the calls: counted as disagreements,
    and left out of the calibration rows.
    """
    true = risks(curve)
    broken = {True: 0, False: 0}
    for _ in range(draws):
        ranks, off = rng.random(n), rng.random(n) < slips
        wrong = off | (rng.random(n) < curve(ranks))
        for counted in broken:
            used = np.ones(n, bool) if counted else ~off
            step = choose(walk(-ranks[used], ~wrong[used], ALPHA, DELTA), DELTA)
            if step:
                risk = true[max(0, round(-step.threshold * GRID) - 1)]
                broken[counted] += bool(slips + (1 - slips) * risk > ALPHA)
    return broken[True] / draws, broken[False] / draws

"""The gate: may this student take its task over? Pure: figures in, a verdict and its reason out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.calibrate.calibrate import HeldOut
from tasks.core.certificate import Certificate, Risk
from tasks.core.params import Judge
from tasks.core.scorecard import Scorecard
from tasks.evaluate.significance import wilson

NOISE = 0.05  # a paired difference less likely than this is not chance
MARGIN = 0.02  # of the calls, that a challenger has to be certified for beyond the champion


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision and one sentence that says why."""

    passed: bool
    reason: str


def to_beat(
    serving: Certificate | None, now: HeldOut | None, alpha: float, risk: Risk = "selective"
) -> float:
    """The share of the calls that a challenger has to be certified for.

    Each change of champion is another chance to be wrong, so it has to bring something. `now` is
    what the champion does on tonight's calls: one that is more often wrong than was certified need
    not be beaten, nor one that was proven at a higher risk than `alpha` or at another kind of risk,
    and one that serves less than it did need only be beaten at that.
    """
    if serving is None or serving.alpha > alpha or serving.risk != risk:
        return 0.0
    if now and now.breaks(serving):
        return 0.0
    most = wilson(now.coverage, now.n)[1] if now else 1.0
    return round(min(serving.coverage, most) + MARGIN, 4)


def judge(
    scorecard: Scorecard,
    certificate: Certificate | str | None,
    champion: Scorecard | None,
    params: Judge,
    *,
    held: HeldOut | None = None,
    serving: Certificate | None = None,
    now: HeldOut | None = None,
    leaked: int = 0,
) -> Verdict:
    """Let a student pass, or say which condition it fails first.

    A `certificate` that is text is the reason why there is none. `champion` and `serving` are the
    scorecard and the certificate of the student that serves now, `now` is what that one does on
    tonight's calls; `held` is how the threshold fared on the test set, which it was not chosen on;
    `leaked` counts values that de-identification replaced and that stand in the student or its
    answers.
    """
    if leaked:
        return Verdict(False, f"It gives away {leaked} values that had been de-identified.")
    if not isinstance(certificate, Certificate):
        return Verdict(False, f"There is no certificate: {certificate or 'nothing was proven'}.")
    for objection in _objections(scorecard, certificate, champion, params, held):
        return Verdict(False, objection)
    rival = serving if serving and serving.adapter_digest != certificate.adapter_digest else None
    least = to_beat(rival, now, certificate.alpha, certificate.risk)
    if rival and certificate.coverage < least:
        shortfall = f"It would answer {certificate.coverage:.1%} of the calls; the champion answers"
        return Verdict(
            False, f"{shortfall} {rival.coverage:.1%}, at least {least:.1%} is asked for."
        )
    reason = f"It answers {certificate.coverage:.0%} of the calls by itself"
    if held and held.served:
        reason += f", and {held.agreement:.1%} of those as the teacher does"
    if rival:
        reason += f"; the champion answers {rival.coverage:.0%}"
        reason += " and is wrong more often than certified" * bool(now and now.breaks(rival))
    return Verdict(True, f"{reason}.")


def _objections(
    scorecard: Scorecard,
    certificate: Certificate,
    champion: Scorecard | None,
    params: Judge,
    held: HeldOut | None,
) -> Iterator[str]:
    """Every condition that the student fails, the gravest first."""
    if certificate.adapter_digest != scorecard.adapter_digest:
        yield "The certificate and the scorecard are of two different adapters."
    if certificate.coverage < params.min_coverage:
        yield (
            f"It would answer {certificate.coverage:.1%} of the calls; "
            f"at least {params.min_coverage:.0%} is asked for."
        )
    if held and held.breaks(certificate):
        yield (
            f"On the test set {held.agreement:.1%} of the {held.served} answers let through are "
            f"the teacher's; {1 - certificate.alpha:.0%} is asked for."
        )
    lazy = next((line for line in scorecard.table if line.name == "majority answer"), None)
    if lazy and scorecard.high < lazy.agreement:
        yield (
            f"Always giving the most frequent answer agrees with the teacher more often "
            f"({lazy.agreement:.1%}) than this student does ({scorecard.agreement:.1%})."
        )
    if champion and scorecard.worse > scorecard.better and scorecard.p < NOISE:
        yield (
            f"On the same {scorecard.n} test calls the champion is right {scorecard.worse} times "
            f"where this student is wrong, and wrong {scorecard.better} times where it is right."
        )

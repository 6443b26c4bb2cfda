"""The gate: which students pass, and what it says to a person about those that do not."""

from __future__ import annotations

import re

import pytest
import students
from hypothesis import given
from hypothesis import strategies as st

from registry.gate import Verdict, judge, to_beat
from tasks.calibrate.calibrate import HeldOut
from tasks.core.certificate import Certificate
from tasks.core.params import Judge
from tasks.core.scorecard import Scorecard, ScorecardLine
from tasks.evaluate.significance import wilson

PARAMS = Judge()


def held(served: int, wrong: int) -> HeldOut:
    agreement = 1 - wrong / served
    low, high = wilson(agreement, served)
    return HeldOut(n=320, served=served, coverage=0.8, agreement=agreement, low=low, high=high)


def seen(coverage: float, agreement: float) -> HeldOut:
    low, high = wilson(agreement, 300 * coverage)
    found = {"coverage": coverage, "agreement": agreement, "low": low, "high": high}
    return HeldOut(n=300, served=round(300 * coverage), **found)


def test_a_lower_risk_may_answer_less() -> None:
    """A champion that was proven at a higher risk than is accepted now is no rival."""
    card, proof = students.scorecard(), students.certificate(alpha=0.01)
    daring = students.certificate("old", coverage=0.95, alpha=0.05)
    assert judge(card, proof, None, PARAMS, serving=daring).passed
    assert not judge(card, daring, None, PARAMS, serving=proof).passed


def test_a_certified_student_passes() -> None:
    """A student with a certificate, enough coverage and no rival passes, with its figures."""
    verdict = judge(students.scorecard(), students.certificate(), None, PARAMS, held=held(270, 6))
    assert verdict == Verdict(
        True, "It answers 86% of the calls by itself, and 97.8% of those as the teacher does."
    )


@pytest.mark.parametrize("certificate", [None, "wrong in 31 of the 90 most confident answers"])
def test_no_certificate_no_traffic(certificate: str | None) -> None:
    """A student without a certificate is refused, with the reason why there is none."""
    verdict = judge(students.scorecard(), certificate, None, PARAMS)
    assert not verdict.passed
    assert verdict.reason.startswith("There is no certificate: ")
    assert (certificate or "nothing was proven") in verdict.reason


REFUSALS = {
    "another adapter's certificate": (
        {"certificate": students.certificate("other")},
        "two different adapters",
    ),
    "hardly any coverage": (
        {"certificate": students.certificate(coverage=0.03)},
        r"3\.0% of the calls; at least 5%",
    ),
    "wrong on the test set": ({"held": held(270, 40)}, r"85\.2% of the 270 answers .* 95%"),
    "worse than a constant": (
        {
            "scorecard": students.scorecard(
                table=[
                    ScorecardLine(name="student", agreement=0.953, low=0.92, high=0.971, valid=1.0),
                    ScorecardLine(
                        name="majority answer", agreement=0.99, low=0.9, high=1.0, valid=1.0
                    ),
                ]
            )
        },
        r"most frequent answer .* \(99\.0%\) .* \(95\.3%\)",
    ),
    "beaten by the champion": (
        {
            "scorecard": students.scorecard(better=3, worse=19, p=0.0009),
            "champion": students.scorecard("old"),
        },
        "champion is right 19 times where this student is wrong, and wrong 3 times",
    ),
    "answers less than the champion": (
        {
            "champion": students.scorecard("old"),
            "serving": students.certificate("old", coverage=0.95),
        },
        r"86\.0% of the calls; the champion answers 95\.0%, at least 97\.0%",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_why(case: str) -> None:
    """Each condition that a student fails is one sentence with the figures in it."""
    changes, sentence = REFUSALS[case]
    parts = {
        "scorecard": students.scorecard(),
        "certificate": students.certificate(),
        "champion": None,
        **changes,
    }
    verdict = judge(**parts, params=PARAMS)
    assert not verdict.passed
    assert re.search(sentence, verdict.reason)
    assert verdict.reason.endswith(".")


def test_differences_within_noise_do_not_refuse() -> None:
    """A student that is a little worse than the champion by chance may take over."""
    verdict = judge(
        students.scorecard(better=4, worse=6, p=0.75),
        students.certificate(),
        students.scorecard("old"),
        PARAMS,
        held=held(270, 14),
        serving=students.certificate("old", coverage=0.84),
    )
    assert verdict.passed
    assert "the champion answers 84%" in verdict.reason


def test_a_champion_is_not_locked_in() -> None:
    """One that is seen to be wrong too often is no rival, one that serves less a lesser one."""
    old = students.certificate("old", coverage=0.95)
    assert to_beat(old, None, 0.05) == 0.97
    assert to_beat(old, seen(1.0, 0.85), 0.05) == 0.0
    assert 0.5 < to_beat(old, seen(0.5, 0.98), 0.05) < 0.6
    assert to_beat(old, seen(0.94, 0.98), 0.05) == 0.97
    assert to_beat(old, None, 0.01) == to_beat(old, None, 0.05, "marginal") == 0.0
    card = students.scorecard()
    now = seen(1.0, 0.85)
    verdict = judge(card, students.certificate(), None, PARAMS, serving=old, now=now)
    assert verdict.passed
    assert "wrong more often than certified" in verdict.reason


def test_judging_the_champion_again_gives_the_same_verdict() -> None:
    """A night that is run again after its student was promoted ends the same."""
    card, proof = students.scorecard(), students.certificate()
    assert judge(card, proof, card, PARAMS, serving=proof) == judge(card, proof, None, PARAMS)


cards = st.builds(
    students.scorecard,
    agreement=st.floats(0, 1),
    high=st.floats(0, 1),
    better=st.integers(0, 50),
    worse=st.integers(0, 50),
    p=st.floats(0, 1),
)
proofs = st.none() | st.builds(
    students.certificate, coverage=st.floats(0, 1), n=st.integers(1, 1000)
)


@given(cards, proofs, st.none() | cards, st.none() | proofs)
def test_only_certified_students_pass(
    card: Scorecard,
    proof: Certificate | None,
    champion: Scorecard | None,
    serving: Certificate | None,
) -> None:
    """Whatever the figures: who passes has a certificate and the coverage asked for."""
    verdict = judge(card, proof, champion, PARAMS, serving=serving)
    assert verdict.reason
    if verdict.passed:
        assert proof is not None
        assert proof.coverage >= PARAMS.min_coverage


def test_a_student_that_gives_away_an_original_does_not_pass() -> None:
    """Whatever its figures."""
    verdict = judge(students.scorecard("d"), students.certificate("d"), None, Judge(), leaked=2)
    assert not verdict.passed
    assert "2 values" in verdict.reason

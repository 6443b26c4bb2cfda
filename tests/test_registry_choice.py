"""Micro or domain is decided by evidence alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import students

from registry.choice import MARGIN, JudgedStudent, Paired, as_good, best, choose
from registry.gate import Verdict

PASSED, REFUSED = Verdict(True, "It answers 86% of the calls by itself."), Verdict(False, "No.")
EVEN = Paired(4, 5)


def attempt(
    coverage: float = 0.86, verdict: Verdict = PASSED, agreement: float = 0.95
) -> JudgedStudent:
    card = students.scorecard("ad1", agreement=agreement)
    return JudgedStudent("encoder", card, students.certificate("ad1", coverage=coverage), verdict)


OWN, DOMAIN = attempt(), replace(attempt(), rung="domain")


@pytest.mark.parametrize(
    ("domain", "own", "paired", "kept"),
    [
        (DOMAIN, OWN, EVEN, "domain"),
        (attempt(0.86 - MARGIN), OWN, EVEN, "domain"),
        (attempt(0.85 - MARGIN), OWN, EVEN, "own"),
        (DOMAIN, OWN, Paired(2, 14), "own"),
        (DOMAIN, OWN, Paired(14, 2), "domain"),
        (attempt(0.99, REFUSED), OWN, EVEN, "own"),
        (attempt(0.10), attempt(0.99, REFUSED), Paired(0, 40), "domain"),
        (attempt(0.0, REFUSED, 0.5), attempt(0.0, REFUSED, 0.6), EVEN, "own"),
    ],
)
def test_the_domains_student_is_kept_where_it_is_as_good(
    domain: JudgedStudent, own: JudgedStudent, paired: Paired, kept: str
) -> None:
    """As good or better: the domain's. Less coverage, more mistakes or refused: the task's own."""
    found = choose(replace(domain, rung="domain"), replace(own, rung="encoder"), paired)
    assert found.rung == ("domain" if kept == "domain" else "encoder")


def test_the_reason_tells_the_figures_of_both() -> None:
    """A person reads agreement, certified share and the paired comparison, whoever was kept."""
    found = choose(DOMAIN, attempt(0.99, agreement=0.97), EVEN)
    assert found.rung == "encoder"
    assert found.verdict == Verdict(
        True,
        "It answers 86% of the calls by itself. The domain agrees on 95.0%, certified 86.0%, its "
        "own student (encoder) agrees on 97.0%, certified 99.0%; of the 320 test calls 4 are right "
        "only with the domain's, 5 only with its own (p = 1).",
    )


def test_a_student_without_a_certificate_is_certified_for_nothing() -> None:
    """It counts as no coverage, and ranks after every student that passed."""
    none = JudgedStudent("causal", students.scorecard(), "nothing was proven", REFUSED)
    assert none.coverage == 0.0
    assert best([none, OWN]) is OWN
    assert best([]) is None
    assert not as_good(replace(none, rung="domain"), OWN, EVEN)

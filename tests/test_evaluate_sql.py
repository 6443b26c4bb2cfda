"""Queries that are the same but for how they are written are recognised, and no others."""

from __future__ import annotations

import random

import pytest

from tasks.core.contract import Contract, agree
from tasks.evaluate import quality, sql

ONE = """SELECT c.Name, COUNT(*) AS n FROM Course AS c, Offering AS o
WHERE c.id = o.course AND c.Area LIKE "%Core%" AND o.year > 2015 GROUP BY c.name ORDER BY n DESC;"""


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("SELECT a FROM t WHERE b=1;", "select  A\nfrom T where 1 = b -- done"),
        ("SELECT t.a FROM t", "SELECT x.a FROM t AS x"),
        ("SELECT a FROM t", "SELECT t.a FROM t"),
        ("SELECT `a b` FROM `t`", 'SELECT t."a b" FROM "t"'),
        ("SELECT [a] FROM [t]", "SELECT a FROM t"),
        ('SELECT a FROM t WHERE b = "X"', "SELECT a FROM t WHERE b = 'X'"),
        ("SELECT a FROM t WHERE b=1 AND (c > 2 OR d)", "SELECT a FROM t WHERE (d OR 2<c) AND 1=b"),
        ("SELECT a FROM t WHERE b IN (1, 2)", "SELECT a FROM t WHERE b IN (2, 1)"),
        ("SELECT t.a FROM t INNER JOIN s ON t.i = s.i", "SELECT t.a FROM t JOIN s ON s.i = t.i"),
        ("SELECT COUNT(*) FROM t", "SELECT COUNT(*) AS number FROM t"),
        ("```sql\nSELECT a FROM t\n```", "SELECT a FROM t"),
        ("UPDATE t SET a = 1 WHERE b = 2", "update T set A = 1 where 2 = B"),
        (
            ONE,
            "select x.name, count(*) as total from course x, offering y where y.year > 2015 and "
            "y.course = x.id and x.area like '%Core%' group by x.name order by total desc",
        ),
    ],
)  # fmt: skip
def test_writing_does_not_matter(a: str, b: str) -> None:
    """Case, spacing, quotes, aliases and the order of what commutes are a matter of taste."""
    assert sql.normal(a) == sql.normal(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = 'X'"),
        ("SELECT a FROM t WHERE b = '1'", "SELECT a FROM t WHERE b = 1"),
        ("SELECT a, b FROM t", "SELECT b, a FROM t"),
        ("SELECT a FROM t WHERE b < c", "SELECT a FROM t WHERE c < b"),
        ("SELECT a FROM t WHERE b - c = 1", "SELECT a FROM t WHERE c - b = 1"),
        ("SELECT a FROM t WHERE b AND c OR d", "SELECT a FROM t WHERE b AND (c OR d)"),
        ("SELECT a FROM t", "SELECT DISTINCT a FROM t"),
        ("SELECT a FROM t", "SELECT a FROM t LIMIT 1"),
        ("SELECT t.a FROM t LEFT JOIN s ON t.i=s.i", "SELECT s.a FROM t LEFT JOIN s ON t.i=s.i"),
        ("SELECT t.a FROM t LEFT JOIN s ON t.i = s.i", "SELECT t.a FROM t JOIN s ON t.i = s.i"),
        ("SELECT a AS n, b AS m FROM t ORDER BY n", "SELECT a AS n, b AS m FROM t ORDER BY m"),
    ],
)  # fmt: skip
def test_meaning_matters(a: str, b: str) -> None:
    """Another value, order, side or join is another query."""
    assert sql.normal(a) != sql.normal(b)


def test_only_queries_are_queries() -> None:
    """Prose that begins with a keyword is no SQL; a slip among queries does not hide them."""
    assert sql.spoken([ONE] * 9 + ["I cannot answer that."])
    assert not sql.spoken(["Select the best of these and tell us why.", "With kind regards, Ann"])
    assert not sql.spoken(["yes", "no"])
    assert not sql.spoken([])
    assert sql.normal("I  cannot say") == "I cannot say"


def test_nothing_that_a_student_writes_breaks_it() -> None:
    """Queries with words lost, doubled or swapped are read or left as they are."""
    rng = random.Random(0)
    for _ in range(300):
        words = ONE.split()
        for _ in range(rng.randint(1, 4)):
            words[rng.randrange(len(words))] = rng.choice([*words, "(", ")", "'", ""])
        assert sql.normal(" ".join(words))
    assert sql.normal("SELECT " + "(" * 3000 + "1")


def test_a_match_is_a_metric_and_no_agreement() -> None:
    """The scorecard shows it beside agreement, which says what may be served."""
    text, other = Contract(kind="text"), ONE.replace("c.id = o.course", "o.course = c.id")
    found = quality.measure([ONE, ONE, "SELECT 1"], [ONE, other, "SELECT 2"], text)
    assert found["sql_match"] == 0.6667
    assert not agree(ONE, other, text)
    assert "sql_match" not in quality.measure(["a word"], ["a word"], text)

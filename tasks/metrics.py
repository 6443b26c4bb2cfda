"""Metrics: how far answers agree with the teacher's, with intervals. Pure functions on texts."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tasks import sql
from tasks.contract import Contract, normal

Z = 1.959964  # the normal quantile of a two-sided 95 % interval
MAX_CLOSED = 200


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in `n` trials (an effective number may be broken)."""
    if n <= 0:
        return 0.0, 1.0
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def weighted(hits: Sequence[bool], weights: Sequence[float]) -> tuple[float, float]:
    """The weighted share of hits and the effective number of trials behind it."""
    total = sum(weights)
    if total <= 0:
        return 0.0, 0.0
    share = sum(w for hit, w in zip(hits, weights, strict=True) if hit) / total
    return share, total**2 / sum(w * w for w in weights)


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(at most `k` of `n`), each with probability `p`."""
    if p <= 0 or k >= n:
        return 1.0
    if p >= 1:
        return 0.0
    odds, term = math.log(p) - math.log1p(-p), n * math.log1p(-p)
    total = 0.0
    for i in range(k + 1):
        total += math.exp(term)
        term += math.log(n - i) - math.log(i + 1) + odds if i < n else 0.0
    return min(1.0, total)


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided p-value of two students that differ on `better` + `worse` rows."""
    n = better + worse
    return min(1.0, 2 * binomial_tail(min(better, worse), n, 0.5)) if n else 1.0


def closed(answers: Sequence[str], contract: Contract) -> bool:
    """Whether the answers are a closed set, so that a classifier could give them."""
    if contract.kind == "labels":
        return True
    different = len({normal(answer, contract) for answer in answers})
    return different <= min(MAX_CLOSED, len(answers) / 4)


def macro_f1(expected: Sequence[str], given: Sequence[str]) -> float:
    """The mean F1 over the answers that were expected."""
    hits = Counter(e for e, g in zip(expected, given, strict=True) if e == g)
    wanted, said = Counter(expected), Counter(given)
    scores = [2 * hits[answer] / (wanted[answer] + said[answer]) for answer in wanted]
    return sum(scores) / len(scores)


def _fields(value: Any, path: str = "") -> Iterator[str]:
    """Every leaf of a JSON value as `path=value`; list items have no place, only a parent."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner, f"{path}[]")
    else:
        yield f"{path}={json.dumps(value, ensure_ascii=False)}"


def _parsed(answer: str) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return {}


def _f1(expected: Sequence[Counter[str]], given: Sequence[Counter[str]]) -> dict[str, float]:
    hits = sum((e & g).total() for e, g in zip(expected, given, strict=True))
    said, wanted = sum(g.total() for g in given), sum(e.total() for e in expected)
    precision, recall = (hits / n if n else 1.0 for n in (said, wanted))
    both = said + wanted
    return {"precision": precision, "recall": recall, "f1": 2 * hits / both if both else 1.0}


def fields(expected: Sequence[str], given: Sequence[str]) -> dict[str, float]:
    """Precision, recall and F1 over the fields of JSON answers."""
    pairs = [
        [Counter(_fields(_parsed(answer))) for answer in answers] for answers in (expected, given)
    ]
    return {f"field_{name}": value for name, value in _f1(*pairs).items()}


def by_field(expected: Sequence[str], given: Sequence[str]) -> dict[str, tuple[float, int]]:
    """The F1 of each field, and how often it was expected; the commonest fields first."""
    hits, wanted, said = Counter[str](), Counter[str](), Counter[str]()
    for answers in zip(expected, given, strict=True):
        e, g = (Counter(_fields(_parsed(answer))) for answer in answers)
        for total, leaves in ((hits, e & g), (wanted, e), (said, g)):
            total.update(_field(leaf) for leaf in leaves.elements())
    return {
        name: (2 * hits[name] / (count + said[name]), count) for name, count in wanted.most_common()
    }


def _field(leaf: str) -> str:
    return leaf.split("=", 1)[0].removeprefix(".").replace("tool_calls[].", "")


def tools(expected: Sequence[str], given: Sequence[str]) -> dict[str, float]:
    """How often the tools' names match, and the arguments where they do; talking is a name too."""
    wanted, said = ([_parsed(answer) for answer in answers] for answers in (expected, given))
    same = [_names(w) == _names(s) for w, s in zip(wanted, said, strict=True)]
    arguments = [
        normal(json.dumps(w)) == normal(json.dumps(s))
        for w, s, named in zip(wanted, said, same, strict=True)
        if named
    ]
    return {
        "tool_name": sum(same) / len(same),
        "arguments_exact": sum(arguments) / len(arguments) if arguments else 0.0,
    }


def _names(value: Any) -> list[str]:
    calls = value.get("tool_calls") if isinstance(value, dict) else None
    return [call["name"] for call in calls] if calls else ["no tool"]


def words(expected: Sequence[str], given: Sequence[str]) -> dict[str, float]:
    """How alike texts are: F1 over their words, ROUGE-L (Lin 2004), chrF (Popović 2015)."""
    from sacrebleu import corpus_chrf

    scores = [
        _f1([Counter(e.lower().split())], [Counter(g.lower().split())])["f1"]
        for e, g in zip(expected, given, strict=True)
    ]
    alike = corpus_chrf(list(given), [list(expected)]).score / 100
    order = sum(map(rouge_l, expected, given)) / len(given)
    return {"word_f1": sum(scores) / len(scores), "rouge_l": order, "chrf": alike}


def rouge_l(expected: str, given: str) -> float:
    """The F1 of the longest common subsequence of two texts' words, letter case aside."""
    wanted, said = (re.findall(r"\w+", text.lower()) for text in (expected, given))
    if not wanted or not said:
        return float(wanted == said)
    places: dict[str, int] = {}
    for place, word in enumerate(wanted):
        places[word] = places.get(word, 0) | 1 << place
    row = full = (1 << len(wanted)) - 1  # Hyyrö 2004: each bit a word, a zero a step of the LCS
    for word in said:
        hits = row & places.get(word, 0)
        row = (row + hits | row - hits) & full
    return 2 * (len(wanted) - row.bit_count()) / (len(wanted) + len(said))


def _same_query(expected: str, given: str) -> bool:
    return expected == given or sql.normal(expected) == sql.normal(given)


def measure(expected: Sequence[str], given: Sequence[str], contract: Contract) -> dict[str, float]:
    """The metrics that fit a contract's kind."""
    found: dict[str, float] = {}
    if contract.kind == "tools":
        found |= tools(expected, given)
    if contract.kind in ("json", "tools"):
        found |= fields(expected, given)
    if contract.kind == "text":
        found |= words(expected, given)
        if sql.spoken(expected):
            found["sql_match"] = sum(map(_same_query, expected, given)) / len(given)
    if closed(expected, contract):
        normed = [[normal(answer, contract) for answer in side] for side in (expected, given)]
        found["macro_f1"] = macro_f1(*normed)
    return {name: round(value, 4) for name, value in found.items()}


def majority(train: Sequence[str], n: int) -> list[str]:
    """The do-nothing baseline: the commonest training answer, `n` times."""
    return [Counter(train).most_common(1)[0][0]] * n


def tfidf(prompts: Sequence[str], answers: Sequence[str], test: Sequence[str]) -> list[str]:
    """The cheap baseline for closed answers: TF-IDF and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if len(set(answers)) < 2:
        return majority(answers, len(test))
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    model = make_pipeline(features, LogisticRegression(C=10.0, max_iter=300))
    model.fit(prompts, answers)
    return [str(answer) for answer in model.predict(test)]

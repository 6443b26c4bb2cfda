"""Quality: the metrics that fit a contract's kind, with 95 % intervals, alone and beside another's.

Each metric is a function of sums over rows, so that a thousand bootstrap samples of the rows are
one matrix product. Shares have Wilson's interval. A bootstrap of rows without a mistake knows none:
read an interval of no width beside the number of rows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.contract import Contract, normal
from tasks.core.scorecard import Difference
from tasks.evaluate import sql
from tasks.evaluate.baselines import closed
from tasks.evaluate.significance import wilson

DRAWS, SEED = 1_000, 0
NO_TOOL = ["no tool"]
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """A metric: what each row brings (rows x columns), and its value by their sums (… x columns).

    A share has two columns, hits and trials.
    """

    columns: Array
    value: Callable[[Array], Array]
    share: bool = False

    @property
    def point(self) -> float:
        """The metric over all rows."""
        return round(float(self.value(self.columns.sum(0))), 4)

    @property
    def drawn(self) -> Array:
        """The metric over each bootstrap sample."""
        return self.value(_draws(len(self.columns)) @ self.columns)

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        if self.share:
            hits, trials = self.columns.sum(0)
            low, high = wilson(float(hits / trials) if trials else 0.0, float(trials))
        else:
            low, high = _middle(self.drawn)
        return round(low, 4), round(high, 4)


def measure(expected: Sequence[str], given: Sequence[str], contract: Contract) -> dict[str, float]:
    """The metrics that fit a contract's kind."""
    return {name: part.point for name, part in parts(expected, given, contract).items()}


def differences(one: dict[str, Part], other: dict[str, Part]) -> dict[str, Difference]:
    """The paired bootstrap of two students that answered the same rows."""
    by_metric = {}
    for name in one.keys() & other.keys():
        low, high = _middle(one[name].drawn - other[name].drawn)
        value = one[name].point - other[name].point
        by_metric[name] = Difference(value=round(value, 4), low=round(low, 4), high=round(high, 4))
    return dict(sorted(by_metric.items()))


def parts(expected: Sequence[str], given: Sequence[str], contract: Contract) -> dict[str, Part]:
    """Return what the rows bring to each metric that fits a contract's kind."""
    result = {"exact_match": _share([e == g for e, g in zip(expected, given, strict=True)])}
    if contract.kind == "tools":
        result |= _tools(expected, given)
    if contract.kind in ("json", "tools"):
        result |= {"json_valid": _share([_parsed(answer) is not None for answer in given])}
        result |= _by_fields(expected, given)
    if contract.kind == "text":
        result |= _texts(expected, given)
    if closed(expected, contract):
        normed = [[normal(answer, contract) for answer in side] for side in (expected, given)]
        result["macro_f1"] = _macro(*normed)
    return result


@lru_cache(maxsize=2)
def _draws(n: int) -> Array:
    """Return how often each of `n` rows is in each bootstrap sample."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float32)


def _middle(drawn: Array) -> tuple[float, float]:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _part(rows: Sequence[Sequence[float]], value: Callable[[Array], Array]) -> Part:
    return Part(np.array(rows, dtype=np.float32), value)


def _ratio(above: Array, below: Array, default: float) -> Array:
    filled = np.full_like(below, default)
    return np.divide(above, below, out=filled, where=below > 0)


def _share(hits: Sequence[bool], among: Sequence[bool] | None = None) -> Part:
    """The share of the rows `among` that are hits."""
    trials = np.ones(len(hits)) if among is None else np.array(among)
    columns = np.stack([np.array(hits) * trials, trials], axis=1).astype(np.float32)
    return Part(columns, lambda sums: _ratio(sums[..., 0], sums[..., 1], 0.0), share=True)


def _mean(values: Sequence[float]) -> Part:
    return _part([(v, 1) for v in values], lambda sums: _ratio(sums[..., 0], sums[..., 1], 0.0))


def _hits(rows: Sequence[tuple[int, int, int]]) -> dict[str, Part]:
    """Precision, recall and F1 from the hits, what was said and what was wanted, row by row."""
    return {
        "precision": _part(rows, lambda sums: _ratio(sums[..., 0], sums[..., 1], 1.0)),
        "recall": _part(rows, lambda sums: _ratio(sums[..., 0], sums[..., 2], 1.0)),
        "f1": _part(rows, lambda sums: _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2], 1.0)),
    }


def _macro(expected: Sequence[str], given: Sequence[str]) -> Part:
    """The mean F1 over the answers that were expected."""
    place = {answer: i for i, answer in enumerate(dict.fromkeys(expected))}
    columns = np.zeros((len(expected), 3, len(place)), dtype=np.float32)
    for row, (e, g) in enumerate(zip(expected, given, strict=True)):
        columns[row, 0, place[e]] = e == g
        columns[row, 1, place[e]] = 1
        if g in place:
            columns[row, 2, place[g]] = 1

    def value(sums: Array) -> Array:
        hits, wanted, given = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, len(place)), -2, 0)
        scores = _ratio(2 * hits, wanted + given, 0.0)
        return _ratio((scores * (wanted > 0)).sum(-1), (wanted > 0).sum(-1).astype(np.float32), 0.0)

    return Part(columns.reshape(len(expected), -1), value)


def _by_fields(expected: Sequence[str], given: Sequence[str]) -> dict[str, Part]:
    """Precision, recall and F1 over the fields of JSON answers."""
    rows = []
    for answers in zip(expected, given, strict=True):
        wanted, answered = (Counter(_fields(_parsed(answer) or {})) for answer in answers)
        rows.append(((wanted & answered).total(), answered.total(), wanted.total()))
    return {f"field_{name}": part for name, part in _hits(rows).items()}


def by_field(expected: Sequence[str], given: Sequence[str]) -> dict[str, tuple[float, int]]:
    """The F1 of each field, and how often it was expected; the most frequent fields first."""
    hits, wanted, answered = Counter[str](), Counter[str](), Counter[str]()
    for answers in zip(expected, given, strict=True):
        e, g = (Counter(_fields(_parsed(answer) or {})) for answer in answers)
        for total, leaves in ((hits, e & g), (wanted, e), (answered, g)):
            total.update(_field(leaf) for leaf in leaves.elements())
    return {
        name: (2 * hits[name] / (count + answered[name]), count)
        for name, count in wanted.most_common()
    }


def _field(leaf: str) -> str:
    return leaf.split("=", 1)[0].removeprefix(".").replace("tool_calls[].", "")


def _fields(value: object, path: str = "") -> Iterator[str]:
    """Every leaf of a JSON value as `path=value`; list items have no place, only a parent."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner, f"{path}[]")
    else:
        yield f"{path}={json.dumps(value, ensure_ascii=False)}"


def _parsed(answer: str) -> Any | None:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return None


def _tools(expected: Sequence[str], given: Sequence[str]) -> dict[str, Part]:
    """Return how often the tools' names match, and the arguments where they do.

    Talking is a name too.
    """
    wanted, answered = ([_parsed(answer) for answer in answers] for answers in (expected, given))
    pairs = list(zip(wanted, answered, strict=True))
    names = [(_names(w), _names(s)) for w, s in pairs]
    same = [w == s for w, s in names]
    arguments = [normal(json.dumps(w)) == normal(json.dumps(s)) for w, s in pairs]
    silent = [(w == s == NO_TOOL, s == NO_TOOL, w == NO_TOOL) for w, s in names]
    result = {"tool_name": _share(same), "arguments_exact": _share(arguments, same)}
    return result | ({"no_tool_f1": _hits(silent)["f1"]} if any(row[2] for row in silent) else {})


def _names(value: Any) -> list[str]:
    calls = value.get("tool_calls") if isinstance(value, dict) else value
    if not isinstance(value, dict) or not isinstance(calls or [], list):
        return [""]  # what is no answer is not the answer that no tool is needed
    if not calls:
        return NO_TOOL
    return [str(call.get("name")) if isinstance(call, dict) else "" for call in calls]


def _texts(expected: Sequence[str], given: Sequence[str]) -> dict[str, Part]:
    """Likeness of texts: mean F1 over their words, ROUGE-L (Lin 2004), chrF (Popović 2015).

    Queries in SQL may match, too.
    """
    from sacrebleu import CHRF

    chrf, pairs = CHRF(), list(zip(expected, given, strict=True))
    result = {
        "word_f1": _mean([_word_f1(*pair) for pair in pairs]),
        "rouge_l": _mean([rouge_l(*pair) for pair in pairs]),
        "chrf": _mean([chrf.sentence_score(g, [e]).score / 100 for e, g in pairs]),
    }
    if sql.spoken(expected):
        same = [e == g or sql.normal(e) == sql.normal(g) for e, g in pairs]
        result["sql_match"] = _share(same)
    return result


def _word_f1(expected: str, given: str) -> float:
    wanted, words = Counter(expected.lower().split()), Counter(given.lower().split())
    both = wanted.total() + words.total()
    return 2 * (wanted & words).total() / both if both else 1.0


def rouge_l(expected: str, given: str) -> float:
    """The F1 of the longest common subsequence of two texts' words, letter case aside."""
    wanted, words = (re.findall(r"\w+", text.lower()) for text in (expected, given))
    if not wanted or not words:
        return float(wanted == words)
    places: dict[str, int] = {}
    for place, word in enumerate(wanted):
        places[word] = places.get(word, 0) | 1 << place
    row = full = (1 << len(wanted)) - 1  # Hyyrö 2004: each bit a word, a zero a step of the LCS
    for word in words:
        hits = row & places.get(word, 0)
        row = (row + hits | row - hits) & full
    return 2 * (len(wanted) - row.bit_count()) / (len(wanted) + len(words))

"""Calls into families and leaves: by structure first, by meaning where there is none.

A *family* is the program that calls, a *leaf* the kind of work in it. `group(calls)` gives every
call a pair (family, leaf); a leaf of -1 is the rest of a family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from tasks.cluster.programs import by_order, joined, work_of
from tasks.cluster.signatures import Signature, signatures, similarity, user_text
from tasks.core.contract import answer_of
from tasks.core.records import CleanCall

T = TypeVar("T")

SAME_FAMILY = 0.45
SAME_LEAF = 0.80
KIN = 0.45  # likeness from which small leaves go together
APART = 16  # weight of shingles in which two leaves differ at least
COMMON = (0.03, 0.80)  # share of a family's calls in which a telling shingle stands
TOOL_WEIGHT = 8  # shingles that a tool name counts for
TEMPLATE = 6  # shingles under which a family has no template
SILHOUETTE = 0.25
DIMENSIONS = 10
SEEN = 1_500  # members of a group that decide how it splits by meaning
LEADERS = 400  # families looked at; the rest of the traffic is too varied to be one


@dataclass(frozen=True, slots=True)
class Place:
    """A call's place in the groups."""

    family: int
    leaf: int


class LeafSignature(NamedTuple):
    """The part of a signature that tells the leaves of a family apart."""

    text: frozenset[int]
    tools: frozenset[str]


def group(calls: Sequence[CleanCall], min_calls: int, seed: int) -> list[Place]:
    """The place of each call."""
    seen = signatures(calls)
    family_of = _families(seen)
    members: dict[int, list[int]] = {}
    for index, signature in enumerate(seen):
        members.setdefault(family_of[signature], []).append(index)
    places: list[Place] = [Place(0, 0)] * len(calls)
    another = max(members, default=0) + 1
    for family, indices in sorted(members.items()):
        leaves = _leaves([seen[i] for i in indices], min_calls)
        for index, leaf in zip(indices, leaves, strict=True):
            places[index] = Place(family, leaf)
        if max(leaves) <= 0 and len(_majority(Counter(seen[i] for i in indices)).text) < TEMPLATE:
            some = [calls[i] for i in indices]
            # Without a template nothing says that two kinds of work are one program's.
            for index, part in zip(
                indices, by_meaning(some, [seen[i] for i in indices], min_calls, seed), strict=True
            ):
                places[index] = Place(family if part < 1 else another + part, min(part, 0))
            another = max(another, *(place.family + 1 for place in places))
    return _joined_work(calls, seen, _ordered_apart(calls, seen, places, min_calls))


def _members(places: Sequence[Place]) -> dict[Place, list[int]]:
    members: dict[Place, list[int]] = {}
    for index, place in enumerate(places):
        members.setdefault(place, []).append(index)
    return members


def _ordered_apart(
    calls: Sequence[CleanCall], seen: Sequence[Signature], places: Sequence[Place], min_calls: int
) -> list[Place]:
    """The places, those apart in which users' texts ask for one of a few kinds of work."""
    result, another = list(places), max((place.family for place in places), default=0)
    for indices in _members(places).values():
        if any("tools" in seen[i].shape for i in indices):
            continue
        for index, part in zip(
            indices, by_order([calls[i] for i in indices], min_calls), strict=True
        ):
            if part:
                result[index] = Place(another + max(part, 1), min(part, 0))
        another = max(another, *(place.family for place in result))
    return result


def _joined_work(
    calls: Sequence[CleanCall], seen: Sequence[Signature], places: Sequence[Place]
) -> list[Place]:
    """The places, those of one program's one kind of work made one: the largest group's."""
    members = _members(places)
    ordered = sorted(members, key=lambda p: (-len(members[p]), p.family, p.leaf))
    works = [
        work_of([calls[i] for i in members[p]], _majority(Counter(seen[i] for i in members[p])))
        for p in ordered
    ]
    home = {place: ordered[first] for place, first in zip(ordered, joined(works), strict=True)}
    return [home[place] for place in places]


def _ordered(counts: Mapping[Signature, int]) -> list[Signature]:
    return sorted(counts, key=lambda s: (-counts[s], s.key))


def _families(seen: Sequence[Signature]) -> dict[Signature, int]:
    """Leader clustering of the distinct signatures, then families with one template are merged."""
    counts = Counter(seen)
    leaders: list[Signature] = []
    leader_of: dict[Signature, int] = {}
    for signature in _ordered(counts):
        scores = [similarity(signature, leader) for leader in leaders]
        best = int(np.argmax(scores)) if scores else -1
        if (best < 0 or scores[best] < SAME_FAMILY) and len(leaders) < LEADERS:
            leaders.append(signature)
            best = len(leaders) - 1
        leader_of[signature] = best
    merged = _merged([_majority_of(counts, leader_of, i) for i in range(len(leaders))])
    return {signature: merged[leader] for signature, leader in leader_of.items()}


def _majority_of(
    counts: Mapping[Signature, int], leader_of: Mapping[Signature, int], leader: int
) -> Signature:
    return _majority(
        Counter({s: counts[s] for s, leading in leader_of.items() if leading == leader})
    )


def _majority(counts: Counter[Signature]) -> Signature:
    """Return what most calls of a group share."""
    half = counts.total() / 2
    formats: Counter[str] = Counter()
    for signature, n in counts.items():
        formats[signature.format] += n
    return Signature(
        _most(((s.text, n) for s, n in counts.items()), half),
        _most(((s.tools, n) for s, n in counts.items()), half),
        max(sorted(formats), key=lambda form: formats[form]),
        _most(((s.shape, n) for s, n in counts.items()), half),
        _most(((s.system, n) for s, n in counts.items()), half),
    )


def _most(pairs: Iterable[tuple[frozenset[T], int]], half: float) -> frozenset[T]:
    seen: Counter[T] = Counter()
    for items, n in pairs:
        seen.update(dict.fromkeys(items, n))
    return frozenset(item for item, n in seen.items() if n > half)


def _merged(majorities: Sequence[Signature]) -> list[int]:
    """The family of each leader: the first of those it is connected with."""
    family = list(range(len(majorities)))
    for index, majority in enumerate(majorities):
        for other in range(index):
            if family[other] != family[index] and _same_program(majority, majorities[other]):
                low, high = sorted((family[other], family[index]))
                family = [low if current == high else current for current in family]
    return family


def _same_program(a: Signature, b: Signature) -> bool:
    """Return whether two groups share their template.

    Without any, whether they share their tools.
    """
    if len(a.text) >= TEMPLATE or len(b.text) >= TEMPLATE:
        return _jaccard(a.text, b.text) >= SAME_FAMILY
    return 2 * len(a.tools & b.tools) >= max(1, min(len(a.tools), len(b.tools)))


def _jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0


def _leaves(seen: Sequence[Signature], min_calls: int) -> list[int]:
    """Leaves of a family: by the text and the tools that some of its calls have and others not."""
    texts, tools = Counter[int](), Counter[str]()
    for signature, n in Counter(seen).items():
        texts.update(dict.fromkeys(signature.text, n))
        tools.update(dict.fromkeys(signature.tools, n))
    low, high = COMMON[0] * len(seen), COMMON[1] * len(seen)
    lines = {item for item, n in texts.items() if low <= n <= high}
    names = {item for item, n in tools.items() if low <= n <= high}
    views = [LeafSignature(s.text & lines, s.tools & names) for s in seen]
    counts = Counter(views)
    leaders: list[LeafSignature] = []
    leaf_of: dict[LeafSignature, int] = {}
    for view in sorted(counts, key=lambda v: (-counts[v], sorted(v.text), sorted(v.tools))):
        near = next((i for i, leader in enumerate(leaders) if _same_leaf(view, leader)), None)
        if near is None:
            near = len(leaders)
            leaders.append(view)
        leaf_of[view] = near
    leaves = [leaf_of[view] for view in views]
    home = _joined(leaders, Counter(leaves), min_calls)
    return _large([home[leaf] for leaf in leaves], min_calls)


def _joined(leaders: Sequence[LeafSignature], sizes: Counter[int], min_calls: int) -> list[int]:
    """Small leaves go together with the one most like them until they are large enough."""
    home = list(range(len(leaders)))
    total = dict(sizes)
    for leaf in sorted(total, key=lambda leaf: (total[leaf], -leaf)):
        if total[leaf] >= min_calls:
            continue
        near = [
            (_likeness(leaders[leaf], leaders[other]), -other)
            for other in total
            if other != leaf and 0 < total[other] < min_calls
        ]
        if near and max(near)[0] >= KIN:
            other = -max(near)[1]
            total[other] += total[leaf]
            total[leaf] = 0
            home = [other if current == leaf else current for current in home]
    return home


def _likeness(a: LeafSignature, b: LeafSignature) -> float:
    shared = len(a.text & b.text) + TOOL_WEIGHT * len(a.tools & b.tools)
    return shared / max(1, len(a.text | b.text) + TOOL_WEIGHT * len(a.tools | b.tools))


def _same_leaf(a: LeafSignature, b: LeafSignature) -> bool:
    apart = len(a.text ^ b.text) + TOOL_WEIGHT * len(a.tools ^ b.tools)
    return apart < APART or _likeness(a, b) >= SAME_LEAF


def _large(leaves: Sequence[int], min_calls: int) -> list[int]:
    """Leaves numbered by size; those under `min_calls` become the rest, -1."""
    sizes = Counter(leaves)
    large = [
        leaf for leaf, n in sorted(sizes.items(), key=lambda p: (-p[1], p[0])) if n >= min_calls
    ]
    number = {leaf: place for place, leaf in enumerate(large)}
    return [number.get(leaf, -1) for leaf in leaves]


def by_meaning(
    calls: Sequence[CleanCall], seen: Sequence[Signature], min_calls: int, seed: int
) -> list[int]:
    """Split calls without a template by what they ask and answer: TF-IDF, SVD, recursive k-means.

    Answers of one structure (JSON keys, SQL, tools) are one kind of work however they differ, and
    labels are told apart by the questions: by the answers each label would be a task.
    """
    shapes = {word for signature in seen for word in signature.shape}
    if not shapes <= {"prose", "label"}:
        return [0] * len(calls)
    answers = ["" if shapes == {"label"} else answer_of(call.reply)[:2_000] for call in calls]
    texts = [f"{a}\n{user_text(c.request)[:2_000]}" for a, c in zip(answers, calls, strict=True)]
    return _large(_split(texts, min_calls, seed), min_calls)


def _split(texts: Sequence[str], min_calls: int, seed: int) -> list[int]:
    """The part of each text. Each part gets axes of its own before it is looked at again."""
    labels = [0] * len(texts)
    parts = _parts(texts, min_calls, seed)
    if parts is None:
        return labels
    start = 0
    for part in range(int(parts.max()) + 1):
        inside = [int(place) for place in np.flatnonzero(parts == part)]
        for index, label in zip(
            inside, _split([texts[i] for i in inside], min_calls, seed), strict=True
        ):
            labels[index] = start + label
        start = max(labels) + 1
    return labels


def _parts(texts: Sequence[str], min_calls: int, seed: int) -> np.ndarray | None:
    """The best k-means parts, or None when the silhouette says that there are none."""
    if len(texts) < 2 * min_calls or len({text for text in texts if text.strip()}) < 2:
        return None
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import silhouette_score
    from sklearn.preprocessing import normalize

    weights = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 3), min_df=0.02, max_features=3_000, sublinear_tf=True
    )
    table = weights.fit_transform(texts)
    size = min(DIMENSIONS, table.shape[1] - 1)
    if size < 2:
        return None
    points = normalize(TruncatedSVD(size, random_state=seed).fit_transform(table))
    some = np.sort(np.random.default_rng(seed).permutation(len(points))[:SEEN])
    best, labels = SILHOUETTE, None
    for k in range(2, 7):
        model = KMeans(k, n_init=2, random_state=seed).fit(points[some])
        if len(set(model.labels_)) == k:
            score = float(silhouette_score(points[some], model.labels_))
            if score >= best:
                best, labels = score, model
    return None if labels is None else np.asarray(labels.predict(points))

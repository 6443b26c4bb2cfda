"""From calls to groups with a template and a contract, and more calls routed to them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.cluster.groups import group
from tasks.cluster.identity import Fingerprint, alike, fingerprint
from tasks.cluster.signatures import user_text
from tasks.cluster.template_mining import mine
from tasks.core.contract import Contract, answer_of, infer
from tasks.core.records import TEACHER, CleanCall, Json
from tasks.core.template import Template

READ = 2_000  # members of a group that its template and contract are found in
SAME_GROUP = 0.8  # likeness from which a group found later is an earlier one
PROBES = 40  # calls of every other group that a template must turn down
FOREIGN = 0.05
_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class Group:
    """A group of calls. `calls` are those that it was found in, spread over all of them."""

    family: int
    template: Template
    contract: Contract
    calls: list[CleanCall]
    fingerprint: Fingerprint
    routable: bool = True
    size: int = 0
    tokens: int = 0
    ids: list[str] = field(default_factory=list)


def discover(calls: Sequence[CleanCall], min_calls: int, seed: int) -> list[Group]:
    """The groups in some calls, largest first; small ones too."""
    members: defaultdict[tuple[int, int], list[CleanCall]] = defaultdict(list)
    for call, place in zip(calls, group(calls, min_calls, seed), strict=True):
        members[place.family, place.leaf].append(call)
    ordered = sorted(members.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return _without_twins([(_found(family, some), some) for (family, _), some in ordered])


def _without_twins(groups: Sequence[tuple[Group, list[CleanCall]]]) -> list[Group]:
    """Groups whose template is another's with a slot filled in (a name, say) go to that one.

    The gateway could not tell them apart, and neither would a person.
    """
    kept: list[tuple[Group, list[CleanCall]]] = []
    grown: set[int] = set()
    for one, calls in groups:
        twin = next((i for i, (large, _) in enumerate(kept) if _covers(large, one)), None)
        if twin is None:
            kept.append((one, calls))
        else:
            kept[twin] = (kept[twin][0], [*kept[twin][1], *calls])
            grown.add(twin)
    return [
        _found(one.family, calls) if place in grown else one
        for place, (one, calls) in enumerate(kept)
    ]


def _covers(large: Group, small: Group) -> bool:
    """Return whether a template has nearly all constants of another's, and matches its calls too.

    Their families may differ: a short prompt leaves them to be guessed from what users say.
    """
    if not large.template.characters or large.contract.kind != small.contract.kind:
        return False
    if large.template.characters < SAME_GROUP * small.template.characters:
        return False
    probes = _probes(small)
    hits = sum(large.template.payload(call.request) is not None for call in probes)
    return hits >= (1 - FOREIGN) * len(probes)


def spread(calls: Sequence[CleanCall], most: int) -> list[CleanCall]:
    """At most so many calls, evenly from the first to the last."""
    count = min(most, len(calls))
    return [calls[place * len(calls) // count] for place in range(count)]


def _probes(group: Group) -> list[CleanCall]:
    return spread(group.calls, PROBES)


def _found(family: int, calls: Sequence[CleanCall]) -> Group:
    some = spread(calls, READ)
    # What an answer must look like is the teacher's to say, not an earlier student's.
    taught = [c for c in some if c.answered_by == TEACHER and not c.error] or some
    requests, answers = [c.request for c in taught], [answer_of(c.reply) for c in taught]
    template = mine(requests, answers, [c.at for c in taught])
    contract = infer(requests, answers)
    ids = [call.id for call in calls]
    return Group(family, template, contract, some, fingerprint(template, some), ids=ids)


def join(groups: list[Group], more: Sequence[Group]) -> list[Group]:
    """Add groups that were found later; returns those of `groups` that the new calls belong to."""
    earlier, result = list(groups), []
    shift = max((group.family for group in groups), default=-1) + 1
    for new in more:
        same = next(
            (g for g in earlier if alike(g.fingerprint, new.fingerprint) >= SAME_GROUP), None
        )
        if same is None:
            new.family += shift
            groups.append(new)
        else:
            same.ids += new.ids
        result.append(same or new)
    return result


class TemplateRouter:
    """Finds the group whose template a request has: most constant characters win, a tie is None."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._ordered = sorted(
            ((group.template.characters, place) for place, group in enumerate(groups)),
            key=lambda pair: (-pair[0], pair[1]),
        )
        self._groups = groups

    def find(self, request: Json) -> int | None:
        """The place of the group in the list, or None."""
        best: tuple[int, int] | None = None
        for characters, place in self._ordered:
            if best is not None and characters < best[0]:
                break
            if characters and self._groups[place].template.payload(request) is not None:
                if best is not None:
                    return None
                best = characters, place
        return best[1] if best else None


def mark_routable(groups: Sequence[Group]) -> None:
    """Note which groups' templates match their calls and no others': only those can be served.

    A better match of another task does not help here, as that task may have no student.
    """
    probes = [(other, _probes(other)) for other in groups]
    for one in groups:
        template, right, wrong = one.template, 0.0, 0.0
        for other, some in probes:
            hits = sum(template.payload(call.request) is not None for call in some)
            calls = len(other.ids) * hits / max(1, len(some))  # a small group has few to give
            right, wrong = (calls, wrong) if other is one else (right, wrong + calls)
        one.routable = template.characters > 0 and right > 0 and wrong <= FOREIGN * right


def examples(calls: Sequence[CleanCall], count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids of the calls nearest the centre and of those farthest from it, by their words."""
    some = spread(calls, 400)
    words = [
        set(_WORD.findall(f"{user_text(c.request)} {answer_of(c.reply)}".lower())) for c in some
    ]
    common = Counter(word for line in words for word in line)
    scored = sorted(
        (sum(common[w] for w in line) / (len(line) or 1), call.id)
        for line, call in zip(words, some, strict=True)
    )
    edges = tuple(name for _, name in scored[:count])
    return tuple(name for _, name in scored[::-1][:count]), edges

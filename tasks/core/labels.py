"""Labels: closed sets of short answers, and the decoration that a teacher's labels drift in."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set

MOST = 0.95  # share of the answers that the labels must cover
LISTED = 0.8  # share of the answers that the prompts name word by word, as they do all labels then
AROUND = 3  # words around a label that make a sentence of it: "very positive" is none
SLOT = "{}"  # stands for the label in a sentence
MAX_LABELS = 200
MAX_CHARACTERS = 80
RARE = 0.001  # share of the answers under which a label is a slip
PER_LABEL = 3  # answers for each label: fewer may be the start of an open set

_OPENING, _CLOSING = " \t\r\n[](){}\"'`“”‘’«»", " \t\r\n[](){}\"'`“”‘’«».!,;"
_ENCLOSED = re.compile(r"<(.*)>|(\*+)(.*)\2", re.DOTALL)  # else they mean something: <50, A*
_DENIAL = re.compile(
    r"\b(?:not?|nor|never|neither|cannot|nicht|kein\w*|pas|ni|non|nessun\w*|niet|geen|não|sin)\b|n['’]t\b"
)
_REFUSAL = re.compile(
    r"\s*(i'?m (very |so )?sorry|sorry,|i apologi[sz]e|unfortunately,? i|as an ai\b"
    r"|i (can(no|')t|am (not able|unable)|won't|will not) )",
    re.IGNORECASE,
)


def core(text: str) -> str:
    """A label without decoration and letter case: the form in which labels are compared."""
    bare = _undecorate(unicodedata.normalize("NFC", text))
    return " ".join(bare.split()).lower()  # `Maße` and `Masse` are two


def refusal(answer: str) -> bool:
    """Return whether a text reads like an apology in place of an answer."""
    return bool(_REFUSAL.match(answer))


def listed(answers: Sequence[str], prompts: Sequence[str]) -> dict[str, str]:
    """The labels that all prompts name, by their core; none where they are not nearly all answers.

    Then a sentence around one is the teacher's manner.
    """
    counts = Counter(map(core, answers))
    some = {text for text, n in counts.items() if n > 1 and 0 < len(text) <= MAX_CHARACTERS}
    if not 1 < len(some) <= MAX_LABELS * 2 or not prompts:
        return {}
    named = set.intersection(*(set(_any_of(some).findall(_plain(p))) for p in prompts))
    enough = sum(counts[label] for label in named) >= LISTED * len(answers)
    spelt = {core(answer): answer.strip() for answer, _ in reversed(Counter(answers).most_common())}
    return {label: spelt[label] for label in named} if enough else {}


def sentences(answers: Sequence[str], labels: Set[str]) -> tuple[str, ...]:
    """The sentences that say two labels or more: `queue: {}`, `i would say it is {}`."""
    said_of: defaultdict[str, set[str]] = defaultdict(set)
    for text in set(map(core, answers)):
        if labels and (found := _slotted(text, labels)) and _is_sentence(found[0]):
            said_of[found[0]].add(found[1])
    return tuple(sorted(sentence for sentence, some in said_of.items() if len(some) > 1))


def _is_sentence(text: str) -> bool:
    around = len(text.replace(SLOT, " ").split())
    return not _DENIAL.search(text) and (around >= AROUND or f": {SLOT}" in text)


def unframed(answer: str, known: Mapping[str, str], frames: Sequence[str]) -> str | None:
    """The label that an answer in one of the teacher's sentences names; `known` has it by core."""
    found = _slotted(core(answer), known.keys()) if frames else None
    return known[found[1]] if found and found[0] in frames else None


def _slotted(text: str, labels: Set[str]) -> tuple[str, str] | None:
    """A text around its one label, and that label; None where it names none or several."""
    named = _any_of(labels)
    found = set(named.findall(text))
    return (named.sub(SLOT, text), found.pop()) if len(found) == 1 else None


def _any_of(labels: Set[str]) -> re.Pattern[str]:
    longest_first = sorted(labels, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split()).lower()


def closed(answers: Sequence[str]) -> tuple[str, ...]:
    """The closed label set of short answers, each as it is written most; () if there is none.

    A label must be seen twice, so a teacher's rare slip does not become one.
    """
    short = [a for a in answers if len(a) <= MAX_CHARACTERS and "\n" not in a and not refusal(a)]
    counts = Counter(map(core, short))
    often = {label for label, n in counts.items() if label and n >= max(2, RARE * len(answers))}
    covered = sum(counts[label] for label in often)
    if not often or len(often) > MAX_LABELS:
        return ()
    if covered < max(MOST * len(answers), PER_LABEL * len(often)):
        return ()
    spelt: dict[str, Counter[str]] = {label: Counter() for label in sorted(often)}
    for answer in short:
        if (label := core(answer)) in spelt:
            spelt[label][answer.strip()] += 1
    return tuple(sorted(forms.most_common(1)[0][0] for forms in spelt.values()))


def _undecorate(text: str) -> str:
    """A text without quotes, brackets and stops around it."""
    bare = text.lstrip(_OPENING).rstrip(_CLOSING)
    if (match := _ENCLOSED.fullmatch(bare)) and (inside := match[1] or match[3]):
        bare = inside
    return bare if bare in ("", text) else _undecorate(bare)

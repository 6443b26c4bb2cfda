"""Labels: closed sets of short answers, and the decoration that a teacher's labels drift in."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MOST = 0.95  # share of the answers that the labels must cover
MAX_LABELS = 200
MAX_CHARACTERS = 80
RARE = 0.001  # share of the answers under which a label is a slip
PER_LABEL = 3  # answers for each label: fewer may be the start of an open set

_OPENING, _CLOSING = " \t\r\n[](){}\"'`“”‘’«»", " \t\r\n[](){}\"'`“”‘’«».!,;"
_ENCLOSED = re.compile(r"<(.*)>|(\*+)(.*)\2", re.DOTALL)  # else they mean something: <50, A*
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

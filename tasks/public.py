"""Which lines are the same for everybody: prompts, templates, labels. They keep their names.

A line is public when it recurs in many conversations and what was found in it does not vary from
person to person. "You are Ada, the assistant of Acme" is; "You are talking to Mia Li" is not.
"""

from __future__ import annotations

from collections import defaultdict

from tasks.segments import Mark

CAP = 256  # distinct conversations and fillers counted per line; more change nothing
SYSTEM = frozenset({"system", "developer"})
SECRET_KINDS = frozenset(
    {
        "SECRET",
        "PASSWORD",
        "CREDIT_CARD",
        "IBAN_CODE",
        "US_SSN",
        "CRYPTO",
        "ID_NUMBER",
        "BANK_NUMBER",
    }
)


def is_secret(kind: str) -> bool:
    """Whether a type is replaced wherever it stands, in a public line too."""
    return kind in SECRET_KINDS


class Public:
    """Counts in how many conversations a line, and a skeleton with how many fillers, was seen."""

    def __init__(self, conversations: int) -> None:
        self._enough = conversations
        self._lines: dict[str, set[str]] = defaultdict(set)
        self._skeletons: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))

    def note(self, conversation: str, mark: Mark) -> None:
        """One more sight of a line with findings."""
        _add(self._lines[mark.line], conversation)
        fillers, conversations = self._skeletons[mark.skeleton]
        _add(fillers, mark.filler)
        _add(conversations, conversation)

    def __call__(self, role: str, mark: Mark) -> bool:
        """Whether the line belongs to the template and not to a person."""
        seen = len(self._lines[mark.line])
        fillers, conversations = map(len, self._skeletons[mark.skeleton])
        if seen >= self._enough and fillers * 10 <= conversations:
            return True
        return role in SYSTEM and fillers == 1 and seen >= 2


def _add(seen: set[str], value: str) -> None:
    if len(seen) < CAP:
        seen.add(value)

"""Boilerplate, which belongs to everybody: the values of an organisation in its prompts.

That a value recurs proves nothing: a team of three writes the same signature a hundred times. A
value stays only where two things come together: its line recurs, and the value itself shows that it
is an organisation's (`organisational`): a shared mailbox, a hotline, an office, the name that a
prompt gives to its assistant. Everything else is somebody's, however often it is said.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from tasks.deidentify.scanner import Location
from tasks.deidentify.wordlists import is_name, ordinary
from tasks.students.minilm import tokenizer

SCHEMA = "schema"  # the role of what tools and response formats say
SYSTEM = frozenset({"system", "developer", SCHEMA})
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


class Public:
    """Counts in how many conversations each line with findings was seen, and from whom.

    Conversations are told apart by their first words, not by ids that clients give them, and of
    those of one client only half as many count as are needed, where a night has several.
    """

    def __init__(self, conversations: int) -> None:
        self._enough = conversations
        self._lines: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._clients: set[str] = set()

    def meet(self, client: str) -> None:
        """Know a client of the night."""
        self._clients.add(client)

    def note(self, conversation: str, mark: Location, client: str = "") -> None:
        """One more sight of a line with findings."""
        seen = self._lines[mark.line][client]
        if len(seen) < self._enough:
            seen.add(conversation)

    def _seen(self, line: str) -> int:
        most = self._enough if len(self._clients) < 2 else self._enough // 2
        return sum(min(most, len(seen)) for seen in self._lines[line].values())

    def __call__(self, role: str, mark: Location) -> bool:
        """Return whether the value is an organisation's, and its line the template's."""
        enough = min(2, self._enough) if role in SYSTEM else self._enough
        return mark.organisational and self._seen(mark.line) >= enough


@cache
def dictionary() -> frozenset[str]:
    """English words that are no names, or names that are words too: of the encoder's vocabulary."""
    words = (word for word in tokenizer().get_vocab() if word.isalpha() and len(word) > 1)
    return frozenset(word for word in words if not is_name(word) or word in ordinary())

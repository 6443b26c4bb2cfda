"""The second pass: what was found once is looked for in the whole call.

A name that the tagger saw in one sentence is replaced in the next one too, in another case, alone
or inside a handle. Short and ordinary words are only taken in the case of a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tasks.detectors import Finding
from tasks.public import SECRET_KINDS
from tasks.surrogates import TOKEN
from tasks.wordlists import fold, ordinary, word_set

VERBATIM = SECRET_KINDS | {
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "USERNAME",
    "IP_ADDRESS",
    "ADDRESS",
    "ZIP_CODE",
    "PERSON",
}


class Sweep:
    """Looks for known texts and names."""

    def __init__(self, known: Iterable[tuple[str, str, str]]) -> None:
        """`known` are the types, texts and detectors of what was found in this call."""
        self._kinds: dict[str, str] = {}
        self._tokens: set[str] = set()
        for kind, text, detector in known:
            sure = kind != "ADDRESS" or detector == "key"  # under `city`, a short word is enough
            if kind in VERBATIM and len(text) >= (4 if sure else 8):
                self._kinds[fold(text)] = kind
            if kind == "PERSON":
                self._tokens |= {
                    fold(t) for t in TOKEN.findall(text.removesuffix("'s")) if len(t) > 2
                }
        self._tokens -= word_set("particles")
        wanted = sorted(self._kinds.keys() | self._tokens, key=lambda t: (-len(t), t))
        pattern = "|".join(map(re.escape, wanted))
        self._pattern = (
            re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W\d_])", re.I) if wanted else None
        )

    def findings(self, text: str) -> list[Finding]:
        """Known texts in a leaf."""
        if self._pattern is None:
            return []
        out = []
        for match in self._pattern.finditer(text):
            word = match.group()
            kind = self._kinds.get(fold(word))
            if kind is None or kind == "PERSON":
                kind = "PERSON" if self._is_name(word, match, text) else None
            if kind:
                out.append(Finding(*match.span(), kind, 0.5, "known"))
        return out

    def _is_name(self, word: str, match: re.Match[str], text: str) -> bool:
        if " " in word or not word.islower():
            return True
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        in_handle = before in {"_", ".", "@"} or after in {"_", "@"} or after.isdigit()
        return in_handle or (len(word) > 3 and fold(word) not in ordinary())

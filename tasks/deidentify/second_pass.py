"""The second pass: what was found once is looked for in the whole call.

A name that the tagger saw in one sentence is replaced in the next one too, in another case, alone
or inside a handle. Short and ordinary words are only taken in the case of a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from tasks.deidentify.boilerplate import SECRET_KINDS
from tasks.deidentify.cues import NAME_CUE
from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import COMMON, frequency, language
from tasks.deidentify.name_words import as_noun
from tasks.deidentify.surrogates import TOKEN
from tasks.deidentify.wordlists import all_roles, fold, ordinary, word_set

Known = tuple[str, str, str]  # type, text, detector
VERBATIM = SECRET_KINDS | {
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "USERNAME",
    "IP_ADDRESS",
    "ADDRESS",
    "ZIP_CODE",
    "PERSON",
}


class KnownTextScanner:
    """Looks for known texts and names. `known` are types, texts and detectors of what was found."""

    def __init__(self, texts: Iterable[Known]) -> None:
        self._kinds: dict[str, str] = {}
        self._names: set[str] = set()
        patterns: set[str] = set()
        for kind, text, detector in texts:
            sure = kind != "ADDRESS" or detector == "key"  # under `city`, a short word is enough
            if kind == "PERSON":
                patterns |= self._name(text)
            elif kind in VERBATIM and len(text) >= (4 if sure else 8):
                self._kinds[fold(text)] = kind
                patterns |= {re.escape(text), re.escape(fold(text))}
        wanted = "|".join(sorted(patterns, key=lambda p: (-len(p), p)))
        pattern = rf"(?<![^\W_])(?:{wanted})(?![^\W\d_])"
        self._pattern = re.compile(pattern, re.IGNORECASE) if wanted else None

    def _name(self, text: str) -> set[str]:
        """The patterns of a name: its words, and first and last as they stand in a handle."""
        tokens = [t for t in TOKEN.findall(text) if fold(t) not in word_set("particles")]
        words = [t for t in tokens if len(t) > 2]
        self._names |= {fold(t) for t in words}
        patterns = {re.escape(form) for t in words for form in (t, fold(t))}
        if len(tokens) > 1:
            patterns.add(rf"{re.escape(tokens[0])}[\s._-]+{re.escape(tokens[-1])}")
        return patterns

    def findings(self, text: str) -> list[Finding]:
        """Known texts in a leaf."""
        if self._pattern is None:
            return []
        out = []
        for match in self._pattern.finditer(text):
            kind = self._kinds.get(fold(match.group())) or self._person(match, text)
            if kind:
                out.append(Finding(*match.span(), kind, 0.5, "known"))
        return out

    def _person(self, match: re.Match[str], text: str) -> str | None:
        """PERSON or USERNAME, when the match is written like one."""
        word = match.group()
        if fold(word) not in self._names:
            return "USERNAME" if re.search(r"[._-]", word) else "PERSON"
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        in_handle = before in {"_", ".", "@"} or after in {"_", "@"} or after.isdigit()
        return None if not in_handle and self._as_word(match, text) else "PERSON"

    def _as_word(self, match: re.Match[str], text: str) -> bool:
        """Return whether a name is used as the word that it is too: `der Koch`, `un petit pain`."""
        word, tongue = match.group(), language(text)
        if not word.islower():
            given = all_roles().get(fold(word)) in {"female", "male"}
            before = text[max(0, match.start() - 40) : match.start()]
            return tongue == "de" and not given and as_noun(word, before)
        if len(word) < 4 or fold(word) in ordinary():
            return True
        if frequency(word, tongue) < COMMON or NAME_CUE.search(text[: match.start()][-40:]):
            return False
        around = [text[: match.start()].split()[-1:], text[match.end() :].split()[:1]]
        return not any(fold(w.strip(".,")) in self._names for some in around for w in some)


@lru_cache(maxsize=512)
def known_text_scanner(texts: frozenset[Known]) -> KnownTextScanner:
    """Return the scanner for these; turns of one conversation mostly share theirs."""
    return KnownTextScanner(sorted(texts))

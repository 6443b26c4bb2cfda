"""The language of a text, and how common a word is in it: wordfreq's lists and py3langid.

Names, places and addresses are found in the languages of `SUPPORTED`. A text in another language
is named by `foreign`, so that it can be set aside: nothing in it would be found, or everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

SUPPORTED = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NO_PROSE = re.compile(r"\S*(?:[@/\\_=<>{}]|\d|\.\w|\w\.\w|::)\S*")  # links, paths, code, numbers
KNOWN = 2.0  # words this common (Zipf: log10 per thousand million) belong to a language
COMMON = 3.0
_ENOUGH = 0.75  # share of a text's words that settles its language without a closer look
_SCRIPT = re.compile(  # two letters of a script in which none of the languages is written
    "[\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u0590-\u07ff\u0900-\u0fff\u1000-\u137f\u1780-\u17ff"
    "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0002ffff]{2}"
)
_LONGEST = 4_000  # characters that are looked at


@cache
def frequencies(language: str) -> dict[str, float]:
    """Words of a language and how often they stand in a thousand million, as a logarithm.

    Of words rarer than `KNOWN` only those with an apostrophe: others are as good as unknown.
    """
    shares: dict[str, float] = {}
    for number, words in enumerate(_listed("large", language) or _listed("small", language)):
        often = round(9 - number / 100, 1)
        shares |= dict.fromkeys(words if often >= KNOWN else [w for w in words if "'" in w], often)
    return shares


@cache
def common(language: str) -> frozenset[str]:
    """Some 20,000 to 50,000 of a language's words; empty where there is no list."""
    return frozenset(word for words in _listed("small", language) for word in words)


def _listed(size: str, language: str) -> list[list[str]]:
    """A word list of wordfreq: those of the number n stand in 10 to the power of 9 - n / 100."""
    import wordfreq

    path = wordfreq.available_languages(size).get(language)
    return wordfreq.read_cBpack(path) if path else []


@cache
def typos(language: str) -> frozenset[str]:
    """Return what is left of common words when a letter is lost.

    Two words that share one are alike.
    """
    often = [w for w in common(language) if len(w) > 3 and frequencies(language)[w] >= COMMON]
    return frozenset(form for word in often for form in _shorter(word)) | frozenset(often)


def _shorter(word: str) -> Iterable[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


def is_typo(word: str, language: str) -> bool:
    """Return whether a word is one letter away from a common word of the language."""
    misspelled = typos(language)
    return len(word) > 3 and (
        word in misspelled or any(form in misspelled for form in _shorter(word))
    )


def frequency(word: str, language: str) -> float:
    """Return how common a word is: 0 (unknown) to 8, in the language or, as jargon, in English."""
    plain = word.lower().replace("’", "'")
    own = frequencies(language).get(plain, 0.0) if language else 0.0
    return own or _parts(plain, language)


def _parts(word: str, language: str) -> float:
    """The rarest part of a word with apostrophes: `l'arrivée`, `didn't`."""
    if "'" not in word or not language:
        return 0.0
    shares = frequencies(language)
    parts = [part for part in word.split("'") if len(part) > 1]
    return min((shares.get(part, 0.0) for part in parts), default=0.0)


def words(text: str) -> list[str]:
    """The words of a text's prose in lower case, without links, code and numbers."""
    prose = _NO_PROSE.sub(" ", text[:_LONGEST])
    return [w.lower() for w in WORD.findall(prose) if len(w) > 1]


@lru_cache(maxsize=8_192)
def language(text: str) -> str:
    """The supported language that most of a text's words belong to; empty when none is known."""
    present = set(words(text))
    if not present:
        return ""
    shares = {code: len(present & common(code)) / len(present) for code in SUPPORTED}
    best = max(shares.values())
    if not best:
        return ""
    close = [code for code, share in shares.items() if share >= best - 0.1 / len(present)]
    if len(close) == 1:
        return close[0]
    guess = _guess(" ".join(sorted(present)))
    return guess if guess in close else "en" if "en" in close else close[0]


@lru_cache(maxsize=8_192)
def foreign(text: str, read: tuple[str, ...] = tuple(SUPPORTED)) -> str:
    """The English name of the language that a text is in, unless it is one of those that are read.

    A text is called foreign only when its words say so: a guess on a few letters is not enough.
    """
    if _SCRIPT.search(text):
        return name_of(_guess(text[:_LONGEST]))
    present = set(words(text))
    counts = {code: len(present & common(code)) for code in read}
    if len(present) < 2 or max(counts.values()) >= _ENOUGH * len(present):
        return ""
    guess = _guess(" ".join(words(text)))
    if guess in read:
        return ""
    listed = common(guess)
    if listed:
        own = len(present & listed)
        sure = own >= max(counts.values()) + max(2, len(present) // 4) and own >= len(present) / 3
    else:
        rest = {w for w in present if not any(frequency(w, code) >= KNOWN for code in read)}
        sure = len(rest) >= 5 and len(rest) >= 0.7 * len(present)
    return name_of(guess) if sure else ""


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def _guess(text: str) -> str:
    """The code of the language that a text is most likely in, of 139."""
    return str(_identifier().classify(text)[0])


def name_of(code: str) -> str:
    """The English name of a language."""
    import langcodes

    return SUPPORTED.get(code) or _OTHERS.get(code) or str(langcodes.Language.get(code))


_OTHERS = dict(
    pair.split("=")
    for pair in """
af=Afrikaans, ar=Arabic, az=Azerbaijani, be=Belarusian, bg=Bulgarian, bn=Bengali,
br=Breton, bs=Bosnian, ca=Catalan, cs=Czech, cy=Welsh, da=Danish, el=Greek,
eo=Esperanto, et=Estonian, eu=Basque, fa=Persian, fi=Finnish, fil=Filipino, fy=Frisian,
ga=Irish, gl=Galician, he=Hebrew, hi=Hindi, hr=Croatian, hu=Hungarian, hy=Armenian,
id=Indonesian, is=Icelandic, ja=Japanese, ka=Georgian, kk=Kazakh, ko=Korean, la=Latin,
lb=Luxembourgish, lt=Lithuanian, lv=Latvian, mk=Macedonian, ms=Malay, mt=Maltese,
nb=Norwegian, nn=Norwegian, no=Norwegian, oc=Occitan, pl=Polish, ro=Romanian,
ru=Russian, sk=Slovak, sl=Slovenian, sq=Albanian, sr=Serbian, sv=Swedish, sw=Swahili,
ta=Tamil, th=Thai, tl=Tagalog, tr=Turkish, uk=Ukrainian, ur=Urdu, uz=Uzbek,
vi=Vietnamese, xh=Xhosa, yo=Yoruba, zh=Chinese, zu=Zulu
""".replace("\n", " ")
    .strip()
    .split(", ")
)

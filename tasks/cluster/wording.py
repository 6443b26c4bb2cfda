"""Words from prompts: what is done to what, in two to four of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_VERBS = (
    "classify|categori[sz]e|label|route|triage|tag|extract|find|identify|detect|parse|convert|turn"
    "|translate|rewrite|rephrase|summari[sz]e|write|draft|compose|solve|calculate|compute|generate"
    "|create|plan|review|rate|rank|score|grade|judge|decide|check|normali[sz]e|match|suggest"
    "|recommend|explain|analy[sz]e|complete|fill|select|choose|redact|moderate|assess|estimate"
    "|predict|describe|propose|compare|correct|apply|sort|transcribe|map|list|verify|edit"
)
# An order opens a sentence or a line; `you write ...` says the same as `write ...`.
_ORDER = re.compile(
    rf"(?:^|[.!?]\s+|\n[-*\d.\s]*|\bto\s+|\bwill\s+|\bmust\s+|\bplease\s+|\b[Yy]ou\s+)"
    rf"((?:[A-Z]?(?i:{_VERBS}))\b[^.:;\n]*)"
)
_YOU = re.compile(
    r"\b[Yy]ou\s+(?!are\b|have\b|can\b|must\b|may\b|will\b|should\b|get\b)([a-z]+\s[^.:;\n]*)"
)
_ROLE = re.compile(r"\b(?:[Yy]ou are|[Yy]ou're|[Aa]ct as|[Aa]s) (?:an?|the)\s+([^.,:;\n]+)")
_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]?")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_HARD = _set("that which who when where if so because while using as")
_SOFT = _set("and or from for in into to of by with on at through per about via within")
_EMPTY = _set(
    "a an the is are be you your yours it its this that these those exactly all any each"
    " every following below above given user users s one two three four five six seven eight nine"
    " ten single specific very other else only just please their them they his her our we us i my"
    " me not no do does can could will would should must has have than then there here such"
    " some most more both either also helpful ai out up whose what how why short brief"
    " whatever request today locale date system set way step"
)
_GENERIC = _set("assistant agent expert model bot chatbot specialist helper")
_PLAIN = _set(
    "get find search buy book check make list create update delete cancel add set look play"
    " reserve transfer schedule lookup fetch query read write send"
)


def action(text: str) -> list[str]:
    """The words of the first order in a prompt: a verb and what it is done to."""
    for pattern in (_ORDER, _YOU):
        for match in pattern.finditer(text):
            words = _phrase(match.group(1), 3)
            if len(words) >= 2 and not words[0].isupper():
                return words
    return []


def role(text: str) -> list[str]:
    """The words of the role that a prompt gives: `airline agent`, `routing step`."""
    for match in _ROLE.finditer(text):
        words = _phrase(match.group(1), 3)
        generic = [word for word in words if word.lower() in _GENERIC]
        own = [word for word in words if word.lower() not in _GENERIC]
        if own:
            return [*own[:3], *generic[:1]]
    return []


def sentence(text: str, words: Sequence[str]) -> str:
    """The first sentence of a text in which the words stand; the longest one if there is none."""
    sentences = [" ".join(s.split()) for s in _SENTENCE.findall(text)]
    sentences = [s for s in sentences if len(s) > 24] or sentences
    for candidate in sentences:
        if all(word.lower() in candidate.lower() for word in words):
            return candidate
    return max(sentences, key=len, default=" ".join(text.split()))


def plain(text: str) -> list[str]:
    """The telling words of any text, in order, each once."""
    words = (word.lower() for word in _WORD.findall(text.replace("_", " ")))
    return list(dict.fromkeys(w for w in words if w not in _EMPTY | _SOFT | _PLAIN and len(w) > 2))


def of_tools(names: Sequence[str]) -> list[str]:
    """Return what tools are about: the nouns in their names, the most frequent first."""
    counts: dict[str, int] = {}
    for name in names:
        for word in {part.lower() for part in _SPLIT.findall(name)} - _PLAIN - _EMPTY:
            if len(word) > 2:
                counts[word] = counts.get(word, 0) + 1
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return [word for word in ordered if not {word + "s", word + "es"} & counts.keys()]


def _phrase(text: str, enough: int) -> list[str]:
    """Words up to a relative clause, or up to a preposition once there are enough."""
    result: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        low = word.lower()
        if low in _HARD or len(result) == enough + 1 or (low in _SOFT and len(result) >= enough):
            break
        # A capital inside a sentence is a proper name, unless all of it is capitals (SQL).
        name = match.start() > 0 and word[0].isupper() and not word.isupper()
        if low not in _EMPTY and low not in _SOFT and not name:
            result.append(word if word.isupper() else low)
    return result

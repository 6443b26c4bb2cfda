"""One call with surrogates in it: decides what is replaced, replaces it, checks that copies agree.

`Cleaner` works for a night; `clean` returns the changed fields of a call. Used by
`tasks.deidentify`; the only importer of presidio_anonymizer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count

from tasks.core.params import Deidentify
from tasks.core.records import Call, Json, text_of
from tasks.deidentify.bare_answers import asked
from tasks.deidentify.boilerplate import SCHEMA, SYSTEM, Public
from tasks.deidentify.call_texts import Change, each_message, each_request, rewrite, saying, telling
from tasks.deidentify.copied_values import copied
from tasks.deidentify.findings import Finding, free
from tasks.deidentify.languages import foreign
from tasks.deidentify.leak_check import Originals
from tasks.deidentify.name_check import is_given
from tasks.deidentify.organisations import CONSTANT
from tasks.deidentify.scanner import ANSWER, LocatedFinding, Scanned
from tasks.deidentify.second_pass import known_text_scanner
from tasks.deidentify.surrogates import Surrogates
from tasks.deidentify.wordlists import fold, is_name

REPLY = "reply"
SOFT = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "DATE_TIME"})
UNREAD, INCONSISTENT = "language: ", "inconsistent surrogates"
_NORM = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")


class Quarantined(Exception):  # noqa: N818 - it says what happens to the call
    """The call cannot be de-identified; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string of a call: who said it, under which key, and what was found in it."""

    role: str
    path: str
    text: str
    scanned: Scanned


def visit(call: Call, change: Callable[[str], Change]) -> dict[str, object]:
    """The fields of a call that hold text, changed; `change` gives the function for each role."""
    messages, question = [], ""
    for message in call.messages:
        role = str(message.get("role", ""))
        each = change(role)
        messages.append(each_message(message, _under(question, each) if role == "user" else each))
        question = asked(text_of(message.get("content"))) if role == "assistant" else ""
    plain, reply = change("user"), change(REPLY)
    return {
        "id": plain("", call.id) if telling(call.id) else call.id,
        "request": each_request(call.request, plain, change(SCHEMA)) | {"messages": messages},
        "reply": each_message(call.reply, reply),
        "student": each_message(call.student, reply) if call.student else call.student,
        "error": plain("error", call.error) if call.error else call.error,
        "client": plain("client", call.client) if call.client else call.client,
        "hint": plain("", call.hint),
        "model": plain("", call.model) if saying(call.model) else call.model,
    }


def _under(question: str, each: Change) -> Change:
    """`each`, told what the assistant asked for just before."""
    if not question:
        return each
    return lambda path, text: each(path or ANSWER + question, text)


def strings(call: Call) -> Iterator[tuple[str, str, str]]:
    """Every string of a call as role, path, text, in the order of `visit`."""
    texts: list[tuple[str, str, str]] = []

    def note(role: str) -> Change:
        def change(path: str, text: str) -> str:
            texts.append((role, path, text))
            return text

        return change

    visit(call, note)
    return iter(texts)


def norm(text: str) -> str:
    """A text without case, spaces and punctuation: what stays when a value is written anew."""
    return _NORM.sub("", text.casefold())


class Cleaner:
    """Replaces what was found, for all calls of a night."""

    def __init__(
        self,
        params: Deidentify,
        public: Public,
        constant: Surrogates,
        originals: Originals,
    ) -> None:
        from presidio_anonymizer import AnonymizerEngine

        self._keep = frozenset(params.keep)
        self._read = tuple(params.languages) if params.other_languages == "quarantine" else ()
        self._public = public
        self._constant, self._originals = constant, originals
        self._engine = AnonymizerEngine()
        self.entities: Counter[str] = Counter()
        self.detectors: Counter[str] = Counter()

    def clean(self, call: Call, texts: Sequence[Text], people: Surrogates) -> Json:
        """The call's fields with surrogates. Raises Quarantined with the reason."""
        if self._read and (name := self._unread(texts)):
            raise Quarantined(UNREAD + name)
        if not any(t.scanned for t in texts):
            return visit(call, lambda role: lambda path, text: text)
        return _OneCall(self, call, texts, people).fields()

    def _unread(self, texts: Sequence[Text]) -> str:
        """The language that a text of the call, or all that is said in it, is in, if not read."""
        spoken = [t.text for t in texts if t.role not in SYSTEM]
        languages = (foreign(text, self._read) for text in [*spoken, "\n".join(spoken)])
        return next((name for name in languages if name), "")

    def wanted(self, text: Text) -> Iterator[LocatedFinding]:
        """Yield what was found in a string and is no part of the template."""
        for leaf in text.scanned:
            for located in leaf:
                if located.finding.kind in self._keep or self._public(text.role, located.mark):
                    continue
                if text.role != SCHEMA or _someone(located):
                    yield located

    def replace(self, text: str, findings: Sequence[tuple[Finding, Surrogates]]) -> str:
        """The text with surrogates, through Presidio's anonymizer."""
        from presidio_anonymizer.entities import OperatorConfig, RecognizerResult

        operators, results = {}, []
        for number, (finding, people) in enumerate(findings):
            self.entities[finding.kind] += 1
            self.detectors[finding.detector] += 1
            self._originals.add(finding.kind, text[finding.start : finding.end], people.opening)
            name = str(number)  # one operator per finding: types may come from two conversations
            operators[name] = OperatorConfig("custom", {"lambda": partial(people.of, finding.kind)})
            results.append(RecognizerResult(name, finding.start, finding.end, finding.score))
        done = self._engine.anonymize(text, results, operators, merge_entities_with_spaces=False)
        return str(done.text)

    def constants(self, text: Text, index: int) -> list[tuple[Finding, Surrogates]]:
        """Secrets in the template itself: the same surrogate for everybody."""
        if not text.scanned:
            return []
        return [
            (f.finding, self._constant)
            for f in text.scanned[index]
            if f.finding.kind in CONSTANT and self._public(text.role, f.mark)
        ]


class _OneCall:
    """The decisions for one call."""

    def __init__(
        self, cleaner: Cleaner, call: Call, texts: Sequence[Text], people: Surrogates
    ) -> None:
        self._cleaner, self._call, self._texts, self._people = cleaner, call, texts, people
        wanted = [list(cleaner.wanted(t)) for t in texts]
        people.meet(f.text for some in wanted for f in some if f.finding.kind in SOFT)
        self._vocabulary = _template(texts, wanted)
        self._chosen = self._choose(wanted)
        texts_found = (
            (f.finding.kind, f.text, f.finding.detector) for t in self._chosen for f in t
        )
        self._known = frozenset(texts_found)
        self._copied: list[tuple[str, str]] = []  # values of the reply, before and after

    @cached_property
    def _prompt(self) -> str:
        return norm("\n".join(t.text for t in self._texts if t.role != REPLY))

    def _choose(self, wanted: list[list[LocatedFinding]]) -> list[list[LocatedFinding]]:
        """Return what is replaced in each string; names are registered in the order of the text."""
        for text, findings in zip(self._texts, wanted, strict=True):
            for f in findings:
                if f.finding.kind == "PERSON" and text.role != REPLY and not self._in_template(f):
                    self._people.of("PERSON", f.text)
        return [
            [f for f in findings if not self._stays(text, f)]
            for text, findings in zip(self._texts, wanted, strict=True)
        ]

    def _stays(self, text: Text, located: LocatedFinding) -> bool:
        """Return whether a name belongs to everybody, or is the model's own word."""
        if located.finding.kind not in SOFT or self._people.knows(located.text):
            return False
        own = text.role == REPLY and norm(located.text) not in self._prompt
        return own or self._in_template(located)

    def _in_template(self, located: LocatedFinding) -> bool:
        kind, detector = located.finding.kind, located.finding.detector
        named = kind == "PERSON" and detector == "key"  # whoever an example names, too
        if named or kind not in SOFT or located.text not in self._vocabulary:
            return False
        return re.search(rf"(?<!\w){re.escape(located.text)}(?!\w)", self._vocabulary) is not None

    def fields(self) -> Json:
        """The changed fields. Raises Quarantined when a copied value no longer agrees."""
        after: list[str] = []

        def next_string(path: str, text: str) -> str:
            after.append(self._string(len(after)))
            return after[-1]

        fields = visit(self._call, lambda role: next_string)
        self._check(after)
        return fields

    def _string(self, index: int) -> str:
        """A string with surrogates; the same in a later turn of the conversation is not redone."""
        text, chosen = self._texts[index], tuple(f.finding for f in self._chosen[index])
        if not chosen and not text.scanned and (text.role in SYSTEM or not self._known):
            return text.text
        if text.role == REPLY:  # which follows the prompt that it copies from
            return rewrite(text.text, self._leaf(index), text.path)
        memo = text.text, text.path, text.role in SYSTEM, chosen, self._known
        if memo not in self._people.done:
            self._people.done[memo] = rewrite(text.text, self._leaf(index), text.path)
        return self._people.done[memo]

    def _leaf(self, index: int) -> Change:
        numbers, reply = count(), self._texts[index].role == REPLY
        texts = enumerate(self._texts) if reply else ()
        prompt = [(i, text.path, text.text) for i, text in texts if text.role != REPLY]

        def leaf(path: str, value: str) -> str:
            here = next(numbers)
            own = copied(value, prompt, self._every) if prompt else None
            every = self._every(index, here, value) if own is None else own
            new = self._cleaner.replace(value, every) if every else value
            if reply and new != value:
                self._copied.append((value, new))
            return new

        return leaf

    def _every(self, index: int, here: int, value: str) -> list[tuple[Finding, Surrogates]]:
        """All that is replaced in a leaf, as it is found there and in other places of the call."""
        text, chosen = self._texts[index], {id(f) for f in self._chosen[index]}
        scanned = text.scanned[here] if text.scanned else ()
        mine = [(f.finding, self._people) for f in scanned if id(f) in chosen]
        if text.role not in SYSTEM or mine:
            mine += [(f, self._people) for f in known_text_scanner(self._known).findings(value)]
        return _apart([*self._cleaner.constants(text, here), *mine])

    def _check(self, after: Sequence[str]) -> None:
        """A value that the reply copied from the prompt must still be a copy."""
        if not self._copied:
            return
        prompt: list[str] = []
        reply: list[str] = []
        for text, new in zip(self._texts, after, strict=True):
            (reply if text.role == REPLY else prompt).append(new)
        written, whole = "\n".join(reply), norm("\n".join(prompt))
        for old, new in self._copied:
            if _NUMBER.fullmatch(old) and new not in written:
                continue  # it could not be a number any more, and stayed
            value = norm(old)
            if len(value) > 3 and value in self._prompt and norm(new) not in whole:
                raise Quarantined(INCONSISTENT)


def _someone(located: LocatedFinding) -> bool:
    """Return whether a finding in a schema is a person's, not of a menu or a voice."""
    kind, words = located.finding.kind, located.text.split()
    if kind == "PERSON":
        return len(words) > 1 and any(is_name(fold(word)) for word in words)
    return kind not in SOFT


def _apart(findings: Sequence[tuple[Finding, Surrogates]]) -> list[tuple[Finding, Surrogates]]:
    """Without overlaps: what comes first in the list stays, and of a name what it leaves free."""
    kept: list[tuple[Finding, Surrogates]] = []
    for finding, people in findings:
        left = free(finding, [k for k, _ in kept])
        kept += [(f, people) for f in left if f == finding or f.kind == "PERSON"]
    return kept


def _template(texts: Sequence[Text], wanted: Sequence[Sequence[LocatedFinding]]) -> str:
    """The system texts without what is personal in them: the words that everybody may keep.

    The given name in a firm's is none: a customer may bear it, too.
    """
    out = ""
    for text, findings in zip(texts, wanted, strict=True):
        if text.role in SYSTEM:
            plain = text.text
            for f in findings:
                plain = plain.replace(f.text, "")
            for firm in _firms(text):
                plain = plain.replace(firm, " ".join(w for w in firm.split() if not is_given(w)))
            out += "\n" + plain
    return out


def _firms(text: Text) -> set[str]:
    found = (f for leaf in text.scanned for f in leaf)
    return {f.text for f in found if f.finding.kind == "ORGANIZATION" and " " in f.text}

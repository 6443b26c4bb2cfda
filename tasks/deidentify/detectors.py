"""Finds personal data: Presidio's analyzer with trimmed recognisers, our shapes and the tagger.

The only importer of presidio_analyzer. A *segment* is a short text (a line of prose, or JSON leaves
as `key: value` lines); `Detector.scan` takes many at once so that the tagger can work in batches.
Nothing to run; `python -m benchmarks.deidentify` measures it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tasks.core.params import Deidentify
from tasks.core.records import digest
from tasks.core.stage import Refused
from tasks.deidentify.cues import COURTESY
from tasks.deidentify.findings import PRIORITY, Finding, outside, resolve
from tasks.deidentify.known_names import joined_names, known_names, owners
from tasks.deidentify.languages import SUPPORTED, common
from tasks.deidentify.name_check import checked, whole
from tasks.deidentify.national import accounts, citizens
from tasks.deidentify.ner_model import model
from tasks.deidentify.patterns import SHAPES
from tasks.deidentify.phones import phones
from tasks.deidentify.places import is_by_way_of, postal_towns, to_town
from tasks.deidentify.secret_patterns import scanner_rules, unlisted_keys
from tasks.deidentify.wordlists import all_english, fold, is_name

SECONDS_PER_PATTERN = "5"  # a pattern that needs longer failed, and its text is not let through
# One character for one, so that spans stay valid.
NORMAL = str.maketrans(
    "\u2010\u2011\u2012\u2013\u2014\u2212\u00a0\u202f\u2009\u2019\u2018\u201c\u201d",
    "------   ''\"\"",
)


def version(params: Deidentify) -> str:
    """Names the detectors: another name when their code, numbers or weights change."""
    from tasks.deidentify.tagger import ADAPTER

    here = Path(__file__).parent
    names = (
        "address_check bare_answers cues detectors findings identifier_cues known_names languages "
        "name_check name_spans name_words national ner_model patterns phones places scanner tagger "
        "secret_patterns tagger_model wordlists"
    )
    parts = [here / f"{name}.py" for name in names.split()]
    parts += sorted(ADAPTER.glob("*.safetensors")) if params.ner == "bundled" else []
    numbers = f"{params.ner} {params.threshold} {params.tagger_threshold} {params.languages}"
    return digest(numbers, *(part.read_bytes() for part in parts))


class _TimedOut(logging.Handler):
    """Presidio only warns when a pattern times out; here that is counted as a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "timed out" in str(record.msg)


def _import_presidio() -> None:
    """Import it as if transformers were missing: it would import its pipelines, for two seconds."""
    if "presidio_analyzer" in sys.modules:
        return
    there = sys.modules.get("transformers")
    sys.modules["transformers"] = None  # type: ignore[assignment]
    try:
        import presidio_analyzer  # noqa: F401 - for those that import it by name
    finally:
        del sys.modules["transformers"]
        if there is not None:
            sys.modules["transformers"] = there


def _context_class() -> Any:
    """A context enhancer that reads the text: a blank pipeline has no lemmas to look at."""
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer

    class Context(ContextAwareEnhancer):  # type: ignore[misc, unused-ignore]
        """Raise a score when one of the recogniser's context words stands close by."""

        def enhance_using_context(
            self,
            text: str,
            raw_results: list[Any],
            nlp_artifacts: Any,
            recognizers: list[Any],
            context: list[str] | None = None,
        ) -> list[Any]:
            words = {r.id: r.context for r in recognizers if r.context}
            for result in raw_results:
                cues = words.get(result.recognition_metadata.get("recognizer_identifier"))
                if cues and result.score < 0.75:
                    near = text[max(0, result.start - 48) : result.end + 24].lower()
                    if any(re.search(rf"\b{re.escape(cue.strip())}", near) for cue in cues):
                        result.score = max(result.score + 0.35, 0.4)
            return raw_results

    return Context(0.35, 0.4, 5, 5)


def _stock() -> list[Any]:
    """Presidio's own recognisers that fit agent logs, without network access."""
    import tldextract
    from presidio_analyzer import predefined_recognizers as stock

    suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class Emails(stock.EmailRecognizer):  # type: ignore[misc, unused-ignore]
        """The stock recogniser asks the network for top-level domains."""

        def validate_result(self, pattern_text: str) -> bool:
            return suffixes(pattern_text).suffix != "" or pattern_text.endswith((".local", ".test"))

    return [Emails(), stock.CreditCardRecognizer(), stock.IbanRecognizer(), stock.IpRecognizer(),
            stock.MacAddressRecognizer(), stock.CryptoRecognizer()]  # fmt: skip


def _foreign(languages: Sequence[str]) -> list[Any]:
    """Presidio's recognisers of other languages: their national numbers, checked by checksum.

    All stand under one language, so that a text is read once, whatever it is written in.
    """
    from presidio_analyzer import PatternRecognizer, RecognizerRegistry

    common = {"CREDIT_CARD", "IBAN_CODE", "EMAIL_ADDRESS", "IP_ADDRESS", "CRYPTO", "URL"}
    common |= {"DATE_TIME", "MAC_ADDRESS", "UUID", "MEDICAL_LICENSE"}
    findings = []
    for language in set(languages) - {"en"}:
        registry = RecognizerRegistry(supported_languages=[language])
        registry.load_predefined_recognizers(languages=[language])
        findings += [
            r
            for r in registry.recognizers
            if isinstance(r, PatternRecognizer) and not common & set(r.supported_entities)
        ]
    for recognizer in findings:
        recognizer.supported_language = "en"
    return findings


_NATIONAL = re.compile(r"(?=(?:[^\W_]*\d){5})[^\W_]{6,}")  # a word with five digits, at least


def _needs() -> dict[str, re.Pattern[str]]:
    """Return what a text must hold for a stock recogniser to find anything.

    Saves most of the work.
    """
    return {
        "EMAIL_ADDRESS": re.compile("@"),
        "CREDIT_CARD": re.compile(r"\d{3,4}[- ]?\d{3,4}[- ]?\d{3,4}"),
        "IBAN_CODE": re.compile(r"[A-Za-z]{2}\d\d"),
        "IP_ADDRESS": re.compile(r"\d\.\d{1,3}\.\d|[0-9a-fA-F]?::?[0-9a-fA-F]{0,4}:"),
        "MAC_ADDRESS": re.compile(
            r"[0-9a-fA-F]{2}[:.-][0-9a-fA-F]{2}|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}"
        ),
        "CRYPTO": re.compile(r"\b(?:bc1|[13])[a-zA-Z0-9]{25}"),
    }


def shapes(text: str) -> list[Finding]:
    """Return what our own patterns find in a text."""
    lowered, long = text.lower(), _LONG.search(text) is not None
    findings = []
    for shape in SHAPES:
        if shape.needs and not any(c in text for c in shape.needs):
            continue
        if (shape.hint and shape.hint not in lowered) or (shape.long and not long):
            continue
        for match in shape.pattern.finditer(text):
            start, end = match.span("v") if "v" in shape.pattern.groupindex else match.span()
            loose = shape.kind == "ADDRESS" and is_by_way_of(text[start:end], text)
            program = shape.wordy and all_english(text[start:end])
            if not loose and not program and not (shape.kind in SAID and _is_word(text[start:end])):
                findings.append(Finding(start, end, shape.kind, shape.score, "shape"))
    findings += [Finding(a, b, "PHONE_NUMBER", score, "phone") for a, b, score in phones(text)]
    findings += [Finding(a, b, "ADDRESS", 0.7, "shape") for a, b in postal_towns(text)]
    findings += [Finding(a, b, "IBAN_CODE", 0.8, "shape") for a, b in accounts(text)]
    findings += [Finding(a, b, "ID_NUMBER", 0.8, "shape") for a, b in citizens(text)]
    return findings + (_keys(text) if long else [])


_LONG = re.compile(r"(?=[\w.=~+/-]*\d)[\w.=~+/-]{16,}")
SAID = frozenset({"SECRET", "PASSWORD", "USERNAME"})  # "my password changed" says none


def _is_word(value: str) -> bool:
    """Return whether a supposed secret or handle is an ordinary word: `changed`, `located`."""
    word = value.strip("@.").lower()
    if not word.isalpha() or is_name(fold(word)):
        return False
    return any(word in common(code) for code in SUPPORTED)


def _keys(text: str) -> list[Finding]:
    """Keys that detect-secrets' patterns or their randomness give away."""
    spans = unlisted_keys(text)
    for rule in scanner_rules():
        for match in rule.finditer(text):
            inner = rule.groups == 1 and match.end(1) - match.start(1) >= 16
            start, end = match.span(1) if inner else match.span()
            lead = len(text[start:end]) - len(text[start:end].lstrip(" \t\n=:\"'"))
            spans.append((start + lead, start + len(text[start:end].rstrip(" \t\n\"'"))))
    return [Finding(a, b, "SECRET", 0.9, "shape") for a, b in spans]


def _recogniser(
    name: str, find: Callable[[str], Sequence[Finding]], kinds: Sequence[str]
) -> object:
    """A finder of ours as a recogniser of Presidio's."""
    from presidio_analyzer import LocalRecognizer, RecognizerResult

    class Ours(LocalRecognizer):  # type: ignore[misc, unused-ignore]
        """Hands on what `find` finds."""

        def load(self) -> None:
            pass

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            return [RecognizerResult(f.kind, f.start, f.end, f.score) for f in find(text)]

    return Ours(list(kinds), name=name)


class Detector:
    """Presidio's analyzer over our registry, and the tagger, which works in batches."""

    def __init__(self, params: Deidentify) -> None:
        os.environ.setdefault("REGEX_TIMEOUT_SECONDS", SECONDS_PER_PATTERN)
        _import_presidio()
        self.params = params
        self._timeouts = _TimedOut()
        logger = logging.getLogger("presidio-analyzer")
        logger.addHandler(self._timeouts)
        logger.setLevel(logging.WARNING)
        logger.propagate = False  # its messages may hold text
        self._model = model(params)
        self._engine = self.engine([])

    def engine(self, more: Sequence[Any]) -> Any:
        """Presidio's analyzer with the trimmed registry, our shapes and `more` recognisers."""
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NoOpNlpEngine

        needs = _needs()
        registry = RecognizerRegistry(supported_languages=["en"])
        for recognizer in _stock():
            need = needs[recognizer.supported_entities[0]]
            recognizer.analyze = _only_if(need, recognizer.analyze)
            registry.add_recognizer(recognizer)
        kinds = sorted({shape.kind for shape in SHAPES} | {"PHONE_NUMBER"})
        for recognizer in [_recogniser("shape", shapes, kinds), *more]:
            registry.add_recognizer(recognizer)
        for recognizer in _foreign(self.params.languages):
            recognizer.analyze = _only_if(_NATIONAL, recognizer.analyze)
            registry.add_recognizer(recognizer)
        nlp = NoOpNlpEngine([{"lang_code": "en", "model_name": "none"}])
        nlp.load()
        return AnalyzerEngine(
            registry,
            nlp,
            supported_languages=["en"],
            context_aware_enhancer=_context_class(),
        )

    def model_recogniser(self) -> object:
        """The model text by text, for Presidio's own engines: what `scan` does in batches."""
        find = self._model or (lambda texts: [[] for _ in texts])
        return _recogniser("model", lambda text: find([text])[0], list(PRIORITY))

    def scan(self, segments: Sequence[str]) -> list[list[Finding]]:
        """The findings of each segment, overlaps resolved. Raises Refused when a pattern failed."""
        plain = [text.translate(NORMAL) for text in segments]
        named = self._model(plain) if self._model else [[] for _ in plain]
        return [self._resolved(text, names) for text, names in zip(plain, named, strict=True)]

    def _resolved(self, text: str, named: list[Finding]) -> list[Finding]:
        """All findings of a text, without overlaps, greetings and what follows a town."""
        polite = [match.span() for match in COURTESY.finditer(text)]
        named = checked(text, outside(text, named, polite))
        shaped = self._by_pattern(text)
        rest = outside(text, shaped + self._listed(text, shaped), polite)
        return resolve(text, [to_town(text, f) for f in named + rest])

    def _listed(self, text: str, shaped: list[Finding]) -> list[Finding]:
        """Names from lists, beside a model that reads; patterns alone find none by choice."""
        known = [whole(text, name) for name in known_names(text)]
        return [*known, *joined_names(text), *owners(text, shaped)] if self._model else []

    def _by_pattern(self, text: str) -> list[Finding]:
        before = self._timeouts.count
        threshold = self.params.threshold
        results = self._engine.analyze(text, "en", score_threshold=threshold)
        if self._timeouts.count != before:
            raise Refused("a pattern of the de-identification timed out; no text passes unscanned")
        return [
            Finding(
                r.start, r.end, r.entity_type, r.score, r.recognition_metadata["recognizer_name"]
            )
            for r in results
        ]


def _only_if(need: re.Pattern[str], analyze: Any) -> Any:
    def guarded(
        text: str, entities: list[str], nlp_artifacts: Any = None, **more: Any
    ) -> list[Any]:
        return analyze(text, entities, nlp_artifacts, **more) if need.search(text) else []

    return guarded

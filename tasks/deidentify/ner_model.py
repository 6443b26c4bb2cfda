"""The named-entity model that a team asks for in params.yaml, behind one function.

`ner: bundled` is our tagger, `spacy:NAME` an installed spaCy pipeline, `transformers:NAME` a
token-classification model (a folder or a hub name), `none` patterns only, by explicit choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tasks.core.params import Deidentify
from tasks.core.stage import Refused
from tasks.deidentify.findings import Finding

Find = Callable[[Sequence[str]], list[list[Finding]]]
KINDS = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "LOCATION": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "ORGANIZATION": "ORGANIZATION",
    "ADDRESS": "ADDRESS",
    "STREET_ADDRESS": "ADDRESS",
    "DATE": "DATE_TIME",
}


def model(params: Deidentify) -> Find | None:
    """The finder that `params.ner` names; None for `none`. Raises Refused when there is none."""
    kind, _, name = params.ner.partition(":")
    if params.ner == "none":
        return None
    if params.ner == "bundled":
        from tasks.deidentify.tagger import Tagger

        return Tagger.load(params.tagger_threshold).findings
    if kind == "spacy" and name:
        return _spacy(name)
    if kind == "transformers" and name:
        return _transformers(name, params.tagger_threshold)
    raise Refused(
        f"params.deidentify.ner: no detector `{params.ner}`; "
        "there are bundled, spacy:NAME, transformers:NAME, none"
    )


def _spacy(name: str) -> Find:
    import spacy

    try:
        pipeline = spacy.load(name)
    except OSError:
        raise Refused(f"params.deidentify.ner: spaCy has no model `{name}`") from None

    def find(texts: Sequence[str]) -> list[list[Finding]]:
        return [
            [
                Finding(e.start_char, e.end_char, KINDS[e.label_], 0.85, "spacy")
                for e in document.ents
                if e.label_ in KINDS
            ]
            for document in pipeline.pipe(texts, batch_size=128)
        ]

    return find


def _transformers(name: str, threshold: float) -> Find:
    from transformers import pipeline

    try:
        run: Any = pipeline("token-classification", name, aggregation_strategy="simple")
    except (OSError, ValueError):
        raise Refused(f"params.deidentify.ner: transformers has no model `{name}`") from None

    def find(texts: Sequence[str]) -> list[list[Finding]]:
        return [
            [
                Finding(e["start"], e["end"], KINDS[e["entity_group"]], float(e["score"]), "model")
                for e in entities
                if e["entity_group"] in KINDS and e["score"] >= threshold
            ]
            for entities in run(list(texts), batch_size=32)
        ]

    return find

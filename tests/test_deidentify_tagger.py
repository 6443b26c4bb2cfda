"""The shipped tagger: what it reads, and that a batch's other members change nothing."""

import pytest

from bases.tagger import text
from bases.tagger.languages import KINDS, LOCALES, sections
from bases.tagger.text import examples, fill
from tasks.core.params import Deidentify
from tasks.core.stage import Refused
from tasks.deidentify.detectors import Detector
from tasks.deidentify.findings import Finding, resolve
from tasks.deidentify.name_check import checked
from tasks.deidentify.ner_model import model
from tasks.deidentify.tagger import ADAPTER, plausible
from tasks.deidentify.tagger_model import TaggerModel
from tasks.students.minilm import case_of, load_encoder

TEXTS = [
    "Hi, my name is Maria Schneider and I live at 742 Evergreen Terrace, Springfield, IL 62704.",
    "first name: Noah\nlast name: Muller\ncity: Denver",
    "The order #W2378156 of 2024-05-17 has not arrived yet.",
    "please ask priya raman about the refund",
]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(Deidentify())


def texts_of(text: str, found: list[Finding], kind: str) -> list[str]:
    return [text[f.start : f.end] for f in found if f.kind == kind]


def test_people_and_addresses_are_found_and_ids_are_not(detector):
    """In prose, in key-value lines, in lower case."""
    found = detector.scan(TEXTS)
    assert texts_of(TEXTS[0], found[0], "PERSON") == ["Maria Schneider"]
    address = texts_of(TEXTS[0], found[0], "ADDRESS")
    assert address == ["742 Evergreen Terrace, Springfield, IL 62704"]
    assert texts_of(TEXTS[1], found[1], "PERSON") == ["Noah", "Muller"]
    assert [f for f in found[2] if f.kind not in {"LOCATION", "ORGANIZATION"}] == []
    assert texts_of(TEXTS[3], found[3], "PERSON") == ["priya raman"]


def test_a_text_is_read_alike_alone_and_among_others(detector):
    """The same findings whether on one shard or many."""
    source = examples(3)
    others = [next(source).text for _ in range(4)]
    assert detector.scan(TEXTS) == detector.scan(TEXTS + others)[: len(TEXTS)]
    assert detector.scan(TEXTS[1:2]) == detector.scan(TEXTS)[1:2]


def test_a_long_text_is_read_to_its_end(detector):
    """Longer than the encoder's window."""
    text = "The parcel is late again. " * 150 + "My name is Maria Schneider."
    (found,) = detector.scan([text])
    assert texts_of(text, found, "PERSON") == ["Maria Schneider"]


def test_dashes_and_spaces_of_typesetters_hide_nothing(detector):
    """U+2011 and U+202F are read as what they look like."""
    text = "SSN\u202f521\u201144\u20119382, mail mia@gmail.com"
    (found,) = detector.scan([text])
    assert texts_of(text, found, "US_SSN") == ["521\u201144\u20119382"]


def test_scores_are_those_of_transformers_and_peft_to_the_bit():
    """Which take three seconds to import, and are what trained it."""
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file

    ours, other = TaggerModel(ADAPTER), load_file(ADAPTER / "head.safetensors")
    encoder = PeftModel.from_pretrained(load_encoder(), ADAPTER).merge_and_unload()
    encoder, other = encoder.to(ours.type).eval(), {k: v.to(ours.type) for k, v in other.items()}
    ids, cases = torch.arange(200, 248).view(2, 24), torch.arange(48).view(2, 24) % 5
    mask = torch.arange(24) < torch.tensor([[24], [17]])
    with torch.inference_mode():
        words = encoder.get_input_embeddings()(ids) + other["case.weight"][cases]
        hidden = encoder(inputs_embeds=words, attention_mask=mask.to(ours.type)).last_hidden_state
        theirs = torch.nn.functional.linear(hidden, other["head.weight"], other["head.bias"])
        assert torch.equal(ours(ids, mask, cases), theirs)


def test_an_adapter_that_is_not_there_is_refused(tmp_path):
    """No detector, no data: the sentence says what to run."""
    with pytest.raises(Refused, match=r"bases\.tagger\.train"):
        TaggerModel(tmp_path)


@pytest.mark.parametrize("ner", ["spacy:", "frobnicate", "spacy:/no/such/model"])
def test_an_unknown_model_is_refused_by_name(ner):
    """The value and the place are named."""
    with pytest.raises(Refused, match=r"deidentify\.ner"):
        model(Deidentify(ner=ner))


def test_a_team_can_bring_its_own_spacy_model(tmp_path):
    """One line in params.yaml."""
    import spacy

    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Zorblax"}])  # type: ignore[attr-defined]
    pipeline.to_disk(tmp_path / "mine")
    find = model(Deidentify(ner=f"spacy:{tmp_path / 'mine'}"))
    assert find is not None
    assert [(f.start, f.end, f.kind) for f in find(["hello Zorblax"])[0]] == [(6, 13, "PERSON")]


def test_other_languages_add_their_national_numbers():
    """A Spanish NIF is found when Spanish is configured."""
    text = "Mi NIF es 12345678Z"
    kinds = [
        f.kind for f in Detector(Deidentify(ner="none", languages=("en", "es"))).scan([text])[0]
    ]
    assert kinds == ["ID_NUMBER"]


def test_overlaps_are_resolved_by_the_type_that_says_most():
    """An e-mail goes before the name in it; a town beside a street joins the address."""
    text = "mia.li@gmail.com, 12 Elm Street, Denver"
    found = [
        Finding(0, 6, "PERSON", 0.9, "tagger"),
        Finding(0, 16, "EMAIL_ADDRESS", 1.0, "Emails"),
        Finding(18, 31, "ADDRESS", 0.9, "tagger"),
        Finding(33, 39, "LOCATION", 0.9, "tagger"),
    ]
    assert [(f.start, f.end, f.kind) for f in resolve(text, found)] == [
        (0, 16, "EMAIL_ADDRESS"),
        (18, 39, "ADDRESS"),
    ]


@pytest.mark.parametrize("languages", [["en"], ["de", "pt", "en"]])
def test_the_training_text_is_the_same_for_the_same_seed_and_its_labels_fit(monkeypatch, languages):
    """Each labelled stretch is the value that was put there."""
    monkeypatch.setattr(text, "docstrings", lambda: ["Return the sum of what is given."])
    first, again = examples(7, languages), examples(7, languages)
    for _ in range(50):
        example = next(first)
        assert example == next(again)
        for start, end, label in example.spans:
            assert 0 <= start < end <= len(example.text)
            assert label in {"PERSON", "ADDRESS", "LOCATION", "ORGANIZATION"}


@pytest.mark.parametrize("language", ["en", *LOCALES])
def test_every_template_can_be_filled(language):
    """No slot without a value."""
    from random import Random

    for kind in KINDS:
        for template in sections(language).get(kind, []):
            assert "{{" not in fill(Random(1), template, language).text


def test_case_is_a_feature():
    """The encoder reads lower case only; this is what it misses."""
    assert [case_of(t) for t in ("12", "mia", "Mia", "MIA", "McDo")] == [0, 1, 2, 3, 4]


def test_ordinary_words_and_codes_are_no_names():
    """What a name cannot be."""
    assert not plausible("Monday", "PERSON")
    assert not plausible("HAT082", "PERSON")
    assert plausible("Mia Li", "PERSON")
    assert not plausible("SFO", "LOCATION")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Kunde Mary Flantz meldet eine doppelte Abbuchung.", "Mary Flantz"),
        ("Ludwig van der Berg beklagt eine falsche Abbuchung.", "Ludwig van der Berg"),
        ("Ana de la Cruz comunica un cobro Duplicado.", "Ana de la Cruz"),
        ("John B. Smith reports a late Delivery.", "John B. Smith"),
    ],
)
def test_a_name_ends_where_the_sentence_goes_on(said, name):
    """Words of the language after a name are none, with whatever capital word they end."""
    whole = Finding(said.index(name), len(said) - 1, "PERSON", 0.99, "tagger")
    assert [said[f.start : f.end] for f in checked(said, [whole])] == [name]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Gestern hat Brankovic den Wagen bei Szabo abgeholt.", "Szabo"),
        ("Am 3.2. schrieb Birgit Nachtigall: bitte um Rückruf.", "Birgit Nachtigall"),
        ("El martes Marín no puede y Ferrer está de baja.", "Ferrer"),
        ("Hier, Oumou a rendu le badge à l'accueil.", "Oumou"),
        ("Il turno di domani lo fa Guerrieri, io sono in ferie.", "Guerrieri"),
        ("Gisteren heeft Trijntje de sleutel bij Oosterhuis gebracht.", "Oosterhuis"),
        ("O Bittencourt disse que já pagou a quota.", "Bittencourt"),
        ("I told them that Rosewarne had left the keys.", "Rosewarne"),
    ],
)
def test_a_name_without_a_cue_is_found_by_its_sentence(detector, said, name):
    """Bare names that no list has, in the languages that are read."""
    (found,) = detector.scan([said])
    assert name in " ".join(texts_of(said, found, "PERSON"))


@pytest.mark.parametrize(
    "said",
    [
        "Debrancher l'appareil, vider le bac et nettoyer le filtre.",
        "Leukozyten 11,4, Brennwert 11, Zustandszahl 0,9612; Elternabend 6c.",
        "Mudanza: solicitar el permiso y apagar la caldera.",
        "Start rivaroxaban 20 mg nightly; IOP 24 OD, 19 OS.",
        "pls chek the endpont agn, it finaly brok",
    ],
)
def test_what_only_begins_like_a_name_stays(detector, said):
    """First words of a sentence, drugs, values of a laboratory, misspelled words."""
    (found,) = detector.scan([said])
    assert [f for f in found if f.kind not in {"LOCATION", "ORGANIZATION"}] == []


def test_the_shipped_adapter_is_small():
    """Safetensors of at most 3 MB."""
    files = list(ADAPTER.glob("*.safetensors"))
    assert len(files) == 2
    assert sum(f.stat().st_size for f in files) < 3_000_000

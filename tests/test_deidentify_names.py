"""Names in seven languages that no short list has, and words that are taken for names."""

import pytest

from tasks.core.params import Deidentify
from tasks.deidentify.detectors import Detector
from tasks.deidentify.findings import Finding
from tasks.deidentify.name_check import checked

NAMES = [  # text, what must go
    ("Surname: MacAllister", "MacAllister"),
    ("Apellidos: Baeza Villaplana", "Villaplana"),
    ("[10:02] Deshawn Pickett: locked out again", "Deshawn Pickett"),
    ("On 3 March Myrtle Haggerty wrote:", "Myrtle Haggerty"),
    ("Am 3.2. schrieb Birgit Nachtigall:", "Birgit Nachtigall"),
    ("Meine Tochter Finja geht in die vierte Klasse.", "Finja"),
    ("Il mio numero cambia, avvisate mia moglie Nunzia.", "Nunzia"),
    ("N° 4021, assurée Solange Mbarga, dossier complet", "Solange Mbarga"),
    ("NIF em falta, titular Deolinda Carrapatoso", "Deolinda Carrapatoso"),
    ("Bezorgen bij Sunita Ramdin voor zes uur", "Sunita Ramdin"),
    ("anbei der Befund Ihres Patienten Wolfgang zur Mühlen", "Wolfgang zur Mühlen"),
    ("il referto del paziente Amedeo di San Marzano", "Amedeo di San Marzano"),
    ("CPF 329.010.167-31, Valdirene Aparecida Lima", "Valdirene Aparecida"),
    ("Statement for GERALDINE THISTLEWOOD", "GERALDINE THISTLEWOOD"),
    ("groetjes\nbas de wit", "bas de wit"),
    ("Hello, Anna here, the printer is broken", "Anna"),
    ("Hello Thistlewood, please call back", "Thistlewood"),
    ("bien à vous\npaul-henri garnier", "paul-henri garnier"),
    ("hallo hier ist sabine krötz, wann kommt der techniker?", "sabine krötz"),
    ("Ik woon op Achterom 17, 7811 JK Emmen en wacht.", "Achterom 17"),
    ("KLAPPROTH, GOETHESTR. 55, 34119 KASSEL", "GOETHESTR. 55"),
    ("chez nous, chaussée de Waterloo 412, 1050 Ixelles", "Waterloo 412"),
    ("Mi CUIT es 27-17504569-9", "27-17504569-9"),
    ("A minha filha nasceu a 11 de agosto de 2014", "11 de agosto"),
]
WORDS = [  # nobody's
    "thread main panicked at called Option::unwrap() on a None value",
    "Ventilator: AC 16, TV 420, PEEP 8, plateau 24.",
    "Checklist\n1. Unplug the unit\n2. Rinse the filter",
    "NAV per unit 10.4471, swing pricing applied.",
    "Bastion unreachable via Tailscale, fallback to SSM session manager.",
    "Schadennummer 77-2291-04, bitte nennen Sie uns den Bearbeitungsstand.",
    "De printer loopt vast, toner is nieuw.",
    "L'abonnement demi-tarif est vendu au guichet.",
    "Child-Pugh B cirrhosis with ascites",
    "got a flat on hwy, need tow",
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "Mag ik ibuprofen combineren met lisinopril?",
    "Hello, AutoCAD says no seats available for the third time.",
    "Hallo, SAP meldet einen Fehler beim Buchen.",
    "CC: Chest tightness on exertion, resolves with rest.",
    "Blood gas: pH 7.28, pCO2 62, bicarb 29, place on BiPAP 12/5.",
]


@pytest.fixture(scope="module")
def detector():
    return Detector(Deidentify(probe=0))


def left(detector, text):
    """What is left of a text without those of its findings that are replaced."""
    keep = detector.params.keep
    for finding in reversed([f for f in detector.scan([text])[0] if f.kind not in keep]):
        text = text[: finding.start] + "¤" + text[finding.end :]
    return text


@pytest.mark.parametrize(("text", "value"), NAMES, ids=[v for _, v in NAMES])
def test_a_value_goes(detector, text, value):
    """Values go by what stands around them, not by a list alone."""
    after = left(detector, text)
    assert not [word for word in value.split() if len(word) > 3 and word in after]


@pytest.mark.parametrize("text", WORDS)
def test_words_stay(detector, text):
    """Nothing is found where nobody is."""
    assert left(detector, text) == text


def test_words_between_two_names_stay(detector):
    """Of a stretch that a model marks as a whole, only the names go."""
    text = "Votre conseillère s'appelle Ophélie Castaing et son collègue Idriss N'Diaye."
    assert left(detector, text) == "Votre conseillère s'appelle ¤ et son collègue ¤."


def test_a_word_in_front_of_a_name_stays(detector):
    """A person's part in a form is no part of the name."""
    assert left(detector, "Paziente Oksana Melnyk, cartella chiusa.").startswith("Paziente ¤,")


def test_names_in_a_row_are_found_one_by_one():
    """A capital word behind a comma takes nothing from a name."""
    for said, names in (
        ("2. Mei Lee, Date of Birth", ["Mei Lee"]),
        ("for Aarav Ahmed and Daiki Li", ["Aarav Ahmed", "Daiki Li"]),
    ):
        whole = Finding(said.index(names[0]), len(said), "PERSON", 0.99, "tagger")
        found = [said[f.start : f.end] for f in checked(said, [whole])]
        assert [name for name in names if name not in found] == []

"""Numbers of documents and people, birth dates and handles behind the cues that people write."""

import pytest

from tasks.core.params import Deidentify
from tasks.deidentify.detectors import Detector, shapes
from tasks.deidentify.findings import resolve

FOUND = [  # text, what is found whole
    # words between cue and number
    ("Steuer-ID liegt vor: 38719654009", "38719654009"),
    ("mein Pass Nr. FE482913 läuft ab", "FE482913"),
    ("passport expired last week, no. is 533447182", "533447182"),
    ("El DNI de la titular, caducado, es 48213977Q", "48213977Q"),
    ("Passeport délivré à Lyon, n° 19CK44718", "19CK44718"),
    ("il passaporto, scaduto a marzo, è YA8844127", "YA8844127"),
    ("mijn paspoort is gestolen, nummer NXK44R182", "NXK44R182"),
    ("O passaporte dele venceu, nº FK447182", "FK447182"),
    # abbreviations, capitals, the word for number in front
    ("SV-Nr. des Mitarbeiters: 65 170839 J 008", "65 170839 J 008"),
    ("KASSE: gesetzl. VERS-NR X569781851", "X569781851"),
    ("PERSO-NR: T22000129", "T22000129"),
    ("N° SÉCU : 2 84 05 88 191 017 90", "2 84 05 88 191 017 90"),
    ("n° d'adhérent AD-88214", "AD-88214"),
    ("nº de historia clínica 229418", "229418"),
    ("codice cliente CL-447182", "CL-447182"),
    ("rijbewijsnr 5471829334", "5471829334"),
    ("BI nº 10447182", "10447182"),
    ("identidade MG-14.882.306, e esposa", "MG-14.882.306"),
    ("C.C. 52.114.882 de Bogotá", "52.114.882"),
    ("student ID number 20447182", "20447182"),
    ("Fall-Nr. der Patientin 2024-88213", "2024-88213"),
    ("plaque AB-123-CD", "AB-123-CD"),
    ("tessera ENPAM n. 300447182", "300447182"),
    ("la rata della polizza PL-188501", "PL-188501"),
    ("disdetta della polizza n. 83/6685526", "83/6685526"),
    ("numero di polizza: AU18767473", "AU18767473"),
    ("la Yaris targata JK699JZ", "JK699JZ"),
    # known by form and check digit
    ("gesetzlich versichert, X569781851", "X569781851"),
    ("12.345.678-5 es el de mi hijo", "12.345.678-5"),
    # birth dates
    ("né à Lviv le 02.12.1987", "02.12.1987"),
    ("geb. in Sofia am 03.11.1979", "03.11.1979"),
    ("nata a Bari il 7 luglio 1963", "7 luglio 1963"),
    ("nacida en Cuenca el 11 de marzo de 1958", "11 de marzo de 1958"),
    ("nascido em Braga a 3 de junho de 1955", "3 de junho de 1955"),
    ("born in Accra on 12 June 1971", "12 June 1971"),
    ("geboren te Gent op 9 mei 1962", "9 mei 1962"),
    ("sono nato a bari il 7 luglio 1963", "7 luglio 1963"),
    ("The company director was born in Accra on 12 June 1971", "12 June 1971"),
    ("il direttore della società è nato a Bari il 7 luglio 1963", "7 luglio 1963"),
    ("The company is run by Ann Lee born in Accra on 12 June 1971", "12 June 1971"),
    ("la società è di Mario Rossi nato a Bari il 7 luglio 1963", "7 luglio 1963"),
    ("GEB.DAT 29-04-1938", "29-04-1938"),
    ("NASC 05-02-1935", "05-02-1935"),
    ("FEC.NAC. 08/08/1944", "08/08/1944"),
    ("B0RN 01 SEP 1933", "01 SEP 1933"),
    ("BlRTH DATE 7 MAY 1951", "7 MAY 1951"),
    # handles
    ("Kd.-Handle flitzepiepe_83 meldet", "flitzepiepe_83"),
    ("Usuario @kike_rolling pide", "@kike_rolling"),
    ("le client papy_tracteur62 râle", "papy_tracteur62"),
    ("L'utente il_conte_max71 scrive", "il_conte_max71"),
    ("Gebruiker knolraapje_nl kan niet", "knolraapje_nl"),
    ("Perfil @tio_zeca_bh reclama", "@tio_zeca_bh"),
    ("mon pseudo est tatie_danielle", "tatie_danielle"),
    ("user muddy_wellies88 reported", "muddy_wellies88"),
]
KEPT = [
    "Reisepass verloren, Vorgangsnummer: 4471829331",
    "passport renewal, invoice number: 4471829",
    "Führerschein gültig bis: 31.12.2031",
    "passeport : 86 euros, rdv le 12/04/2024",
    "la seguridad social gasta 447.182 euros",
    "NHS waiting list is 7447182 people",
    "SKU 884-7129-33 is out of stock",
    "número de série 44718293",
    "matrícula 2024/2025 abierta",
    "una polizza da 12000 euro, polizza 2026, la polizza auto 4 stagioni",
    "Artikel X569781851 fehlt",
    "Fehlercode 4471829 in Version 4.12.8844",
    "l'idée est née en réunion le 12/03/2024",
    "la società è nata a Torino il 12/03/2004",
    "Infatti l'azienda Rossi è nata a Bari il 7 luglio 1963, prima delle altre",
    "Our company was born in Austin on 12 June 1971.",
    "la empresa nació en Cuenca el 11 de marzo de 1958",
    "gekocht op 03-05-2024, geldig tot 03-05-2026",
    "le client http_client_v2 renvoie une erreur 502",
    "der Nutzer bootet win_server_2019",
    "the user sees null_ref_42, account switch_to_annual_plan",
    "El usuario @Override no compila, user_sessions tampoco",
    "perfil report_mensile.xlsx, gebruiker @Injectable",
]  # fmt: skip


@pytest.fixture(scope="module")
def patterns():
    """All detectors but the model."""
    return Detector(Deidentify(ner="none"))


@pytest.mark.parametrize(("text", "value"), FOUND)
def test_a_cue_in_any_style_gives_its_value_away(patterns, text, value):
    """With words between, abbreviated, in capitals, read by a machine, in seven languages."""
    (found,) = patterns.scan([text])
    assert value in [text[f.start : f.end] for f in found]


@pytest.mark.parametrize("text", KEPT)
def test_numbers_of_things_and_names_of_programs_are_nobodys(text):
    """Orders, prices, years, dates of events, decorators, files and tables."""
    kinds = {"ID_NUMBER", "USERNAME", "BIRTH_DATE", "PHONE_NUMBER"}
    found = resolve(text, list(shapes(text)))
    assert not [text[f.start : f.end] for f in found if f.kind in kinds]

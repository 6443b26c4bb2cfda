"""National forms: streets, dates of birth, numbers of documents.

Tables and patterns for the languages that are read; `patterns` is the English of it. Numbers with a
checksum are checked by python-stdnum, so that no order number is taken for a citizen.
"""

# ruff: noqa: E501 - a regular expression is read on one line
from __future__ import annotations

import re
from functools import cache
from typing import Any

I = re.IGNORECASE  # noqa: E741 - as in the re module's own names

MONTHS = {
    "en": "january february march april may june july august september october november december",
    "de": "januar februar märz april mai juni juli august september oktober november dezember",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
MONTH = (
    "(?:" + "|".join(sorted({m for some in MONTHS.values() for m in some.split()}, key=lambda m: (-len(m), m)))
    + r"|jan|feb|mar|mär|apr|avr|abr|may|mai|jun|jul|juil|aug|ago|août|sept?|set|oct|okt|out|ott|nov|dec|dez|déc|dic)\.?"
)  # fmt: skip
_TENS = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth"
ORDINALS = (
    rf"(?:(?:twenty|thirty)[- ](?:{_TENS})|{_TENS}|tenth|eleventh|twelfth|thirteenth|fourteenth|"
    r"fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)
DATE = (
    rf"(?:\d{{4}}\s?[-/.]\s?\d{{1,2}}\s?[-/.]\s?\d{{1,2}}|\d{{1,2}}\s?[-/.]\s?\d{{1,2}}\s?[-/.]\s?\d{{2,4}}|"
    rf"\d{{1,2}}(?:st|nd|rd|th|er|º|°|\.)?(?:\s+of|\s+de|\s+di)?[\s-]+{MONTH}(?:\s+del?)?,?[\s-]+(?:\d{{4}}|\d{{2}}(?!\d))|"
    rf"{MONTH}\s+(?:the\s+)?(?:\d{{1,2}}(?:st|nd|rd|th)?|{ORDINALS}),?\s+(?:\d{{4}}|['’]?\d{{2}}(?!\d))|"
    rf"(?:the\s+)?{ORDINALS}\s+(?:of\s+)?{MONTH},?\s+\d{{4}})"
)
# a day of the year, which tells something behind a cue alone
DAY = rf"(?:{MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?|\d{{1,2}}(?:st|nd|rd|th|er|º|°|\.)?(?:\s+of|\s+de|\s+di)?\s+{MONTH})(?!\w)"
_HOUSE = r"\d{1,4}(?:\s?[a-zA-Z](?!\w))?(?:\s?[-/]\s?\d{1,4}[a-z]?)?"
_NAMED = r"[A-ZÀ-Þ][\wÀ-ÿ'’.-]*"
_PLACED = r"(?:(?:Sta?|Sto|Ste|S)\.|[A-ZÀ-Þ](?:[\wÀ-ÿ'’-]|\.(?=\w))*)"
_LOWER = r"(?:de|del|della|delle|dei|degli|di|du|des|da|das|do|dos|la|las|le|les|lo|los|el|l['’]|d['’]|van|den|der|het|y|e|et|al|san|santa)"
_WORDS = rf"(?:(?:{_LOWER}\s?|{_NAMED}\s+|[IVX]+\s+|\d{{1,2}}\s+(?:de\s+)?){{0,5}}{_NAMED})"
_TOWN = rf"{_PLACED}(?:[ -](?:{_PLACED}|{_LOWER}(?![a-zß-ÿ])|am|an|im|bei|sur|sous|aan|/[A-Z]{{2}})){{0,4}}"
_ZIP = r"(?:[A-Z]{1,2}-)?(?:\d{4}\s?[A-Z]{2}|\d{4}-\d{3}|\d{5}-?\d{3}|\d{4,5})"
_BEHIND = rf"(?:[,\s]{{1,3}}(?:{_ZIP}|CEP\s?{_ZIP})[,\s]{{1,2}}(?:{_TOWN})(?:\s?[(/,-]\s?[A-Z]{{2}}\)?)?)?"
_FLOOR = r"(?:,?\s(?:\d{1,2}\s?(?:º|°|ª|\.)\s?(?:[A-Z]|izq\w*|dcha\.?|der\w*|esq\w*|dto\.?)?|Piso\s?\d+\w*|Apt\.?\s?\d+|Puerta\s?\d+|Appartamento\s?\d+|Interno\s?\d+|bus\s?\d+|S/N|s/n))?"
_FIRST = (  # the kind of street comes first
    r"(?:rue|avenue|av\.?|boulevard|bd|chaussée|venelle|sentier|beco|calçada|escadas|chemin|allée|impasse|quai|route|square|place|cours|passage|calle|c/|c\.|cl\.|avda\.?|avenida|paseo|pso\.?|ronda|plaza|pza\.?|camino|carrer|glorieta|"
    r"pasaje|pasadizo|cuesta|callejón|via|viale|corso|piazza|piazzale|largo|vicolo|strada|borgo|contrada|rotonda|lungomare|canale|stretto|incrocio|rua|r\.|travessa|tv\.|praça|alameda|estrada|"
    r"rodovia|urbanização|urbanización|urb\.|privada|prolongación|callejon|circunvalación|boulevard|viaduto|vila|quinta|ladeira|jardim|parque|colônia|colónia|chácara|condomínio|conjunto|residencial|setor|trevo|"
    r"via|vereda|viela|sítio|recanto|passarela|núcleo|morro|loteamento|lagoa|lago|feira|favela|fazenda|esplanada|distrito|campo|aeroporto|área|acesso|acceso|cañada|rambla|vial|peatonal|periférico|retorno|andador|eje)"
)
_LAST = (  # the kind of street is the end of its word, or a word behind it
    r"(?:straße|strasse|str\.|weg|allee|gasse|platz|ring|damm|ufer|steig|stieg|graben|markt|hof|berg|tal|chaussee|zeile|straat|laan|plein|gracht|kade|dijk|singel|dreef|steeg|pad|hof|baan|lei|wal|erf|weide|kamp|boulevard|park|plantsoen)"
)
STREETS = (
    # 12 bis, rue de la Paix, 75002 Paris
    re.compile(rf"\b{_HOUSE}(?:\s?(?:bis|ter|quater))?,?\s+(?i:{_FIRST})\s+{_WORDS}{_BEHIND}"),
    # Calle Mayor 12, 3º B, 28013 Madrid
    re.compile(rf"\b(?i:{_FIRST})\s+{_WORDS}(?:,?\s+(?:n[º°.]?\s?|nº\s?|numero\s|número\s)?{_HOUSE}\b|,?\s+(?:S/N|s/n))?{_FLOOR}{_BEHIND}"),
    # Musterstraße 12, 10115 Berlin · Lange Gasse 3
    re.compile(rf"\b(?:(?:{_NAMED}[\s-]){{0,3}}[A-ZÄÖÜ][\wäöüß'’.-]*{_LAST}|(?:{_NAMED}[\s-]){{1,3}}(?:Straße|Strasse|Str\.|Weg|Allee|Gasse|Platz|Ring|Damm|Ufer|Straat|Laan|Plein|Kade|Dijk|Singel)),?\s+{_HOUSE}\b(?:[,/\s]{{1,3}}(?:Top|Tür|bus|Whg\.?|Wohnung)\s?\d+)?{_BEHIND}"),
    # musterstraße 12, 10115 berlin · almut-stadelmann-allee 112 96869 delitzsch
    re.compile(rf"(?<![\w-])(?:[a-zäöüß]+-){{0,3}}[a-zäöüß]{{3,}}-?(?:(?:straße|strasse|str\.)\s+{_HOUSE}\b|(?:weg|allee|gasse|platz|ring|damm|ufer)\s+{_HOUSE}(?=[,\s]{{1,2}}\d{{5}}\s))(?:[,\s]{{1,2}}\d{{5}}\s[a-zäöüß-]{{3,}})?"),
    # Unter den Linden 6, 10117 Berlin
    re.compile(rf"\b(?:Unter den|Am|A[nu]f? de[rmn]|Im|In de[rnm]|Zu[mr]|Hinter de[rm]|Hinterm|Vor de[rm]|Bei de[rm]|Beim|Neben de[rm])\s(?:{_NAMED}\s){{0,2}}{_NAMED}\s{_HOUSE},?\s{{1,2}}\d{{5}}\s{_TOWN}"),
    # GOETHESTR. 55
    re.compile(rf"\b[A-ZÄÖÜ][A-ZÄÖÜ.-]{{2,}}(?:STRASSE|STRAßE|STR\.|WEG|ALLEE|PLATZ|GASSE|RING|STRAAT|LAAN|PLEIN|KADE|GRACHT|DIJK)\s+{_HOUSE}\b"),
    # Achterom 17, 7811 JK Emmen · Contrada Nord 4, 93100 Enna
    re.compile(rf"\b(?:{_NAMED}[ -]){{0,2}}{_NAMED}\s{_HOUSE},?\s\d{{4}}\s?[A-Z]{{2}}\s{_TOWN}"),
    re.compile(rf"\b(?:{_NAMED}[ -]){{0,3}}{_NAMED}\s{_HOUSE},\s\d{{5}}\s{_TOWN}"),
    # 1234 AB Amsterdam · 10115 Berlin behind a comma or a line break
    re.compile(rf"(?<![\w-])(?:[DAFIEPB]-\d{{4,5}}|\d{{4}}\s?[A-Z]{{2}}|\d{{4}}-\d{{3}})\s+{_TOWN}"),
    # Flat 43Y, Amelia Tunnel, North Beverley, NG7 7NZ
    re.compile(r"\b(?:(?:Flat|Studio|Apartment|Suite|Unit)\s\d{1,4}\w?,?\s|\d{1,4}\w?,?\s)(?:[A-Z][\w'’.-]*[,\s]{1,2}){1,6}[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b"),
)  # fmt: skip
_CHECKED = {  # python-stdnum modules whose checksum is strong enough without a cue
    "es.dni": re.compile(r"\b\d{8}-?[A-Z]\b"),
    "es.nie": re.compile(r"\b[XYZ]-?\d{7}-?[A-Z]\b"),
    "fr.nir": re.compile(r"\b[12]\s?\d\d\s?\d\d\s?\d[\dAB]\s?\d{3}\s?\d{3}(?:\s?\d\d)\b"),
    "br.cpf": re.compile(r"\b\d{3}\.\d{3}\.\d{3}-\d\d\b"),
    "mx.curp": re.compile(r"\b[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d\b"),
    "ar.cuit": re.compile(r"\b(?:2[03-7]|3[034])-\d{8}-\d\b"),
    "cl.rut": re.compile(r"\b\d{1,2}\.\d{3}\.\d{3}-[\dkK]\b"),
    "be.nn": re.compile(r"\b\d\d\.\d\d\.\d\d-\d{3}\.\d\d\b"),
}


_LIKE_NO_OTHER = re.compile(
    r"\b(?:[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]|"  # tax code of Italy
    r"[A-Z]{6}\d{8}[HM]\d{3}|"  # voter's key of Mexico
    r"(?-i:[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y\d]\d-?[AC-HJKMNP-RT-Y]{2}\d\d))\b",  # Medicare
    I,
)
_INSURED = re.compile(r"\b[A-Z]\d{9}\b")  # KVNR of Germany; its check digit alone is too weak
_INSURANCE = re.compile(
    r"kasse|versich|vers[.-]{0,2}nr|kvnr?\b|gkv|krank|patient|pat1ent|\b(?:aok|tk|barmer|dak|ikk|bkk)\b|\bgeb",
    I,
)
_CAR = re.compile(r"\b(?=[A-Z0-9]*\d)[A-HJ-NPR-Z0-9]{8}[\dX][A-HJ-NPR-Z0-9]{8}\b", I)
_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True))
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def _is_car(number: str) -> bool:
    """Return whether the check digit of a vehicle's identification number is right."""
    if number.isdigit():
        return False
    whole = sum(int(_VALUES.get(c, c)) * w for c, w in zip(number, _WEIGHTS, strict=True))
    return "0123456789X"[whole % 11] == number[8]


def _is_insured(number: str) -> bool:
    """Return whether the check digit of a German health insurance number is right."""
    digits = f"{ord(number[0]) - 64:02d}{number[1:9]}"
    whole = sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(digits))
    return whole % 10 == int(number[9])


@cache
def _module(name: str) -> Any:
    import importlib

    return importlib.import_module(f"stdnum.{name}")


def citizens(text: str) -> list[tuple[int, int]]:
    """Numbers of citizens and cars whose checksum is right, or whose form is like no other."""
    findings = [m.span() for m in _LIKE_NO_OTHER.finditer(text)]
    if _INSURANCE.search(text):
        findings += [m.span() for m in _INSURED.finditer(text) if _is_insured(m.group())]
    findings += [m.span() for m in _CAR.finditer(text) if _is_car(m.group().upper())]
    for name, shape in _CHECKED.items():
        valid = (m for m in shape.finditer(text) if _module(name).is_valid(m.group()))
        findings += [match.span() for match in valid]
    return findings


_IBAN_LENGTHS = {
    code[:2]: int(code[2:])
    for code in [
        "AD24",
        "AE23",
        "AT20",
        "BE16",
        "BG22",
        "BR29",
        "CH21",
        "CY28",
        "CZ24",
        "DE22",
        "DK18",
        "EE20",
        "ES24",
        "FI18",
        "FR27",
        "GB22",
        "GR27",
        "HR21",
        "HU28",
        "IE22",
        "IL23",
        "IS26",
        "IT27",
        "LI21",
        "LT20",
        "LU20",
        "LV21",
        "MC27",
        "MT31",
        "NL18",
        "NO15",
        "PL28",
        "PT25",
        "RO24",
        "SA24",
        "SE24",
        "SI19",
        "SK24",
        "SM27",
        "TR26",
        "UA29",
    ]
}
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[ -]?[A-Za-z0-9]){11,28}(?![A-Za-z0-9])")


def accounts(text: str) -> list[tuple[int, int]]:
    """IBANs by their country's length, in any case and with a mistyped digit."""
    findings = []
    for match in _IBAN.finditer(text):
        size = _IBAN_LENGTHS.get(match.group()[:2].upper())
        if size is None:
            continue
        at, count = match.start(), 0
        for end in range(match.start(), match.end()):
            count += text[end].isalnum()
            if count == size:
                break
        value = text[at : end + 1]
        rest = text[end + 1 : end + 2]
        if count == size and not rest.isalnum() and sum(c.isdigit() for c in value) >= 10:
            findings.append((at, end + 1))
    return findings

"""Patterns of what has a shape: secrets, cued numbers, handles, streets; and which key says what.

Plain tables and regular expressions without back-tracking traps; `tasks.deidentify.detectors` hands them to
Presidio. Each pattern marks the part to replace with the group `v`, or is replaced whole.
"""

# ruff: noqa: E501 - a regular expression is read on one line
from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.deidentify import identifier_cues as ids
from tasks.deidentify.national import DATE, DAY, MONTH, STREETS
from tasks.deidentify.secret_patterns import SECRETS


@dataclass(frozen=True, slots=True)
class Shape:
    """One pattern: what it finds, how sure it is, and characters a text must hold to be tried."""

    kind: str
    pattern: re.Pattern[str]
    score: float = 0.9
    needs: str = ""  # one of these characters must occur; empty: always tried
    hint: str = ""  # this word must occur, in lower case
    wordy: bool = False  # a value of ordinary English words alone is a program's
    long: bool = False  # a run of sixteen letters and digits must occur


SHORT_STREET_TYPES = "street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|terrace|parkway|pkwy|" + (
    "highway|hwy|crescent|drive"
)
UNIT = r"(?:apt|apartment|suite|ste|unit|floor|fl|room|rm|bldg|building|lot|p\.?\s?o\.?\s?box|#)"
STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|"
    "NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"
)
I = re.IGNORECASE  # noqa: E741 - as in the re module's own names
_ID = r"(?P<v>(?!\d{4}-\d\d-\d\d)(?=(?:[A-Za-z-]{0,12}\d){3})[A-Za-z0-9][A-Za-z0-9-]{3,24}[A-Za-z0-9])"


def cued(cue: str, value: str, link: str = ids.LINKS) -> re.Pattern[str]:
    """A value that counts only behind its cue: `SSN: 123-45-6789`."""
    apart = r"(?:(?<![^\W\d_])|(?![^\W\d_]))"  # a cue is a whole word: no `plate` in `plateau 24`
    return re.compile(rf"\b(?:{cue}){link}{apart}{value}(?![\w@])", I)


def handle(cue: str, value: str) -> re.Pattern[str]:
    """A handle directly behind what its owner is: `Usuario @kike_rolling`."""
    return re.compile(rf"\b{cue}{ids.HANDLE_LINK}(?<![^\W_]){value}{ids.HANDLE_AFTER}", I)


_SECRETS = tuple(
    Shape("SECRET", re.compile(p, flags), 0.99, n, long=n == "") for p, n, flags in SECRETS
)

_PASSWORD = (
    r"\b(?:password|passwd|pwd|passcode|passphrase|pass\s?phrase|pass\s?word|pin(?:\s?code)?|secret|pw|login\s+credentials?|"
    r"passwort|kennwort|geheimzahl|contraseña|clave|mot\s+de\s+passe|mdp|codice\s+segreto|parola\s+d['’]ordine|wachtwoord|pincode|senha|palavra[- ]passe)[\"']?"
    r"(?:\s+(?:is|was|to|set to|changed to|reset to|of|for\s+\S+\s+is|ist|war|lautet|auf|es|era|a|est|était|è|era|é|naar|op))?"
    r"\s{0,2}[:=]?\s{0,2}[\"'`‘“]?"
    r"(?P<v>(?=[^\s\"'`]{0,30}(?:[\d@#$%^&*]|[!?][^\s\"'`.,;:!?)]))(?![\d]{1,3}\b)[^\s\"'`,;<>(){}]{4,40}?)"
    r"(?=[\"'`’”]|[.,;:!?)]*(?:\s|$)|[,;<>(){}])"
)
SPOKEN = "zero|oh|one|two|three|four|five|six|seven|eight|nine"
_WORD = r"[A-ZÀ-Ý0-9][\w'’.-]*"
_CARD_CUES = r"visa|mastercard|master\s?card|amex|american express|discover|credit card|debit card|card|account|acct"

SHAPES = (
    *_SECRETS,
    Shape("PASSWORD", re.compile(_PASSWORD, I), 0.85),
    Shape("PASSWORD", re.compile(r"\b(?:(?:verification|security|one[- ]?time|login|sign[- ]?in|2fa|two[- ]factor|auth\w*|sms|bestätigungs|sicherheits)[- ]?(?:pass)?code|otp|tan)(?:\s(?:is|was|ist|lautet))?[\s:\"'=#]{1,3}(?P<v>\d{4,8})\b", I), 0.85, "0123456789"),
    Shape("US_SSN", re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
          0.85, "-"),
    Shape("US_SSN", cued(r"ssn|social security|social", r"(?P<v>\d{3}[- ]?\d{2}[- ]?\d{4})"), 0.95, hint="s"),
    Shape("BIRTH_DATE", cued(ids.BIRTH, rf"(?P<v>{DATE}|{DAY})", ids.BIRTH_LINK), 0.95, "0123456789"),
    Shape("BIRTH_DATE", cued(ids.BORN_AT, rf"(?P<v>{DATE})", ids.BORN_AT_LINK), 0.9, "0123456789"),
    Shape("BIRTH_DATE", cued(ids.BIRTH, rf"(?P<v>{DATE})", ids.BIRTH_PLACE_LINK), 0.9, "0123456789"),
    Shape("BIRTH_DATE", cued(ids.BORN, ids.LONG_AGO, ids.BORN_FAR_LINK), 0.9, "0123456789"),
    Shape("BIRTH_DATE", re.compile(rf"(?:(?<![\w.])b\.|(?<=[\w,;(] )\*)\s?{ids.LONG_AGO}(?!\d)"), 0.8, "0123456789"),
    Shape("BIRTH_DATE", re.compile(rf"\b(?:am|op|on)\s+(?P<v>{DATE})\s+(?:in\s+\w+\s+)?(?:geboren|born)\b", I), 0.95, "0123456789", "bor"),
    *(Shape("ADDRESS", street, 0.7) for street in STREETS),
    Shape("CREDIT_CARD", re.compile(r"(?<![\w-])(?P<v>\d{4}(?:[ \n-]{1,2}\d{4}){3})(?![\w-])"), 0.8, "0123456789"),
    Shape("CARD_CODE", re.compile(r"\b(?:cvv2?|cvc2?|cvn|csc|security code|prüfziffer|kartenprüfnummer|código de seguridad|cryptogramme|codice di sicurezza|código de segurança)[\s\"':=#(]{0,4}(?:is |ist |es |est |è |é |number |code )?(?P<v>\d{3,4})\b", I), 0.9, "0123456789"),
    Shape("CARD_CODE", re.compile(r"\b(?:[34]|three|four)[ -]digit (?:security )?(?:code|number)s?(?: on (?:the )?back)?(?: is|:)? ?(?P<v>\d{3,4})\b", I), 0.9, "0123456789"),
    Shape("CARD_EXPIRY", re.compile(rf"\b(?:card|visa|mastercard|amex|karte|tarjeta|carta|carte|cartão)\b[^\n.]{{0,20}}?\b(?:exp\w*|valid \w+|läuft|gültig bis|caduca|scade|valable)\s(?:in |on |im |en |ab )?(?P<v>{MONTH}\s+(?:20)?\d\d)(?!\d)", I), 0.8, "0123456789"),
    Shape("CARD_EXPIRY", re.compile(r"\b(?:exp(?:\.|iry|ires?|iration)?(?:[ _-]?date)?|valid (?:thru|through|until|till)|good thru|gültig bis|ablaufdatum|caduca|caducidad|válida hasta|expire le|valable jusqu['’]au|scadenza|scade|vervaldatum|geldig tot|validade)[\s\"':=]{0,4}(?:is |on |in |ist |es |am )?(?P<v>(?:0?[1-9]|1[0-2])\s?[/-]\s?(?:20)?\d\d)(?![\d/-])", I), 0.9, "0123456789"),
    Shape("CARD_LAST_FOUR", re.compile(r"(?<![\w*•#])(?:[*xX•·#]{2,4}[ -]?){1,4}(?P<v>\d{4})(?!\w)"), 0.8, "0123456789"),
    Shape("ID_NUMBER", re.compile(r"(?<![A-Z0-9])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?![A-Z0-9])"), 0.6, "0123456789"),
    Shape("ID_NUMBER", cued(r"(?:ni|nino|national insurance|n\.i\.)", r"(?P<v>[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D])"), 0.8, "0123456789"),
    Shape("ID_NUMBER", cued(ids.PLATES, ids.PLATE_NUMBER), 0.7, "0123456789"),
    Shape("ID_NUMBER", ids.PLATE, 0.7, "0123456789"),
    Shape("ID_NUMBER", cued(f"(?:{ids.DOCUMENTS}){ids.OF_WHOM}", ids.DOCUMENT), 0.7, "0123456789"),
    Shape("ID_NUMBER", cued(ids.DOCUMENTS, ids.FAR, ids.CLAUSE), 0.7, "0123456789"),
    Shape("ID_NUMBER", cued(f"(?:{ids.PEOPLE}){ids.OF_WHOM}", ids.PERSON), 0.7, "0123456789"),
    Shape("ID_NUMBER", cued(f"(?:{ids.DOTTED_CUE}){ids.OF_WHOM}", ids.DOTTED), 0.7, "0123456789"),
    Shape("ID_NUMBER", cued(ids.CARD_CUE, ids.CARD), 0.7, "0123456789"),
    Shape("CRYPTO", re.compile(r"\b0x[0-9a-fA-F]{40}\b|\b(?:bc1|tb1|ltc1|addr1|bnb1|cosmos1|terra1)[a-z0-9]{25,98}\b|\b[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}\b|\bT[1-9A-HJ-NP-Za-km-z]{33}\b", 0), 0.9, "0123456789"),
    Shape("CRYPTO", cued(r"(?:btc|bitcoin|eth|ethereum|sol|solana|xrp|ripple|doge|ltc|litecoin|ada|trx|tron|usdt|wallet|crypto)(?:\s(?:wallet|address|addr))?", r"(?P<v>(?=\w*\d)[1-9A-HJ-NP-Za-km-z]{25,60})"), 0.9, "0123456789"),
    Shape("EMAIL_ADDRESS", re.compile(r"(?<![\w.])(?P<v>[\w.+-]+%40[\w-]+(?:\.[\w-]+)+)", I), 0.95, "%"),
    Shape("EMAIL_ADDRESS", re.compile(r"(?<![\w.])(?P<v>[\w.+-]+\s?[\[({]\s?(?:at|ät|arroba|@)\s?[\])}]\s?[\w-]+(?:(?:\.|\s?[\[({]\s?(?:dot|punkt|punto|point|ponto)\s?[\])}]\s?)[\w-]+)+)", I), 0.95, "[({"),
    Shape("EMAIL_ADDRESS", re.compile(r"(?<![\w.])(?P<v>[\w+-]+(?:\.[\w+-]+)*\s+at\s+[\w-]+(?:\s+dot\s+[\w-]{2,})+)\b", I), 0.9, "", "dot"),
    Shape("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*?\.[a-z]{2,6}(?=[-_:/#]\w)", I), 0.95, "@"),
    Shape("EMAIL_ADDRESS", re.compile(r"(?<![\w.])(?=[\w+-]*[._\d])[\w.+-]+ ?[@＠] ?[\w-]+(?:\.[\w-]+)+", I), 0.9, "@＠"),
    Shape("PHONE_NUMBER", re.compile(rf"\b(?:(?:{SPOKEN}|double|triple)[\s,.-]+){{6,}}(?:{SPOKEN})\b", I), 0.8),
    Shape("USERNAME", re.compile(r"\b(?:follow|handle|insta(?:gram)?|twitter|tiktok|telegram|snap(?:chat)?|threads|discord|mastodon|dm|add)\b[\s:]{1,3}(?:me (?:at|on) |is |on |at )?(?P<v>@[A-Za-z][\w.]{2,30}\w)", I), 0.8, "@"),
    Shape("PHONE_NUMBER", re.compile(r"\b(?:wa\.me/|(?:api|web)\.whatsapp\.com/send/?\?phone=|tel:|sms:|callto:)(?P<v>\+?[\d().%-]{7,20}\d)", I), 0.95, "0123456789"),
    Shape("USERNAME", re.compile(r"[/\\](?:users?|u|home|profiles?|people|members?|in|author|by|usuarios?|benutzer|utilisateurs?|utenti|gebruikers?)[/\\]+(?P<v>@?[^\W\d_][\w.+-]{2,40}?)(?=[/\\?#\s\"'<>,;)]|\.?$|[.,]\s)", I), 0.8, "/\\"),
    Shape("USERNAME", re.compile(r"\b(?:t\.me|twitter\.com|x\.com|github\.com|gitlab\.com|instagram\.com|facebook\.com|fb\.com|tiktok\.com|medium\.com|reddit\.com/u(?:ser)?)/(?P<v>@?[^\W_][\w.-]{2,40}?)(?=[/?#\s\"'<>,;)]|\.?$|[.,]\s)", I), 0.7, "/"),
    Shape("USERNAME", re.compile(r"(?:\s|^)(?:-u|--user)[\s=]+[\"']?(?P<v>[^\s:\"']{2,64}):", 0), 0.8, "-"),
    Shape("CREDIT_CARD", re.compile(
        r"\b(?:card|cards|cc|visa|mastercard|amex|debit|credit)\b[\w\s.,:#'\"*-]{0,24}?(?<![\d-])(?P<v>\d(?:[ -]?\d){11,18})(?![\d-])", I),
          0.8, "0123456789"),
    Shape("CARD_LAST_FOUR", re.compile(r"\b(?:my|the|that|this)\s+(?P<v>\d{4})\s+(?:card|visa|mastercard|amex)\b", I), 0.8, "0123456789"),
    Shape("CARD_LAST_FOUR", re.compile(
        rf"\b(?:{_CARD_CUES})[\w*_\s,-]{{0,24}}?(?:ending|ends|end|last\s?(?:4|four)(?:\s?digits)?)"
        r"(?:\s?(?:in|with|on|are|is|of|:)){0,2}[\s*_:\"'#x-]{0,4}(?P<v>\d{4})\b", I), 0.9, "0123456789"),
    Shape("CARD_LAST_FOUR", re.compile(
        r"\b(?:ending (?:in|with)|last (?:4|four)(?: digits)?(?: (?:of|are|is)(?: (?:my|the|his|her) (?:\w+ ){0,2}?(?:card|account|social|ssn|number|phone))?)?)(?: is| are)?[\s*_:\"'#]{1,4}(?P<v>\d{4})\b", I),
          0.7, "0123456789"),
    Shape("ADDRESS", re.compile(
        rf"\b\d{{1,6}}[A-Za-z]?(?:[-/]\d{{1,4}})?\s+(?:(?:[NSEWnsew]|(?i:north|south|east|west))\.?\s+)?"
        rf"(?:(?:[A-Z][\w'’.-]*\s+|(?:de|la|of|the|van)\s+){{0,3}}?(?:[A-Z][\w'’-]*|\d+(?:st|nd|rd|th))|"
        rf"[a-z]{{3,}}(?:\s[a-z]{{3,}})??)\s+(?i:{SHORT_STREET_TYPES})\b\.?"
        rf"(?:,?\s+(?i:{UNIT})\.?\s*#?[\w-]{{1,6}}\b)?"), 0.45, "0123456789"),
    Shape("ADDRESS", re.compile(
        rf"\b(?:p\.?\s?o\.?\s?box|{UNIT})(?:\.[ \t]?|[ \t]|[ \t]?#)(?=[\w-]*\d)[\w-]{{1,6}}\b(?![.,]\d)", I), 0.4, "0123456789"),
    Shape("ADDRESS", re.compile(
        rf"\b[A-Z][\w'’.-]*+(?: [A-Z][\w'’.-]*+){{0,2}},?\s+(?:{STATES})[,\s]\s*\d{{5}}(?:-\d{{4}})?\b"), 0.8, "0123456789"),
    Shape("ADDRESS", re.compile(  # any kind of street, where town, state and zip code follow
        rf"\b\d{{1,6}}\s(?:[A-Z][\w'’.-]*\s){{0,4}}[A-Z]\w+(?:\s(?i:{UNIT})\.?\s?\w{{1,6}})?,\s[A-Z][\w .'-]{{1,40}},\s(?:{STATES})\s\d{{5}}(?:-\d{{4}})?\b"), 0.8, "0123456789"),
    Shape("ADDRESS", re.compile(
        r"\b(?:(?:PSC|CMR|Unit)\s\d+,?\s+Box\s\d+|US(?:NS|S|CGC|NV)\s[A-Z]\w+),?\s+[AFD]PO,?\s(?:AE|AP|AA)\s\d{5}"), 0.8, "0123456789"),
    Shape("ZIP_CODE", cued(r"zip(?:\s?code)?|postal\s?code|post\s?code|postcode",
          r"(?P<v>\d{5}(?:-\d{4})?|[A-Z]\d[A-Z] ?\d[A-Z]\d|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|\d{4,6})"),
          0.9, "0123456789"),
    Shape("USERNAME", re.compile(rf"\b(?=[a-z]{{2,20}}_[a-z]{{2,20}}_\d){ids.NO_PROGRAM}[a-z]{{2,20}}_[a-z]{{2,20}}_\d{{2,6}}\b"), 0.8, "_"),
    *(Shape("USERNAME", handle(cue, value), 0.7, needs) for cue, value, needs in ids.HANDLES),
    Shape("USERNAME", handle(*ids.WORDY_HANDLE), 0.7, "_", wordy=True),
    Shape("USERNAME", cued(f"{ids.HANDLE_NAME}|handle",
          r"(?P<v>(?=[\w.-]*[a-z])[a-z0-9][\w.-]{2,30}\w)", r"[\"']?\s?(?::|=|is)[\s\"'@]{0,3}"), 0.6),
    Shape("ID_NUMBER", cued(
        r"passport|driver'?s?'?\s?(?:licen[cs]e|license)|driving\s?licen[cs]e|licen[cs]e|dl|national\s?id(?:entity)?|"
        r"identity\s?card|id\s?card|voter(?:\s?id)?|tax(?:payer)?\s?id(?:entification)?|taxid|tin|itin|ein|vat|"
        r"nino|national\s?insurance|medicare|medicaid|mrn|medical\s?record|patient(?:\s?id)?|insurance(?:\s?(?:policy|id))?|"
        r"policy|member(?:ship)?\s?id|employee(?:\s?(?:id|number|no\.?))|badge|pan|aadhaa?r|"
        r"nhs|curp|rfc|dni|nie|nif|cpf|bsn|pesel", _ID), 0.6, "0123456789"),
    Shape("BANK_NUMBER", cued(
        r"(?:bank\s?|checking\s?|savings\s?)?(?:account|acct\.?|a/c)|routing|aba|sort\s?code|swift|bic|iban",
        r"(?P<v>(?=[A-Z-]{0,10}\d)[A-Z0-9][A-Z0-9-]{4,28}[A-Z0-9])"), 0.6, "0123456789"),
)  # fmt: skip

# Which key says what its value is. Matched on the last part of the path, without case and separators.
KEYS = {
    "firstname": "PERSON", "lastname": "PERSON", "fullname": "PERSON", "middlename": "PERSON",
    "surname": "PERSON", "givenname": "PERSON", "familyname": "PERSON", "customername": "PERSON",
    "passengername": "PERSON", "recipientname": "PERSON", "cardholdername": "PERSON",
    "contactname": "PERSON", "username": "USERNAME", "login": "USERNAME",
    "email": "EMAIL_ADDRESS", "emailaddress": "EMAIL_ADDRESS", "useremail": "EMAIL_ADDRESS",
    "customeremail": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER", "phonenumber": "PHONE_NUMBER",
    "mobile": "PHONE_NUMBER", "telephone": "PHONE_NUMBER", "cellphone": "PHONE_NUMBER",
    "dob": "BIRTH_DATE", "dateofbirth": "BIRTH_DATE", "birthdate": "BIRTH_DATE",
    "birthday": "BIRTH_DATE", "ssn": "US_SSN", "socialsecuritynumber": "US_SSN",
    "lastfour": "CARD_LAST_FOUR", "last4": "CARD_LAST_FOUR", "cardlast4": "CARD_LAST_FOUR",
    "cardnumber": "CREDIT_CARD", "creditcardnumber": "CREDIT_CARD", "iban": "IBAN_CODE",
    "accountnumber": "BANK_NUMBER", "routingnumber": "BANK_NUMBER", "passport": "ID_NUMBER",
    "passportnumber": "ID_NUMBER", "driverlicense": "ID_NUMBER", "licensenumber": "ID_NUMBER",
    "nationalid": "ID_NUMBER", "taxid": "ID_NUMBER", "address": "ADDRESS", "address1": "ADDRESS",
    "address2": "ADDRESS", "addressline1": "ADDRESS", "addressline2": "ADDRESS",
    "street": "ADDRESS", "streetaddress": "ADDRESS", "shippingaddress": "ADDRESS",
    "billingaddress": "ADDRESS", "deliveryaddress": "ADDRESS", "homeaddress": "ADDRESS",
    "zip": "ZIP_CODE", "zipcode": "ZIP_CODE", "postalcode": "ZIP_CODE", "postcode": "ZIP_CODE",
    "ip": "IP_ADDRESS", "ipaddress": "IP_ADDRESS", "macaddress": "MAC_ADDRESS",
    "password": "PASSWORD", "passwd": "PASSWORD", "pwd": "PASSWORD", "pin": "PASSWORD",
    "apikey": "SECRET", "secret": "SECRET", "token": "SECRET", "accesstoken": "SECRET",
    "refreshtoken": "SECRET", "clientsecret": "SECRET", "privatekey": "SECRET",
    "authorization": "SECRET", "secretkey": "SECRET", "accesskey": "SECRET",
} | {
    key: kind
    for kind, keys in {
        "PERSON": "vorname nachname familienname kundenname kontoinhaber apellido apellidos nombrecompleto prenom "
        "nomdefamille nomcomplet cognome nomecompleto voornaam achternaam sobrenome",
        "PHONE_NUMBER": "telefon telefonnummer handy handynummer mobilnummer rufnummer telefono movil celular "
        "cellulare telefoon telefoonnummer telefone telemovel",
        "BIRTH_DATE": "geburtsdatum fechanacimiento fechadenacimiento datenaissance datedenaissance datanascita "
        "datadinascita geboortedatum datanascimento datadenascimento",
        "ADDRESS": "strasse anschrift adresse lieferadresse direccion domicilio calle rue indirizzo adres straat endereco morada rua",
        "ZIP_CODE": "plz postleitzahl codigopostal codepostal cep",
        "PASSWORD": "passwort kennwort contrasena motdepasse wachtwoord senha",
        "USERNAME": "benutzername nombredeusuario nomutilisateur nomeutente gebruikersnaam",
        "ID_NUMBER": "dni nif cpf bsn codicefiscale steuerid kundennummer",
    }.items()
    for key in keys.split()
}  # fmt: skip
# ruff: noqa: SIM905 - words read best as text
# These stand for an address part only beside one: {"street": ..., "city": ...}.
ADDRESS_PARTS = frozenset(
    "city town county province district suburb ort stadt wohnort ciudad localidad ville commune "
    "citta comune plaats woonplaats cidade bairro".split()
)
_WORDS = frozenset({"none", "null", "n/a", "na", "unknown", "true", "false", "yes", "no", "", "-"})

_SEPARATORS = re.compile(r"[^a-z0-9]")
_FIT = {
    "CARD_LAST_FOUR": re.compile(r"\d{4}"),
    "EMAIL_ADDRESS": re.compile(r"[^@\s]+@[^@\s]+"),
    "PHONE_NUMBER": re.compile(r"(?=(?:\D*\d){6})[+\d][\d\s().x/-]+"),
    "US_SSN": re.compile(r"[\d -]{9,11}"),
    "BIRTH_DATE": re.compile(r".*\d.*"),
    "ZIP_CODE": re.compile(r"(?=.*\d)[\w -]{3,10}"),
    "CREDIT_CARD": re.compile(r"(?=(?:\D*\d){12})[\d -]+"),
    "IP_ADDRESS": re.compile(r"(?=.*\d)[0-9a-fA-F.:]+"),
    "BANK_NUMBER": re.compile(r"(?=.*\d)[\w -]{4,}"),
    "ID_NUMBER": re.compile(r"(?=.*\d)[\w -]{4,}"),
    "SECRET": re.compile(r"(?=.*\d)\S{8,}"),
    "PERSON": re.compile(r"(?=.*[^\W\d_]{2})[^\d@/:{}<>]{2,60}"),
    "USERNAME": re.compile(r"(?=.*[a-z])[\w.@-]{3,40}", I),
    "ADDRESS": re.compile(r"(?=.*\w)[^{}<>]{2,160}", re.DOTALL),
}


def last_key(path: str) -> str:
    """The last key of a path, without case, accents and separators."""
    plain = unicodedata.normalize("NFKD", path.rsplit(".", 1)[-1].casefold())
    return _SEPARATORS.sub("", plain)


def by_key(path: str, value: str, extra: Mapping[str, str]) -> str | None:
    """The type that the key promises, when the value fits it."""
    key = last_key(path)
    kind = extra.get(key) or KEYS.get(key)
    if kind is None or value.strip().lower() in _WORDS:
        return None
    fit = _FIT.get(kind)
    return kind if fit is None or fit.fullmatch(value.strip()) else None

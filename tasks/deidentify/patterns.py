"""What can be found by its shape: secrets, cued numbers, handles, streets; and which key says what.

Plain tables and regular expressions without back-tracking traps; `tasks.deidentify.detectors` hands them to
Presidio. Each pattern marks the part to replace with the group `v`, or is replaced whole.
"""

# ruff: noqa: E501 - a regular expression is read on one line
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """One pattern: what it finds, how sure it is, and characters a text must hold to be tried."""

    kind: str
    pattern: re.Pattern[str]
    score: float = 0.9
    needs: str = ""  # one of these characters must occur; empty: always tried
    hint: str = ""  # this word must occur, in lower case


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
_LINK = (
    r"(?:\s?(?:number|num|no\.?|id|code|card)\b)?[\s\"']{0,3}(?:#|:|=|is|was|of|,)?[\s\"'#:]{0,4}"
)


def cued(cue: str, value: str, link: str = _LINK) -> re.Pattern[str]:
    """A value that counts only behind its cue: `SSN: 123-45-6789`."""
    return re.compile(rf"\b(?:{cue}){link}{value}(?![\w@])", I)


_SECRETS = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{0,8000}?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", "-"),
    (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", "e"),
    (r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant|or|svcacct|admin)?[-_]?[\w-]{16,}", "k"),
    (r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{22,}", "g"),
    (r"\bglpat-[\w-]{18,}|\bxox[abeoprs]-[\w-]{10,}|\bxapp-[\w-]{10,}", "-"),
    (r"\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{40,}|\bdop_v1_[a-f0-9]{60,}", "_-"),
    (r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{16}\b", "A"),
    (r"\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}", "Ay-"),
    (r"\bSG\.[\w-]{16,}\.[\w-]{16,}|\bkey-[a-f0-9]{32}\b|\bSK[a-f0-9]{32}\b|\bAC[a-f0-9]{32}\b", "SkA"),
    (r"https://hooks\.slack\.com/services/(?P<v>[\w/]{20,})", "/"),
    (r"\bAccountKey=(?P<v>[A-Za-z0-9+/=]{40,})", "="),
    (r"\b[a-z][a-z0-9+]{2,14}://[^\s:/@\"']{1,64}:(?P<v>[^\s@\"']{1,128})@[\w.-]+", "@"),
    (r"\b(?:authorization|bearer|token)[\"']?[\s:=]{1,3}[\"']?(?:bearer\s+|basic\s+|token\s+)?"
     r"(?P<v>(?=[\w.~+/-]*\d)[\w.~+/-]{20,}={0,2})", "0123456789"),
    (r"(?<![a-z])(?:api[_ -]?key|api[_ -]?token|access[_ -]?key|secret[_ -]?(?:access[_ -]?)?key|"
     r"client[_ -]?secret|auth[_ -]?token|access[_ -]?token|refresh[_ -]?token|session[_ -]?token|"
     r"signing[_ -]?key|encryption[_ -]?key|private[_ -]?token|webhook[_ -]?secret)[\"']?"
     r"(?:\s+(?:is|was))?[\s:=]{1,3}[\"'`]?(?P<v>(?=[^\s\"']{0,60}\d)[\w.~+/=-]{12,})", "0123456789"),
]  # fmt: skip

SECRETS = tuple(
    Shape("SECRET", re.compile(p, I if "?P<v>" in p else 0), 0.99, n) for p, n in _SECRETS
)

_PASSWORD = (
    r"\b(?:password|passwd|pwd|passcode|passphrase|pass\s?phrase|pin(?:\s?code)?|secret|"
    r"login\s+credentials?)[\"']?(?:\s+(?:is|was|to|set to|changed to|reset to|of|for\s+\S+\s+is))?"
    r"\s{0,2}[:=]?\s{0,2}[\"'`‘“]?"
    r"(?P<v>(?=[^\s\"'`]{0,30}[\d!@#$%^&*?])(?![\d]{1,3}\b)[^\s\"'`,;<>(){}]{4,40}?)"
    r"(?=[\"'`’”]|[.,;:!?)]*(?:\s|$)|[,;<>(){}])"
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
DATE = (
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}|"
    rf"\d{{1,2}}(?:st|nd|rd|th)?(?:\s+of)?[\s-]+{_MONTH},?[\s-]+\d{{2,4}}|"
    rf"{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{2,4}})"
)
_WORD = r"[A-ZÀ-Ý0-9][\w'’.-]*"
_CARD_CUES = r"visa|mastercard|master\s?card|amex|american express|discover|credit card|debit card|card|account|acct"

SHAPES = (
    *SECRETS,
    Shape("PASSWORD", re.compile(_PASSWORD, I), 0.85, hint="p"),
    Shape("US_SSN", re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
          0.85, "-"),
    Shape("US_SSN", cued(r"ssn|social security|social", r"(?P<v>\d{3}[- ]?\d{2}[- ]?\d{4})"), 0.95, hint="s"),
    Shape("BIRTH_DATE", cued(
        r"d\.?o\.?b\.?|date[ _]of[ _]birth|birth[ _]?date|birth[ _]?day|born(?:\s+on)?|né|née",
        rf"(?P<v>{DATE})", r"[*_\"']{0,3}(?:\s*\([^)]{0,24}\))?(?:\s?(?::|=|-|is|was|on|as|remains|stays|to|of))?[\s*_\"':-]{0,4}"),
          0.95, "0123456789", "b"),
    Shape("CREDIT_CARD", re.compile(
        r"\b(?:card|cards|cc|visa|mastercard|amex|debit|credit)\b[\w\s.,:#'\"*-]{0,24}?(?<![\d-])(?P<v>\d(?:[ -]?\d){11,18})(?![\d-])", I),
          0.8, "0123456789", "c"),
    Shape("CARD_LAST_FOUR", re.compile(r"\b(?:my|the|that|this)\s+(?P<v>\d{4})\s+(?:card|visa|mastercard|amex)\b", I), 0.8, "0123456789", "c"),
    Shape("CARD_LAST_FOUR", re.compile(
        rf"\b(?:{_CARD_CUES})[\w*_\s,-]{{0,24}}?(?:ending|ends|end|last\s?(?:4|four)(?:\s?digits)?)"
        r"(?:\s?(?:in|with|on|are|is|of|:)){0,2}[\s*_:\"'#x-]{0,4}(?P<v>\d{4})\b", I), 0.9, "0123456789", "c"),
    Shape("CARD_LAST_FOUR", re.compile(
        r"\b(?:ending (?:in|with)|last (?:4|four)(?: digits)?(?: (?:of|are|is))?)[\s*_:\"'#]{1,4}(?P<v>\d{4})\b", I),
          0.7, "0123456789"),
    Shape("ADDRESS", re.compile(
        rf"\b\d{{1,6}}[A-Za-z]?(?:[-/]\d{{1,4}})?\s+(?:(?:[NSEWnsew]|(?i:north|south|east|west))\.?\s+)?"
        rf"(?:(?:[A-Z][\w'’.-]*\s+|(?:de|la|of|the|van)\s+){{0,3}}?(?:[A-Z][\w'’-]*|\d+(?:st|nd|rd|th))|"
        rf"[a-z]{{3,}}(?:\s[a-z]{{3,}})??)\s+(?i:{SHORT_STREET_TYPES})\b\.?"
        rf"(?:,?\s+(?i:{UNIT})\.?\s*#?[\w-]{{1,6}}\b)?"), 0.45, "0123456789"),
    Shape("ADDRESS", re.compile(
        rf"\b(?:p\.?\s?o\.?\s?box|{UNIT})(?:\.\s?|\s|\s?#)(?=[\w-]*\d)[\w-]{{1,6}}\b", I), 0.4, "0123456789"),
    Shape("ADDRESS", re.compile(
        rf"\b[A-Z][\w'’.-]*+(?: [A-Z][\w'’.-]*+){{0,2}},?\s+(?:{STATES})[,\s]\s*\d{{5}}(?:-\d{{4}})?\b"), 0.8, "0123456789"),
    Shape("ZIP_CODE", cued(r"zip(?:\s?code)?|postal\s?code|post\s?code|postcode",
          r"(?P<v>\d{5}(?:-\d{4})?|[A-Z]\d[A-Z] ?\d[A-Z]\d|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|\d{4,6})"),
          0.9, "0123456789"),
    Shape("USERNAME", re.compile(r"\b[a-z]{2,20}_[a-z]{2,20}_\d{2,6}\b"), 0.8, "_"),
    Shape("USERNAME", cued(r"user\s?name|user\s?id|login|handle|screen\s?name",
          r"(?P<v>(?=[\w.-]*[a-z])[a-z0-9][\w.-]{2,30}\w)", r"[\"']?\s?(?::|=|is)[\s\"'@]{0,3}"), 0.6),
    Shape("ID_NUMBER", cued(
        r"passport|driver'?s?'?\s?(?:licen[cs]e|license)|driving\s?licen[cs]e|licen[cs]e|dl|national\s?id(?:entity)?|"
        r"identity\s?card|id\s?card|voter(?:\s?id)?|tax(?:payer)?\s?id(?:entification)?|taxid|tin|itin|ein|vat|"
        r"nino|national\s?insurance|medicare|medicaid|mrn|medical\s?record|patient(?:\s?id)?|insurance(?:\s?(?:policy|id))?|"
        r"policy|member(?:ship)?\s?id|employee\s?(?:id|number)|badge|pan|aadhaa?r|"
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
}  # fmt: skip
# These stand for an address part only beside one: {"street": ..., "city": ...}.
ADDRESS_PARTS = frozenset({"city", "town", "county", "province", "district", "suburb"})
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
    """The last key of a path, without case and separators."""
    return _SEPARATORS.sub("", path.rsplit(".", 1)[-1].lower())


def by_key(path: str, value: str, extra: Mapping[str, str]) -> str | None:
    """The type that the key promises, when the value fits it."""
    key = last_key(path)
    kind = extra.get(key) or KEYS.get(key)
    if kind is None or value.strip().lower() in _WORDS:
        return None
    fit = _FIT.get(kind)
    return kind if fit is None or fit.fullmatch(value.strip()) else None

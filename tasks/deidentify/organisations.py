"""Values that show to be an organisation's and nobody's: by what they are, and by their cue."""

from __future__ import annotations

import re

from tasks.deidentify.cues import BOT, BOT_WORK, NOT_OFFICE, OFFICE
from tasks.deidentify.languages import COMMON, frequency
from tasks.deidentify.wordlists import fold, is_name, word_set

CONSTANT = frozenset({"SECRET", "PASSWORD"})  # replaced for everybody alike in a shared line
NOBODY = frozenset({"LOCATION", "ORGANIZATION", "DATE_TIME", "URL"})
_EXAMPLE = re.compile(
    r"(?:\be\.? ?g\.?|such as|for (?:example|instance)|example:?|format:?|z\. ?b\.|por ejemplo|"
    r"par exemple|ad esempio|bijvoorbeeld|por exemplo)[\s,:(]{0,3}[\"'`‘“]{0,2}$",
    re.IGNORECASE,
)
_LABEL = re.compile(  # alone before a number, as in the signature of a person
    r"\W*(?:t|m|p|tel|t[eé]l|phone|telephone|mobile|cell|mobil|telefon|handy|fon)\W*", re.IGNORECASE
)
_LETTERS = re.compile(r"[^\W\d_]+")


def organisational(kind: str, text: str, before: str, after: str) -> bool:
    """Return whether the value of a line is an organisation's.

    `before` and `after` are of its line.
    """
    if kind in CONSTANT or kind in NOBODY or _EXAMPLE.search(before):
        return True
    if kind == "EMAIL_ADDRESS":
        return shared_mailbox(text)
    if kind == "PHONE_NUMBER":
        return (_toll_free(text) and not _LABEL.fullmatch(before)) or _office(before)
    if kind in {"ADDRESS", "ZIP_CODE"}:
        return _office(before)
    if kind == "PERSON":
        return BOT.search(before) is not None and BOT_WORK.search(after) is not None
    return kind == "USERNAME" and _words_only(text)


def _office(before: str) -> bool:
    return OFFICE.search(before) is not None and NOT_OFFICE.search(before) is None


def shared_mailbox(address: str) -> bool:
    """Return whether an address is a department's: `help@`, `returns.desk@` of an own domain."""
    local, _, domain = address.lower().rpartition("@")
    return domain not in word_set("providers") and _words_only(local)


def _words_only(text: str) -> bool:
    """Return whether a handle is made of ordinary words and no name, number or unknown word."""
    words = _LETTERS.findall(text)
    return bool(words) and not any(c.isdigit() for c in text) and all(map(_role, words))


def _role(word: str) -> bool:
    folded = fold(word)
    if folded in word_set("roles"):
        return True
    return len(folded) > 2 and frequency(folded, "en") >= COMMON and not is_name(folded)


def _toll_free(text: str) -> bool:
    """Return whether a number is one that an organisation rents.

    Free of charge, shared cost, premium.
    """
    import phonenumbers
    from phonenumbers import PhoneNumberType as Type

    rented = {Type.TOLL_FREE, Type.SHARED_COST, Type.PREMIUM_RATE, Type.UAN}
    for region in ("US", "GB", "DE", "FR", "ES", "IT", "NL", "PT", "BR"):
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return phonenumbers.number_type(number) in rented
    return False

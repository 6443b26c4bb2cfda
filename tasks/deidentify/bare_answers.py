"""Bare answers: what the assistant asked for says what the user's next words are.

"What is your passport number?" - "x1234567": nothing in the answer tells what it is. `asked` names
what a question asks for; `answer` finds the value of that kind in the answer.
"""

# ruff: noqa: E501 - a regular expression is read on one line
from __future__ import annotations

import re

from tasks.deidentify.languages import COMMON, SUPPORTED, frequency
from tasks.deidentify.national import DATE, DAY
from tasks.deidentify.wordlists import fold, is_name

I = re.IGNORECASE  # noqa: E741 - as in the re module's own names
_BEHIND = re.compile(
    r" (?:(?:de|di|da|do|dos|von|van|der|den|el|la|le|lo|du) ){0,2}(?P<last>[^\W\d_][\w'’-]+)\W*$",
    I,
)
LONGEST = 120  # characters of an answer that is no more than that
_ASKS = re.compile(
    r"\?|\b(?:please|kindly|need|enter|type|provide|confirm|tell me|give me|share|send|bitte|nenn\w*|geben|angeben|bestätig\w*|por favor|indique?|facilite?|confirm\w*|dígame|"
    r"merci de|veuillez|indiquez|donnez|per favore|mi dica|indichi|fornisca|conferm\w*|graag|geef|vul|noem|bevestig\w*|informe|diga|indique|poderia|pode)\b", I)  # fmt: skip
_NUMBER = r"(?P<v>(?=[\w ./-]*\d)[A-Za-z0-9](?:[A-Za-z0-9]|[ ./-](?=[A-Za-z0-9]*\d|(?-i:[A-Z]{1,3})(?!\w))){2,27}[A-Za-z0-9])(?![\w@])"
# What a question names, the type of its answer, and how the answer looks.
_QUESTIONS: tuple[tuple[str, str, str], ...] = (
    (r"last (?:four|4)|letzten (?:vier|4)|últim[oa]s (?:cuatro|4|quatro)|(?:quatre|4) derniers|ultime (?:quattro|4)|laatste (?:vier|4)", "CARD_LAST_FOUR", r"(?<!\d)(?P<v>\d{4})(?!\d)"),
    (r"cvv|cvc|security code|prüfziffer|código de segur|cryptogramme|codice di sicurezza", "CARD_CODE", r"(?<!\d)(?P<v>\d{3,4})(?!\d)"),
    (r"expir|valid until|gültig bis|ablauf|caducidad|scadenza|vervaldatum|validade", "CARD_EXPIRY", r"(?<!\d)(?P<v>\d{1,2}\s?[/ -]\s?\d{2,4})(?!\d)"),
    (r"birth|born|d\.?o\.?b\b|geburt|geboren|nacimiento|naissance|né\(?e|nascita|nato|nascimento|geboorte", "BIRTH_DATE", rf"(?P<v>{DATE}|{DAY}|(?<!\d)\d{{6}}(?:\d\d)?(?!\d)|(?<!\d)\d{{1,2}}[ ./-]\d{{1,2}}[ ./-]\d{{2,4}}(?!\d))"),
    (r"phone|mobile|cell|call you back|number to reach|telefon|handy|rückruf|teléfono|móvil|téléphone|portable|cellulare|telefono|telefoon|mobiel|telemóvel|telefone|whatsapp", "PHONE_NUMBER", r"(?P<v>\+?\(?\d[\d\s().x/-]{4,20}\d)"),
    (r"one[- ]?time|verification code|\botp\b|(?:texted|sent|emailed) you|2fa|authenticat\w+ code|pass ?word|passcode|pass ?phrase|\bpin\b|passwort|kennwort|contraseña|clave|mot de passe|parola|wachtwoord|senha|palavra-passe|security answer|mother'?s maiden", "PASSWORD", r"(?<!\S)(?P<v>(?=\S*[\d!@#$%^&*?_-])\S{4,40}?)(?=[.,;]?(?:\s|$))|^\s*(?P<w>\S{4,40})\s*$"),
    (r"social security|\bssn\b", "US_SSN", r"(?<!\d)(?P<v>\d{3}[ -]?\d\d[ -]?\d{4})(?!\d)|(?<!\d)(?P<w>\d{4})(?!\d)"),
    (r"card number|credit card|kartennummer|tarjeta|carte bancaire|carta di credito|kaartnummer|cartão", "CREDIT_CARD", r"(?<!\d)(?P<v>\d(?:[ -]?\d){11,18})(?!\d)"),
    (r"\biban\b|account number|routing|sort code|kontonummer|número de cuenta|numéro de compte|numero di conto|rekeningnummer|número da conta|bank", "BANK_NUMBER", _NUMBER),
    (r"passport|licen[cs]e|identity|\bid (?:number|card)|national id|tax (?:id|number)|insurance|member(?:ship)? (?:id|number)|medical record|patient|vin\b|plate|ausweis|reisepass|führerschein|steuer|versicherung|dni|nie\b|nif|pasaporte|identidad|"
     r"passeport|permis|sécurité sociale|identité|codice fiscale|passaporto|patente|identità|bsn|paspoort|rijbewijs|cpf|contribuinte|cartão de cidadão|carta de condução|"
     r"versicherten|rentenvers|\bsv-?n|\bahv|\bavs\b|(?:kunden|mitglieds|matrikel|klant|lid|polis|student(?:en)?)-?n(?:umme)?r|kennzeichen|kenteken|seguridad social|rijksregister|allocataire|adhérent|assuré|immatriculation|matrícula|targa|\bplaca|\brg\b|"
     r"\bnhs|national insurance|(?:customer|client|student) (?:no|number|id)|(?:número|nº|n\.º) (?:de |do )?(?:socio|cliente|afiliad|utente|sócio)|(?:numéro|n°) (?:de )?(?:client|dossier patient)|(?:codice|numero) (?:cliente|tessera|socio)", "ID_NUMBER", _NUMBER),
    (r"zip|post ?code|postal code|postleitzahl|plz|código postal|code postal|\bcap\b|cep\b", "ZIP_CODE", r"(?P<v>(?<!\w)(?=[\w -]*\d)[A-Za-z0-9]{2,5}(?:[ -][A-Za-z0-9]{2,4})?(?!\w))"),
    (r"address|where do you live|adresse|anschrift|dirección|domicilio|indirizzo|adres\b|morada|endereço|residence", "ADDRESS", r"(?P<v>(?=.*\d)(?=.*[^\W\d_]{3}).{6,})"),
    (r"user ?name|user ?id|login|handle|nickname|pseudo|(?:be)?nutzername|usuario|identifiant|nome utente|gebruikersnaam|usuário|utilizador", "USERNAME", r"(?<!\S)(?P<v>(?=\S*[\d_.-])[\w.-]{3,40}\w)(?!\S)|^\s*(?P<w>[\w.-]{3,40})\s*$"),
    (r"\bname\b|who am i (?:speaking|talking)|how should i call|nombre|\bnom\b|appelez|\bnome\b|\bnaam\b|heißen|chiama|call you", "PERSON", r"(?P<v>[^\W\d_][\w'’.-]*(?: [^\W\d_][\w'’.-]*){0,3})"),
)  # fmt: skip
KINDS = {kind: (re.compile(cue, I), re.compile(value, I)) for cue, kind, value in _QUESTIONS}


def asked(text: str) -> str:
    """The type of what an assistant's words ask for at their end; empty when they do not ask."""
    end = text[-240:]
    if not _ASKS.search(end):
        return ""
    last = [part for part in re.split(r"(?<=[.!?])\s+|\n+", end) if part][-2:]
    for part in reversed(last):
        if not _ASKS.search(part):
            continue
        named = {kind: cue.search(part) for kind, (cue, _) in KINDS.items()}
        if places := {kind: match.start() for kind, match in named.items() if match}:
            return min(places, key=lambda kind: places[kind])
    return ""


def answer(kind: str, text: str) -> tuple[int, int] | None:
    """Return where the value of a type stands in the words that answer a question for it."""
    if len(text) > LONGEST or kind not in KINDS:
        return None
    match = KINDS[kind][1].search(text)
    if match is None:
        return None
    group = "v" if match["v"] is not None else "w"
    start, end = match.span(group)
    if kind == "PERSON":
        return _person(text, start, end)
    if kind in {"USERNAME", "PASSWORD"} and group == "w" and _ordinary(match[group]):
        return None
    return start, end


def _person(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The words of an answer that are no ordinary ones: `sure, mia li`."""
    words = [
        m
        for m in re.finditer(r"[^\W\d_][\w'’-]*", text[:LONGEST])
        if is_name(fold(m.group())) or not _ordinary(m.group())
    ]
    if not words:
        return None
    end = words[min(len(words), 4) - 1].end()
    behind = _BEHIND.match(text, end)  # the other half of a name may be a word, too
    if behind and len(words) == 1 and not _usual(behind["last"]):
        end = behind.end("last")
    return words[0].start(), end


def _usual(word: str) -> bool:
    return any(frequency(word, code) >= 5.0 for code in SUPPORTED)


def _ordinary(word: str) -> bool:
    return any(frequency(word, code) >= COMMON for code in SUPPORTED) and not is_name(fold(word))

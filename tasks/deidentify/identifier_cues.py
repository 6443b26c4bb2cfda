"""What stands in front of birth dates, numbers of documents and people, plates, and users' handles.

Regular expressions for seven languages; `patterns` puts a value behind each. OCR's 0 for O and 1 or
l for I are read where a form's labels are; a cue counts in any case, in full and abbreviated.
"""

# ruff: noqa: E501 - a regular expression is read on one line
from __future__ import annotations

import re

from tasks.deidentify.national import MONTH


def ocr(cue: str) -> str:
    """The same expression for text that was read by a machine: `D0B`, `BlRTH`."""
    outside = re.sub(r"(?<![\\-])[il](?![^\[]*\])", "[il1]", cue)
    return re.sub(r"(?<!\\)o(?![^\[]*\])", "[o0]", outside)


# Birth dates. A label of a form, a verb, and the place that may stand between verb and date.
_LABEL = (
    r"d\.?\s?o\.?\s?b\.?|d\.?d\.?n\.?|d\.\s?n\.|birth[ _-]?days?|b[- ]?day|anniversaire|cumpleaños|compleanno|verjaardag|aniversário|"
    r"(?:date|data|datum|fecha|fec|dat|dt|d|f)[. _-]{0,2}(?:(?:of|de|di|da)[ _-])?(?:birth|naissance|naiss|nacimiento|nacim|nac|nascimento|nascita|nasc)\b\.?|birth[ _-]?date|"
    r"geburts?[- ]?(?:datum|dat|tag)\b\.?|geb[.\s-]{0,2}(?:datum|dat|dt|tag)\b\.?|geboorte-?(?:datum|dat|dag)\b\.?|geburtsort/-datum|nascimento|naissance|nacimiento|nascita|geboorte|geburt|birth"
)
BORN = r"born|geb(?:oren[er]?|\.)?|né[e]?(?:\(e\))?|nac(?:í|i|ió|id[oa])|nac\.|nat[oa](?:/[ao])?|nasci(?:d[oa])?|nasceu|nasc\."
BIRTH = ocr(rf"{_LABEL}|(?:{BORN})(?:\s(?:on|am|den|op|le|el|il|em|a))?|nasc")
BIRTH_LINK = r"[*_\"'>]{0,3}(?:\s*\([^)]{0,24}\))?(?:\s?(?::|=|-|>|,|is|was|on|the|as|remains|stays|to|of|ist|es|est|è|é|el|le|il|em|am|den|op|a|aos?|dia)){0,3}[\s*_\"':>-]{0,4}"
_TOWN = r"(?-i:[A-ZÀ-Þ])[\w'.-]*(?:[ ,/(-]{1,2}(?:(?-i:[A-ZÀ-Þ])[\w'.-]*|de|del|la|le|les|di|da|do|am|an|der|den|sur|sous|aan|upon)){0,4}\)?"
BORN_AT = rf"(?:{ocr(BORN)})\s(?:in|zu|te|à|a|ad|au|aux|en|em|at|near|bei|no|na|nel|nella)\s{_TOWN}"
BIRTH_PLACE_LINK = rf"\s?:\s?{_TOWN},?\s"
BORN_AT_LINK = r",?\s(?:(?:on|am|den|op|le|el|il|em|a|ao)(?:\sdia)?\s)?"
BORN_FAR_LINK = r"\s[^\d\n.;:!?]{1,40}?(?:\s(?:on|am|den|op|le|el|il|em|a)|,)\s"
LONG_AGO = rf"(?P<v>\d{{1,2}}(?:º|°|\.|er)?\s(?:de\s)?{MONTH}\s(?:de\s)?(?:19\d\d|200\d)|\d{{1,2}}[./-]\d{{1,2}}[./-](?:19\d\d|200\d|201[0-2])|(?:19\d\d|200\d|201[0-2])-\d\d-\d\d)"

# What a number is called, and what may stand between cue and number.
_N = r"(?:(?:number|num|núm|no|nr|nro|n|nummer|numéro|numero|número|id|code|código|codice|cod|cód|card)\b\.?|n\.?\s?[º°ª]\.?|№|#)"
LINKS = rf"(?:[\s.-]{{0,2}}{_N})?[\s\"']{{0,3}}(?:#|:|=|-(?=\s)|is|was|ist|war|lautet|es|era|est|è|é|of|de|,|\(|>)?[\s\"'#:(]{{0,4}}"
THINGS = (  # numbered, but nobody's
    r"bestell\w*|rechnung\w*|auftrag\w*|artikel\w*|sendung\w*|serien\w*|charge|ticket|vorgang\w*|order|invoice|item|parcel|tracking|serial|batch|lot|build|version|error|sku|r[eé]f\w*|"
    r"pedido|factura|artículo|serie|lote|envío|commande|facture|article|série|colis|ordine|fattura|articolo|lotto|bestelling|factuur|serie\w*|fatura|artigo|erro\w*|código de barras"
)
_CLAUSE = rf"(?:(?!\b(?:{THINGS})\b)[^\d\n;:!?]){{0,48}}?"
# Words behind a cue that lead to its number: `Steuer-ID liegt vor:`, `passport expired, no. is`.
CLAUSE = rf"\b{_CLAUSE}(?::|=|\b(?:is|was|ist|war|lautet|es|era|est|is het|è|é)\b|[\s(,]{_N})[\s\"'#:(.]{{1,3}}"

# Documents, which need no word for number behind them.
DOCUMENTS = ocr(
    # German, Austrian, Swiss
    r"steuer(?:liche)?[- ]?(?:id|identifikations)?[- ]?(?:nummer|nr\.?)?|steuer-?id\w*|idnr|st\.?-?(?:nr|nummer)\.?|(?:personal|ausländer|flüchtlings|schwerbehinderten|dienst|studenten)ausweis\w*|ausweis(?:nummer|-?nr\.?)?|perso[- ]?(?:nummer|nr\.?)?|"
    r"reisepa(?:ss|ß)\w*|pa(?:ss|ß)[- ]?(?:nummer|nr\.?)|aufenthalts(?:titel|erlaubnis|karte|gestattung|bewilligung)\w*|niederlassungserlaubnis|führerschein\w*|fahrerlaubnis\w*|"
    r"(?:sozial|renten)versicherungs\w*|(?:sv|rv|kv|(?:sozial|renten)vers)[. -]{0,2}(?:nr|nummer)\.?|krankenversicherten\w*|vers(?:icherten|icherungs(?:schein)?)?[.-]{0,2}(?:nr|nummer)\.?|versicherten\w*|e-card|ahv(?:-?n13)?|zemis|fahrgestellnummer|fin|vin|chassis(?:\s?n[uo]\w*)?|"
    # Spanish, Latin American
    r"d\.?n\.?i\.?|n\.?i\.?e\.?|nif|n\.?s\.?s\.?|(?-i:NAF|TIE|NHC|CIP|SIP|NUHSA)|pasaporte|carn[eé]t?(?: de (?:conducir|identidad))?|(?:permiso|licencia) de conducir|(?:permiso|tarjeta) de residencia|seg(?:uridad|\.)? social|tarjeta sanitaria(?: individual)?|"
    r"historia clínica|cédula(?: de (?:ciudadanía|identidad))?|cuit|cuil|rut|curp|rfc|clabe|clave de elector|afiliación|"
    # French, Belgian, Swiss
    r"sécurité sociale|n°? ?sécu|nir|cni|carte (?:nationale )?d['’]identité|passeport|permis(?: de conduire)?|carte vitale|(?:titre|carte) de séjour|(?:n[°o]|numéro) (?:d['’])?(?:étranger|fiscal|allocataire|assuré|adhérent)|numéro national|registre national|n?avs|niss|(?-i:INE|IPP|AGDREF|NAM|NAS)|matricule(?:\s(?:étudiante?|agent|salariée?))?|"
    # Italian
    r"codice fiscale|c\.?f\.?|carta d['’]identità|passaporto|patente(?: di guida)?|permesso di soggiorno|tessera sanitaria|partita iva|p\.? ?iva|nosologico|tessera elettorale|polizz[ae]|"
    # Dutch, Belgian
    r"bsn|burgerservice(?:nr|nummer)\.?|sofi-?nummer|paspoort\w*|rijbewijs\w*|identiteits(?:kaart\w*|k\.)|id-kaart|verblijfs(?:vergunning|document|kaart)\w*|v-nummer|rijksregister\w*|rr-?(?:nr|nummer)|insz|"
    # Portuguese, Brazilian
    r"cpf(?:/mf)?|cnpj|r\.?g\.?|identidade|nus|n\.?i\.?s\.?s\.?|contribuinte|(?:cartão|título) (?:de |do )?(?:cidadão|residência|eleitor|sus)|cns|pis(?:/pasep)?|cc|bilhete de identidade|passaporte|carta de condução|cnh|(?:carteira de )?habilitação|rne|rnm|ctps|carteira de trabalho|prontuário|carteirinha(?: do \w+)?|utente|"
    # English
    r"medicare|ssn|social security|ni|n\.i\.|nino|national insurance|utr|n\.?h\.?s\.?|ein|itin|passport|(?-i:PPT|BRP|DL|SIN|TFN|PPSN?|USCIS)|a-number|alien (?:registration )?number|green card|residence permit|driving licen[cs]e|driver['’]?s licen[cs]e"
)
# Who has a number at a firm, a surgery or a school: only with a word for number.
_WHO = (
    r"kunden|kd|mitglieds?|mitgl|personal|pers|patienten|pat|matrikel|matr|konto|kto|studenten|schüler|klienten|mandanten|teilnehmer|"
    r"klant|relatie|lid(?:maatschaps)?|patiënt(?:en)?|student(?:en)?|leerling|personeels|cliënt(?:en)?|verzekerden?|polis|rekening|"
    r"customers?|clients?|members?(?:hip)?|patients?|pupil|employee|staff|payroll|insured|subscriber|claimant|resident|inmate|hosp(?:ital)?|loyalty|"
    r"socio|cliente|afiliad[oa]|paciente|asegurad[oa]|alumn[oa]|abonad[oa]|emplead[oa]|cuenta|póliza|adhérente?|allocataire|patiente?|étudiante?|sociétaire|abonnée?|compte|"
    r"tessera|assistit[oa]|paziente|matricola|studente|conto|c/c|sóci[oa]|beneficiári[oa]|associad[oa]|apólice|conta|matrícula|pension|pensioen|renten"
)
_OF = r"(?:\s(?:de|del|du|di|do|da|dell['’]|d['’]|of the|the)){0,2}\s?"
PEOPLE = ocr(
    rf"(?:{_WHO})[\s.-]{{0,2}}(?:nummer|nr|number|num|no|nro|núm|numéro|numero|número)\b\.?|(?:{_WHO})\.?(?:\s(?!(?:{THINGS})\b)[^\W\d_]{{2,12}})?\s?(?:n\.?\s?[º°ª]\.?|#|n\.)|"
    rf"(?:n\.?\s?[º°ª]\.?|\bn\.|n[ro]\.|nro\.?|núm\.?|numéro|numero|número|codice|code|código|cód\.)(?:\s?{_OF}(?:dossier|expediente|tarjeta|carte|tessera|cartão))?{_OF}(?:{_WHO})(?:\s(?:caf|msa|patient|del?\s\w+))?|"
    r"(?:matrikel|matr|pat|patienten|studenten|student|patient|pupil|mitglieds)[\s.-]{0,2}id(?:\snumber)?|(?:fall|case|caso|dossier|zaak)[\s.-]{0,2}(?:nr|nummer|no|number|n\.?\s?[º°])?\.?\s(?:of the|der|des|del|de la|du|da|do|dell[ao]|van de)\s(?:patient\w*|paziente|paciente|patiënt\w*|klient\w*|client\w*)|matr\.|matricola(?:\s\w+)?|matrícula d[oa] alun[oa]|(?:expediente|dossier)\s(?:del?\s)?(?:alumn[oa]|paciente|patient)|tax reference"
)
OF_WHOM = r"(?:\s\([^)\d\n]{1,24}\)|\s(?:de|del|della|des|der|du|da|do|of|van)(?:\s(?:la|el|le|the|de|mon|ma|mi|mia|mijn|my))?\s[^\W\d_]+)?"
_NO_DATE = r"(?!\d{1,2}(?P<s>[./-])\d{1,2}(?P=s)(?:\d{4}|\d\d)(?![./-]?\d)|\d{4}[./-]\d\d?[./-]\d\d?(?!\d)|\d{2}\.\d{4}(?!\d)|\d{1,7}[.,]\d\d(?![\d./-])|(?:19|20)\d\d(?:[/-](?:19|20)?\d\d)?(?![./-]?\w))"
_AMOUNT = r"(?!,\d|\s?(?:€|\$|£|%|eur\w*|usd|dollars?|pounds?|fran(?:cs?|ken)|chf|reais|prozent|percent|per cent|stück|people|person\w*|pieces|units|seats|rows|million\w*|mio|[kcm]?[gm]|kw?|w|km|ml|uhr)\b)"
_HEAD = r"(?:(?-i:[A-Z]{1,4}) (?=\d))?(?=[A-Z./-]{0,12}\d)"


def _number(digits: int, longer: int) -> str:
    """A number that begins with a token that has a digit, or with capitals: `QQ 12 34 56 C`."""
    some = rf"(?=(?:[A-Z./-]{{0,12}} ?\d){{{digits}}})"
    return rf"{some}{_HEAD}[A-Z0-9](?:[A-Z0-9]|[ ./-](?=[A-Z0-9.-]*\d)| (?-i:[A-Z])(?!\w)){{{longer},26}}"


_DENSE = r"(?-i:(?=[A-Z]*\d[A-Z0-9]*\d)[A-Z0-9]{8,9}(?!\w))"
DOCUMENT = rf"{_NO_DATE}(?P<v>(?>{_number(4, 4)}|{_DENSE})){_AMOUNT}"
FAR = rf"{_NO_DATE}(?P<v>(?>{_number(5, 5)})){_AMOUNT}"
PERSON = rf"{_NO_DATE}(?P<v>(?>{_number(3, 2)})){_AMOUNT}"
DOTTED = (
    r"(?P<v>\d{1,3}(?:\.\d{3}){2,3}(?:-[\dkx])?)"  # as identity cards of South America are written
)
DOTTED_CUE = r"c\.?c\.?|c\.?i\.?|r\.?g\.?|run|d\.?n\.?i\.?|cédula"
CARD = r"(?P<v>[A-Z]{0,2}\s?\d{6,9}(?:\s?\d\s?[A-Z]{1,2}\d?|[A-Z]{2})?)"
CARD_CUE = r"(?:c\.?i\.?|b\.?i\.?)\s?(?:n\.?\s?[º°]|n\.|nr\.?)"

# Plates. Of a car that is spoken of only what is written as plates are.
_CAR = r"(?:coche|carro|auto|veículo|veicolo|vehículo|véhicule|voiture|macchina|moto|car|vehicle|van|wagen|pkw|fahrzeug)"
PLATES = rf"(?:(?:licen[cs]e|number|vehicle|car|reg(?:istration)?) plates?|plates?|reg(?:istration)?|kennzeichen|kennz\.|matrícula|targ(?:a|at[oaei])|plaque|immat(?:riculation|riculée?)?|kenteken|nummerplaat|placas?)(?:\s(?:de la|del|da|do|du|van de|of the|de)\s{_CAR})?"
PLATE_NUMBER = r"(?P<v>(?-i:(?=[A-ZÄÖÜ -]{0,6}\d[A-Z -]{0,4}\d)(?=[\d -]{0,6}[A-ZÄÖÜ])[A-ZÄÖÜ0-9]{1,4}(?:[ -]?[A-Z0-9]{1,4}){1,2}|(?=[a-z-]{0,6}\d[a-z-]{0,4}\d)(?=\d{0,4}[a-z])[a-z0-9]{1,4}(?:-?[a-z0-9]{1,4}){1,2}|[a-zäöü]{1,3}-[a-z]{1,2} \d{1,4}))"
PLATE = re.compile(
    rf"\b{_CAR}\b[^\d\n.;]{{0,30}}?\b(?P<v>(?-i:[A-ZÄÖÜ]{{1,3}}-[A-Z]{{1,2}} ?\d{{1,4}}[EH]?|[A-Z]{{2}}-\d{{3}}-[A-Z]{{2}}|[A-Z]{{2}} ?\d{{3}} ?[A-Z]{{2}}|\d{{4}} [B-DF-HJ-NP-TV-Z]{{3}}))(?![\w-])",
    re.IGNORECASE,
)

# Handles. Words of programs tell `user_sessions` and `http_client_v2` from people.
_PROGRAM = (
    r"users?|clients?|customers?|orders?|items?|ids?|uid|uuid|api|https?|grpc|mqtt|tcp|rest|db|sql|tables?|names?|keys?|values?|lists?|logs?|logins?|configs?|conf|profiles?|sessions?|events?|types?|status|state|count|retr\w+|default|tests?|dev|prod|staging|local|"
    r"null|none|ref|get|set|is|has|file|files|auth|oauth|services?|server|requests?|response|errors?|err|exc|exception|data|json|yaml|xml|csv|pdf|py|js|ts|v\d+|tmp|temp|cache|index|idx|path|dir|str|int|bool|tokens?|urls?|sdk|lib|modules?|pkg|class|func|function|"
    r"nodes?|struct|fields?|columns?|rows?|archived?|models?|schema|queue|workers?|jobs?|tasks?|flags?|feature|groups?|roles?|admin|root|guest|system|input|output|messages?|payload|hook|main|window|base|backend|frontend|web|app|sha|utf|md|handle|account|accounts|"
    r"email|phone|address|number|num|code|date|time|timestamp|page|view|form|button|field|nummer|kunde|kunden|nutzer|benutzer|usuarios?|clientes?|perfil|profilo?|python|ubuntu|debian|linux|windows|postgres|mysql|redis|docker|kafka|java|vpn|gateway|replica|release|beta|alpha|version|chrome|android|iphone|cluster|kernel|hd|pro|plus|premium|plan|utenti?|tabla|gebruiker"
)
NO_PROGRAM = rf"(?![\w.-]*(?<![^\W_])(?:{_PROGRAM})(?![^\W\d_]))(?![\w.-]*\.(?:[a-z]{{2,4}})\b)"
_USER = r"users?|utilisat(?:eur|rice)|nutzer(?:in)?|benutzer(?:in)?|usu[aá]ri[oa]|utente|utilizadora?|gebruiker|player|spieler(?:in)?|jugadora?|joueu(?:r|se)|giocator[ei]|speler|jogadora?|streamer|mitglied|miembro|membre|membro"
_KNOWN = r"kund(?:e|in)|client[ea]?|klant|customer|account|konto|profil[eo]?|perfil|profiel|(?:compte|cuenta|conta|profil|perfil) de|(?:account|profiel) van|(?:konto|profil) von|profilo di|compte|cuenta|conta|apelido|seller|buyer|verkäufer(?:in)?|käufer(?:in)?|vendedora?|vendeu(?:r|se)|venditore|verkoper|koper|acheteu(?:r|se)|compradora?"
HANDLE_NAME = r"(?:user[ _-]?name|(?:be)?nutzername|spielername|gebruikersnaam|nombre de usuario|nom d['’]utilisateur|nome utente|nome de us(?:uário|uario)|nome de utilizador|screen\s?name|nick(?:name)?|pseudo(?:nyme)?|gamer\s?tag|(?:kd\.?|kunden|customer|user)[ -]?handle|login|user\s?id)"
_AT = r"@(?!(?:property|staticmethod|classmethod|dataclass|pytest|app|click|types|here|channel|everyone)\b)(?-i:[a-z])[\w.]{2,30}\w"
_UNDER = rf"{NO_PROGRAM}(?-i:[a-zà-ÿ])[a-zà-ÿ\d]*(?:[_-][a-zà-ÿ\d]+)*_[a-zà-ÿ\d]+"
HANDLES = (
    (rf"(?:{_USER}|{_KNOWN}|{HANDLE_NAME})", rf"(?P<v>{_AT})", "@"),
    (HANDLE_NAME, rf"(?P<v>{_UNDER})", "_"),
    (rf"(?:{_USER})", rf"(?P<v>{_UNDER}\d\d)", "_"),
    (
        rf"(?:{_USER}|{HANDLE_NAME})",
        rf"(?P<v>{NO_PROGRAM}(?-i:[a-zà-ÿ])[a-zà-ÿ]{{3,20}}\d{{2,4}})",
        "0123456789",
    ),
)
WORDY_HANDLE = rf"(?:{_USER}|{_KNOWN})", rf"(?P<v>{_UNDER})"  # if its words are not all English
HANDLE_LINK = (
    r"[\"']?\s?(?:(?:namens|called|named|llamad[oa]|:|=|is|ist|es|è|é|est)\s)?[\s\"']{0,2}"
)
HANDLE_AFTER = r"(?![\w@(=\[/]|\.\w)"

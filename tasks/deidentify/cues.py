"""Cues in front of names, streets and an organisation's own values, in seven languages.

Plain tables of words; `name_check`, `organisations` and `patterns` read them.
"""

# ruff: noqa: E501, SIM905 - a regular expression is read on one line, and so are words
from __future__ import annotations

import re

I = re.IGNORECASE  # noqa: E741 - as in the re module's own names

_INTRODUCED = (
    # English
    r"my name(?:['’]s| is)?|name is|names? (?:are|is)|i am|i['’]m|this is|it['’]?s|call me|called|named|known as|contact|ask(?: for)?|"
    r"tell|speak (?:to|with)|talk(?:ing)? (?:to|with)|spoke (?:to|with)|regards|cheers|sincerely|thanks|thank you|yours|love|best|signed|"
    r"dear|hi|hello|hey|att(?:n|ention)?|c/o|a/c|mr|mrs|ms|miss|mx|dr|prof|sir|madam|written by|sent by|on behalf of|"
    # German
    r"(?:fragen? nach|sprechen mit|auf den namen)|ich hei(?:ß|ss)e|hei(?:ß|ss)t|mein name(?: ist|:)?|name ist|ich bin(?: der| die)?|hier (?:ist|spricht)|herrn?|frau|fräulein|hallo|liebe[rs]?|"
    r"sehr geehrter?|(?:viele|beste|freundliche[nr]?|herzliche|liebe) gr(?:ü|ue)(?:ß|ss)e(?:n)?(?: von)?|mfg|lg|vg|gez\.?|i\.\s?a\.?|z\.\s?hd\.?|gru(?:ß|ss)|danke|hier|frage[n]? nach|"
    # Spanish
    r"(?:llam\w+|habl\w+|pregunt\w+|avis\w+)\s(?:a|con|por)|me llamo|mi nombre es|nombre es|soy|se llama|señor(?:a|ita)?|sr(?:a|ta)?|don|doña|hola|estimad[oa]|querid[oa]|(?:un )?saludos?(?: de)?|atentamente|atte|(?:muchas )?gracias|"
    # French
    r"(?:rappel\w+|appel\w+|demand\w+|prévenez|contactez)|je m['’]appelle|s['’]appelle|mon nom est|nom est|je suis|ici|monsieur|madame|mademoiselle|mme|mlle|bonjour|bonsoir|salut|chère?|cordialement|"
    r"bien à vous|salutations|merci|"
    # Italian
    r"(?:ri)?chiam(?:ate|i|are)|parl\w+ con|mi chiamo|si chiama|il mio nome è|nome è|sono|signor(?:e|a|ina)?|sig(?:\.?ra|na)?|dott(?:\.?ssa|ore|oressa)?|ciao|salve|buongiorno|gentile|egregi[oa]|car[oa]|"
    r"(?:cordiali|distinti) saluti|saluti(?: da)?|un saluto|grazie|"
    # Dutch
    r"bel|spreek|vraag naar|op naam van|ik heet|heet|mijn naam(?: is|:)?|naam is|ik ben|u spreekt met|meneer|mevrouw|dhr|mevr|mw|beste|geachte(?: heer)?|lieve|hoi|dag|"
    r"(?:met vriendelijke |vriendelijke |hartelijke )?groet(?:en|jes)?(?: van)?|mvg|bedankt|heer|(?:hoi|hallo|dag|spreekt|goede\w+),? met|t\.?n\.?v|t\.?a\.?v|"
    # Portuguese
    r"lig(?:uem?|ar) (?:para|a)|fal\w+ com|(?:em|no) nome d[eo]|(?:o )?meu nome é|nome é|(?:eu )?me chamo|chamo-me|chama-se|eu sou|sou(?: [oa])?|aqui é(?: [oa])?|senhora?|dona|olá|oi|prezad[oa]|car[oa]|"
    r"atenciosamente|(?:com os melhores )?cumprimentos|abraços?|(?:muito )?obrigad[oa]"
)
_FORMS = (  # labels of a form
    r"(?:user|customer|client|patient|passengers?|guest|contact|from|to|cc|author|owner|assignee|recipient|sender|manager|doctor|driver|employee|caller|reporter|"
    r"kund(?:e|in)|absender|afzender|mittente|remitente|expéditeur|remetente|sender|destinataire|destinatario|ontvanger|empfänger|ansprechpartner(?:in)?|cliente|paciente|client|cliente|paziente|klant|patiënt|"
    r"candidat[aeo]?|kandida\w+|bewerber(?:in)?|anrufer(?:in)?|fahrer(?:in)?|conduct(?:or|eur)|conducente|condutora?|bestuurder|titular|titulaire|titolare|houder|inhaber(?:in)?|holder|contractant|remite|utente|usuario|von|de|da|van|para|à|aan|an)\s?"
)
_NAMES = r"(?:(?:(?:first |last |full |family |given |middle )?names?|surname|(?:vor|nach|familien|geburts)name|nombre|apellidos?|nom|prénom|nome|cognome|sobrenome|apelido|naam|(?:voor|achter)naam)\s?)"
_LABELS = rf"(?:{_NAMES}|{_FORMS})"
_WHOSE = (  # stands in front of a person of somebody's
    r"(?:my|your|his|her|our|their|(?:m|d|s)ein\w*|ihr\w*|unser\w*|eur\w*|mis?|sus?|tus?|(?:nuestr|vuestr)[oa]|mon|ma|ton|ta|son|sa|votre|notre|leur|(?:mi|tu|su|nostr|vostr)[oa]|loro|mijn|jouw|uw|haar|zijn|onze?|hun|meu|minha|seu|sua|(?:noss|voss)[oa]|the|die|der|dem|la|el|le|il|lo|de|het|a|o|à|ao|al)"
)
_KIN = (
    r"(?:wife|husband|spouse|daughter|son|mother|father|m[ou]m|dad|brother|sister|aunt|uncle|grand\w+|\w+-in-law|cousin|niece|nephew|fianc[ée]e?|(?:boy|girl)?friend|colleague|co-?worker|boss|neighbou?r|roommate|landlord|"
    r"(?:ehe)?(?:frau|mann)|tochter|sohn|mutter|vater|bruder|schwester|oma|opa|tante|onkel|nichte|neffe|schwieger\w+|schwager|schwägerin|kolleg(?:e|en|in)|chef(?:in)?|freund(?:in)?|nachbar(?:in|n)?|verlobte[rn]?|vermieter(?:in)?|"
    r"marido|esposo|esposa|mujer|hij[oa]|madre|padre|herman[oa]|abuel[oa]|tí[oa]|prim[oa]|sobrin[oa]|suegr[oa]|cuñad[oa]|novi[oa]|compañer[oa]|jef[ea]|vecin[oa]|coleg[ah]?|"
    r"femme|mari|épou(?:x|se)|fille|fils|mère|père|frère|sœur|soeur|grand-(?:mère|père)|oncle|bel(?:le)?-\w+|beau-\w+|cousine?|neveu|nièce|collègue|voisine?|copine?|compagn(?:e|on)|"
    r"moglie|marito|figli[oa]|fratello|sorella|nonn[oa]|zi[oa]|cugin[oa]|suocer[oa]|cognat[oa]|nipote|compagn[oa]|collega|capo|vicin[oa]|amic[oa]|"
    r"vrouw|man|dochter|zoon|moeder|vader|broer|zus|oom|nicht|neef|vriend(?:in)?|buurman|buurvrouw|schoon\w+|zwager|baas|"
    r"mulher|filh[oa]|mãe|pai|irmão|irmã|av[óô]|ti[oa]|sobrinh[oa]|sogr[oa]|cunhad[oa]|namorad[oa]|vizinh[oa]|chefe|amig[oa])"
)
_PARTY = (  # what a person is to a firm, a surgery or a court; a name may follow directly
    r"(?:patient(?:in|e[sn]?)?|paciente|paziente|patiënte?|(?:account |policy ?|card)?holder|member|claimant|applicant|insured|tenant|beneficiary|policyholder|professor|prof\.|attorney|doctor|witness|says|said|"
    r"(?:konto|karten)?inhaber(?:in)?|versicherte[rn]?|antragsteller(?:in)?|nachbarin|familie|zeug(?:e|in)|sagt|meint|z\.\s?hd\.|notfallkontakt|(?:tante|oma|opa|onkel)|"
    r"titular|testigo|doctora?|dice|asegurad[oa]|trabajador(?:a)?|beneficiari[oa]|viajer[oa]|usuari[oa]|abonad[oa]|lic\.|licenciad[oa]|titulaire|assurée?|contribuable|bénéficiaire|locataire|docteure?|témoin|dit|sieur|maître|adhérente?|professeure?|"
    r"titolare|dottor(?:e|essa)?|testimone|intestatari[oa]|assistit[oa]|assicurat[oa]|beneficiario|contribuente|avv\.|avvocat[oa]|ing\.|rag\.|geom\.|arch\.|verzekerde|houder|dokter|getuige|zegt|buurvrouw|buurman|klantnaam|drs\.|begunstigde|aanvrager|"
    r"utente|doutora?|testemunha|diz|segurad[oa]|beneficiári[oa]|usuári[oa]|motorista|contribuinte|inquilin[oa]|eng\.ª?|d\.|(?<!\d\s)mm?\.)"
)
# A person in front of a name with a capital: `patient Okoro`, `mia moglie Nunzia`.
PERSON_NOUN = re.compile(
    rf"(?:^|(?<=[^\w]))(?:{_WHOSE}\s(?:[^\W\d_]+\s)?{_KIN}|{_PARTY}),?\s[\"'“(]?$", I
)
# Labels of who somebody is to a firm, behind which other words stand, too.
FORM_CUE = re.compile(
    rf"(?:^|(?<=[^\w])){_FORMS}[*_]{{0,2}}\s?[:-][*_]{{0,2}}\s[*_\"'“]{{0,2}}$", I
)
NAME_CUE = re.compile(
    rf"(?:^|(?<=[^\w]))(?:{_LABELS}[*_]{{0,2}}\s?[:-][*_]{{0,2}}\s|(?:{_INTRODUCED})(?:[.,:]{{0,2}}\s{{0,2}}|\s*\n\s*|[-–—]\s?)(?:[A-Z]\.\s?)?)[*_\"'“]{{0,2}}$",
    I,
)
# Cues behind which any word is a name; behind the others ("Hallo,", "thanks") a sentence may begin.
SURE_CUE = re.compile(
    rf"(?:{_LABELS}[*_]{{0,2}}\s?[:-]|\b(?:m(?:rs?|s|iss|x)|dr|prof|herrn?|frau|fräulein|familie|señor(?:a|ita)?|sr(?:a|ta)?|don|doña|monsieur|madame|mademoiselle|mme|mlle|signor(?:e|a|ina)?|"
    r"sig(?:\.?ra|na)?|dott\.?\w*|meneer|mevrouw|dhr|mevr|mw|heer|sra?|senhora?|dona|call me|called|named|names?(?:['’]s| is| ist| are)?|hei(?:ß|ss)[et]|nombre es|(?:me|se) llam[oa]|(?:m|s)['’]appelle|"
    r"nom est|nome è|(?:mi|si) chiam[oa]|heet|naam is|nome é|(?:me|se) chamo|cham[oa]-[ms]e))[.:]?\s{1,2}[*_\"'“]{0,2}$",
    I,
)
# Greetings and closings, whose words are nobody's name.
COURTESY = re.compile(
    r"\b(?:(?:(?:sehr )?geehrte |liebe )?damen und herren|(?:mit )?(?:(?:freundlich|best|viel|herzlich|lieb|schön|sonnig)\w* )?gr(?:ü|ue|u)(?:ß|ss)(?:en?)?|gut\w{1,2} (?:morgen|tag|abend)|(?:vielen |besten |herzlichen |lieben )?dank|danke(?: schön| sehr)?|"
    r"(?:best|kind|warm) (?:regards|wishes)|many thanks|thank you|ladies and gentlemen|good (?:morning|afternoon|evening)|"
    r"(?:estimad[oa]s )?señor(?:as y señor)?es|(?:un )?(?:cordial )?saludos?(?: cordial(?:es)?)?|muchas gracias|buen[oa]s (?:días|tardes|noches)|"
    r"mesdames(?:,| et)? messieurs|madame, monsieur|(?:bien )?cordialement|bonne journée|egregi signori|(?:cordiali|distinti) saluti|"
    r"geachte heer(?:,| of|/)? ?mevrouw|dames en heren|(?:met )?(?:vriendelijke|hartelijke) groet(?:en|jes)?|"
    r"prezad[oa]s senhor(?:as e senhor)?es|senhoras e senhores|atenciosamente|bo[ma] (?:dia|tarde|noite)|muito obrigad[oa])\b",
    I,
)
# What people do, behind a name.
PERSON_ACT = re.compile(
    r"\s*(?:['’]s (?:\w+ )?(?:account|order|card|phone|number|address|birthday|email|reservation|flight|wife|husband|son|daughter)|,? (?:who|born|aged?)\b|"
    r"(?:called|call|said|says|wants?|wanted|asked|asks|wrote|writes|lives?|works?|needs?|complained|ordered|paid|signed|told|sent|replied|reported|booked|is my|was born|"
    r"hat (?:an)?gerufen|ruft|rief|möchte|wohnt|schrieb|sagt|bittet|llamó|llama|vive|quiere|dice|escribió|pide|a appelé|habite|veut|souhaite|dit|écrit|demande|"
    r"ha chiamato|chiama|abita|vuole|dice|scrive|chiede|heeft gebeld|belt|belde|woont|wil|zegt|vraagt|ligou|mora|quer|diz|escreveu|pede)\b)",
    I,
)
AMOUNT = re.compile(
    r"\d\s?(?:mg|mcg|µg|ug|g|kg|ml|mmol|meq|iu|units?|euros?|dollars?|pounds?|franken|reais|gb|mb|kb|ms|s|sec|min|h|hrs?|x|%|bid|tid|qid|prn|bps|rps|qps|eur|usd|€|\$)\b",
    I,
)

STREET = re.compile(
    # what follows a street's name in English, German and Dutch
    r"(?:\b|(?<=\w))(?:street|avenue|boulevard|crescent|terrace|parkway|highway|stra(?:ß|ss)e|strasse|gasse|allee|platz|straat|laan|plein|gracht|kade|singel|dijk)\b|"
    r"(?:\b|(?<=[a-zäöüß]))(?:weg|ring|damm|ufer|steig|pad|hof)\b(?=\s+\d)|(?<=[a-zäöüß])str\.|"
    r"\b(?:st|ave|rd|road|blvd|ln|lane|dr|drive|ct|court|pl|place|way|hwy|pkwy|cir|circle|sq|square|trail|loop|pike|path|row|walk|alley|plaza|point|cove|ridge|mews|close|"
    r"apt|apartment|suite|ste|unit|p\.?\s?o\.?\s?box|floor|str|wohnung|postfach|whg)\b|"
    # what precedes it in the Romance languages
    r"\b(?:rue|chemin|impasse|quai|route|calle|c/|avda|avenida|av|paseo|ronda|plaza|camino|carrer|via|viale|corso|piazza|piazzale|largo|vicolo|strada|borgo|contrada|rua|travessa|praça|"
    r"alameda|estrada|rodovia|urbanización|glorieta|pasaje|cuesta|rotonda|lungomare)\b", I)  # fmt: skip

# An organisation's own number or place, not a person's.
OFFICE = re.compile(
    r"\b(?:our|company|head|main|central|customer|technical)?\s?(?:office|offices|headquarters|hq|store|shop|warehouse|branch|depot|hotline|helpline|help ?desk|helpdesk|service desk|"
    r"reception|front desk|switchboard|support(?: team| line)?|customer (?:service|care)|call cent(?:er|re)|emergency|visit us|returns? (?:to|address)|"
    r"filiale|zentrale|geschäftsstelle|kundenservice|kundendienst|hauptsitz|oficina|tienda|sede|atención al cliente|bureau|magasin|siège|service client|ufficio|negozio|assistenza|"
    r"kantoor|winkel|klantenservice|hoofdkantoor|escritório|loja|atendimento)\b[^\n]{0,24}$", I)  # fmt: skip
NOT_OFFICE = re.compile(
    r"\b(?:my|his|her|their|mein|meine|mi|mon|ma|mio|mia|mijn|meu|minha)\s+(?:\w+\s+)?\w+\b[^\n]{0,24}$",
    I,
)
BOT = re.compile(
    r"\b(?:you are|you're|your name is|called|named|act as|this is|i am|du bist|sie sind|dein name ist|eres|te llamas|tu es|vous êtes|sei|ti chiami|je bent|jij bent|você é|tu és)\s+[*_\"'“]{0,2}$",
    I,
)
BOT_WORK = re.compile(
    r"\b(?:assistant|agent|bot|chat ?bot|copilot|ai|model|helper|concierge|assistent(?:in)?|asistente|assistente|agente)\b",
    I,
)
# What is named after somebody, in medicine, finance, law and computing.
EPONYM = re.compile(
    r"(?:,\s\d{1,4}\s(?:U\.\s?S|F\.|S\.\s?Ct)|\sv\.\s[A-Z])|\s(?:[A-Z] )?(?:signs?|scores?|scales?|lines?|disease|syndrome|palsy|tests?|catheters?|tubes?|drains?|reflex(?:es)?|phenomenon|points?|lifts?|criteria|procedures?|fractures?|blades?|"
    r"stages?|cysts?|nodes?|bodies|body|lesions?|crisis|gait|contracture|tendon|stain|lymphoma|encephalopathy|malformation|habitus|incisions?|forceps|retractors?|clamps?|sutures?|positive|negative|"
    r"index|ratio|curves?|effect|coefficient|criterion|distribution|equation|theorem|model|filter|transform|algorithm|motions?|warnings?|disclosures?|stops?|hearing|doctrine|deference|"
    r"material|step|motions|claims?|briefs?|rules?|letters?|violations?|analysis|framework|factors?|immunity|rights|clusters?|rings?|pods?|daemons?|pipelines?|plugins?|operators?|charts?|containers?|traces?|policies|sidecars?|prox(?:y|ies)|playbooks?|brokers?|keyspaces?)\b"
)
DEVICES = frozenset(  # named after somebody, too, and written small
    "apgar bartholin braden coombs doppler fogarty foley gram hickman holter hoyer jackson kegel kelly kocher penrose pap swan tanner tenckhoff whipple yankauer".split()
)

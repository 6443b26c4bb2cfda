"""A reply's text without what a model says around it: thoughts, its template's marks, a lead-in."""

from __future__ import annotations

import re
import unicodedata

# What a reasoning model thought aloud, in the markup of each; a thought may never end.
_TAGS = (
    "think|thinking|reasoning|thoughts?|reflection|antthinking|seed:think|inner_thoughts?"
    "|scratchpad|(?:internal|inner)_monologue"
)
_THOUGHT = re.compile(
    rf"\s*(?:<({_TAGS})(?:\s[^>]*)?>.*?(?:</\1>|\Z)|\[THINK\].*?(?:\[/THINK\]|\Z)"
    r"|◁think▷.*?(?:◁/think▷|\Z)"
    r"|<\|START_THINKING\|>.*?(?:<\|END_THINKING\|>|\Z)|<unused94>.*?(?:<unused95>|\Z)"
    r"|<\|begin_of_thought\|>.*?(?:<\|end_of_thought\|>|\Z)|<\|channel>thought.*?(?:<channel\|>|\Z)"
    r"|<\|think\|>.*?(?:<\|end\|>|\Z)|(?:<\|begin\|>assistant)?<\|content\|>"
    r"|<\|thinking\|>.*?(?:<\|/thinking\|>|\Z)|<details type=.reasoning.*?(?:</details>|\Z)"
    r"|Here is my thought process:.*?Here is my response:"
    r"|(?:<\|start\|>assistant)?<\|channel\|>(?!final).*?(?:(?=<\|channel\|>final)|\Z)"
    r"|(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"
    r"|analysis(?:(?!assistantfinal).)*assistantfinal)",
    re.DOTALL | re.IGNORECASE,
)
_UNOPENED = re.compile(r"(?:(?!<think>).)*?</think>", re.DOTALL)  # its opening tag is in the prompt
_FRAME = re.compile(r"<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|<\|(?:begin|end)_of_solution\|>")
# The marks with which models end their turn, where a server left one in the text.
_END = re.compile(
    r"(?:\s*(?:<\|(?:return|end|im_end|endoftext|end_of_text|eot_id|eom_id|eot|end_of_turn)\|>"
    r"|<end_of_turn>|<eos>|<｜end▁of▁sentence｜>))+\s*\Z"
)

# A line that only announces what follows: `Sure! Here is the JSON you asked for:`. All its words
# are among these, none of which says anything: `Here is the price without VAT:`, `OK:` and
# `Here is:` may be part of a text.
_YES = (
    "sure(?: thing)?|certainly|of course|absolutely|okay|ok|klar|gerne|natürlich|natuurlijk|claro"
    "|por supuesto|bien sûr|certo|certamente"
)
_HERE = (
    r"here(?:['’]s| is| are)|below (?:is|are)|hier (?:ist|sind|is|zijn)|aquí (?:está|están|tienes?)"
    "|voici|voilà|ecco|aqui est(?:á|ão|a)"
)
_IT = (
    "here (?:you go|it is|they are)|the (?:final )?answer is|hier ist (?:es|sie|er)"
    "|hier is (?:het|hij)|aquí (?:la |lo )?tienes?|l[ae] voici|eccol[ao]|aqui está"
)
_ANSWER = (
    "answers?|response|results?|output|json|object|label|category|classification|summary"
    "|translation|sql|query|antwort|ergebnis|ausgabe|objekt|kategorie|zusammenfassung|übersetzung"
    "|abfrage|respuesta|resultado|salida|objeto|etiqueta|categoría|resumen|traducción|consulta"
    "|réponse|résultat|sortie|objet|étiquette|catégorie|résumé|traduction|requête|risposta"
    "|risultato|oggetto|etichetta|categoria|riassunto|traduzione|antwoord|resultaat|uitvoer"
    "|categorie|samenvatting|vertaling|resposta|saída|resumo|tradução"
)
_AROUND = (
    "the|an?|your|final|requested|extracted|structured|formatted|as|in|of|you|asked for"
    "|die|der|das|den|eine?|ihre?|deine?|als|im|gewünschten?|el|las?|los|una?|su|tu|en|de|les?|l"
    "|votre|ta|au|il|lo|tua|sua|richiest[ao]|het|een|je|uw|gevraagde|o|a|seu|em|demandée?"
    "|solicitad[ao]|json[ -]format|json-formaat|formato? json"
    "|(?:to|auf|zu|a|à|alla|op) (?:your|the|deine|ihre|die|tu|su|la|votre|ta|tua|sua|je|uw|de)"
    " (?:question|request|frage|anfrage|pregunta|solicitud|demande|domanda|richiesta|vraag"
    "|pergunta)"
)
_BLANK = "[ ,'’\xa0-]+"
_LEAD_IN = re.compile(
    rf"[\s*_#¡]*(?=[^\n:]{{1,100}}:)(?:(?:{_YES})\b[ \xa0]?[!,.]*[ \xa0]+)*"
    rf"(?:(?:{_IT})|(?:{_HERE})(?:{_BLANK}(?:{_AROUND})\b)*{_BLANK}(?:{_ANSWER})\b"
    rf"(?:{_BLANK}(?:{_AROUND}|{_ANSWER})\b)*)"
    r"[ \xa0*_]*:[*_]*[^\S\n]*(?:\n\s*|(?=[{\[`]))",
    re.IGNORECASE,
)

_STOP = re.compile(r"(?<![\s./])\.\Z")  # neither `...` nor the dot of `git add .`
_NESTED = re.compile(r":[^\S\n]*\n[ \t]+\S")  # as in Python and YAML


def unannounced(text: str) -> str:
    """A text without the line that announces it, if there is more of it."""
    lead_in = _LEAD_IN.match(text)
    return text[lead_in.end() :] or text if lead_in else text


def words(text: str) -> str:
    """A text as it is compared: neither its blanks nor its last full stop matter.

    A full stop behind a single word (`A.`) is part of it, and so is what lines are indented by
    where that says what belongs to what.
    """
    text = unicodedata.normalize("NFC", text)
    said = " ".join(text.split())
    if _NESTED.search(text):
        said = "\n".join(line.rstrip() for line in text.strip().splitlines() if line.strip())
    return _STOP.sub("", said) if " " in said else said


def spoken(text: str) -> str:
    """A reply's text without the thoughts before it and the marks around it."""
    if "</think>" in text and (thought := _UNOPENED.match(text)):
        text = text[thought.end() :]
    while (thought := _THOUGHT.match(text)) and thought.end():
        text = text[thought.end() :]
    text = _FRAME.sub("", text).strip()
    if text.endswith(">"):
        text = _END.sub("", text).rstrip()
        if text.endswith("</s>") and "<s>" not in text:  # the end of a turn, no HTML
            text = text[:-4].rstrip()
    return text

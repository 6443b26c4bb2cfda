"""A reply's text without what a model says around it: thoughts, its template's marks, a lead-in."""

from __future__ import annotations

import re

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
    r"|Here is my thought process:.*?(?:Here is my response:|\Z)"
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

# A line that only announces what follows, in the languages that are read: `Sure! Here it is:`.
_LEAD_IN = re.compile(
    r"\s*(?:sure|certainly|of course|absolutely|okay|ok|here(?:['’]s| is| are| you)"
    r"|below (?:is|are)|the (?:final )?answer is|klar|gerne|natürlich|hier (?:ist|sind|is|zijn)"
    r"|natuurlijk|claro|por supuesto|aquí (?:está|tienes?|va)|bien sûr|voici|voilà"
    r"|certo|certamente|ecco|aqui est[áã]o?)\b[^\n]{0,80}:[ \t]*(?:\n\s*|(?=[{\[`]))",
    re.IGNORECASE,
)


def unannounced(text: str) -> str:
    """A text without the line that announces it, if there is more of it."""
    lead_in = _LEAD_IN.match(text)
    return text[lead_in.end() :] or text if lead_in else text


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

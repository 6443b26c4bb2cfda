"""What a reply copies from its prompt stays a copy."""

import json

import pytest

from tasks.core.params import Deidentify
from tasks.core.records import CALLS, Call
from tasks.deidentify.cleaner import INCONSISTENT
from tasks.deidentify.deidentify import Deidentifier
from tasks.deidentify.findings import Finding
from tasks.deidentify.scanner import Scanner

KEY = b"k" * 32

RULES = Deidentify(ner="none", probe=0)

SYSTEM = "You extract order details. Answer with JSON. Contact: help@shop.example"


def call(name, user, reply="ok", system=SYSTEM, **more):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    request = {"model": "m", "messages": messages} | more.pop("request", {})
    answer = reply if isinstance(reply, dict) else {"role": "assistant", "content": reply}
    return Call(id=name, at=0.0, source=f"x:{name}", request=request, reply=answer, **more)


def user_text(found):
    return found.request["messages"][-1]["content"]


class Seeing:
    """A detector that sees a name in sentences alone, as taggers do; or in titles too."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def scan(self, texts):
        """The names in each text."""
        return [
            [
                Finding(text.index(name), text.index(name) + len(name), "PERSON", 0.9, "tagger")
                for name in self.names
                if name in text
            ]
            for text in texts
        ]


@pytest.mark.parametrize("names", [("Starfleet Academy",), ("tune Ola",), ("Ola Trek",), ()])
def test_what_a_reply_copies_stays_a_copy(names):
    """A title in which a name was seen is written as in the prompt, whatever is seen in it alone.

    Where a name reaches beyond the title, the reply has what is found there.
    """
    told = call("1", "find the tune Ola Trek of Starfleet Academy", '{"title": "Ola Trek"}')
    deidentifier = Deidentifier(RULES, KEY, Scanner(Seeing(*names), {}, KEY))
    deidentifier.survey([told])
    done = deidentifier.clean(told)
    if names != ("tune Ola",):
        assert json.loads(done.reply["content"])["title"] in user_text(done)
    assert ("Ola Trek" in user_text(done)) == (names in ((), ("Starfleet Academy",)))


class Hiding:
    """A detector that takes a text for a secret."""

    def scan(self, texts):
        """The whole of each text that says `ola`."""
        return [[Finding(0, len(t), "SECRET", 0.9, "shape")] if "ola" in t else [] for t in texts]


def test_an_id_with_a_name_in_it_ends_no_night():
    """Its surrogate has no name in it, and would not be looked at again."""
    told = call("chatcmpl-ola", "hello", "hi ola")
    deidentifier = Deidentifier(RULES, KEY, Scanner(Hiding(), {}, KEY))
    deidentifier.survey([told])
    done = deidentifier.clean(told)
    assert "ola" not in done.id
    assert "ola" not in done.reply["content"]


def test_a_reply_that_no_longer_copies_is_set_aside():
    """The reason is a word that quarantine and manifest use."""
    assert INCONSISTENT == "inconsistent surrogates"
    assert CALLS.metadata[b"kind"] == b"calls"

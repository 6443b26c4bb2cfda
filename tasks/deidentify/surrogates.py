"""Surrogates: what stands in place of a person's data, the same everywhere in one conversation.

Each surrogate has the type and the shape of what it replaces and is drawn with an HMAC under a
secret key, so that the same night gives the same text and nobody can go back without the key.
Everything is mapped piece by piece (name by name, street word by street word, digit group by digit
group): an address that is split, a name inside an e-mail or a date in another format stay coherent.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable

from tasks.deidentify import wordlists
from tasks.deidentify.conversations import opening, sealed
from tasks.deidentify.date_shift import ordinal, shifted
from tasks.deidentify.number_surrogates import Numbers
from tasks.deidentify.places import country_of, parts
from tasks.deidentify.wordlists import fold, like, slip

TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]{2,})*")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)", re.I)
_HANDLE_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_AT = re.compile(r"@(?=[^@]*$)|%40|\s?[\[({]\s?\w+\s?[\])}]\s?|\s+at\s+", re.I)
COMMON = 24  # draws from the common words, before rarer ones are taken
Pools = Callable[[str], tuple[tuple[str, ...], ...]]


def _made_up(_: str) -> tuple[tuple[str, ...], ...]:
    """The words of domains and firms."""
    return (wordlists.places(),)


class Surrogates(Numbers):
    """The surrogates of one conversation, in the language that its people use."""

    def __init__(self, key: bytes, conversation: str, language: str = "en") -> None:
        super().__init__(hmac.digest(key, b"conversation\0" + conversation.encode(), "sha256"))
        self.opening = opening(sealed(key, conversation))  # as the rows of datasets name it
        self.words: dict[tuple[str, str], str] = {}  # (pool, folded word) -> surrogate
        self.language = language or "en"
        self._taken: set[tuple[str, str]] = set()
        self._placed: set[str] = set()
        self._met: set[str] = set()  # words of real values, which no surrogate may be
        self.done: dict[object, str] = {}  # strings of this conversation, already replaced
        self.days = self.number("days", "", 166) + 15
        if self.number("sign", "", 2):
            self.days = -self.days

    def of(self, kind: str, text: str) -> str:
        """The surrogate of a text of this type: the first one, whatever is learnt later."""
        if (kind, text) not in self.done:
            self.done[kind, text] = _MAKERS.get(kind, Surrogates.shape)(self, text)
        return self.done[kind, text]

    def meet(self, values: Iterable[str]) -> None:
        """Take note of what will be replaced: a surrogate that is another's real name misleads."""
        self._met.update(fold(word) for value in values for word in TOKEN.findall(value))

    def knows(self, text: str) -> bool:
        """Return whether a word of the text has a surrogate already, as a name or in an address."""
        words = [fold(t) for t in TOKEN.findall(text)]
        return any(("name", w) in self.words or w in self._placed for w in words)

    def word(self, pool: str, word: str, choices: Pools) -> str:
        """A word of a pool for a word, never the same for two words, in the same case.

        Common words are drawn more often. A typo of a known word stays one: of its surrogate.
        """
        folded = fold(word)
        earlier = self.words.get((pool, folded))
        if earlier is None:
            right = self._near(pool, folded) or wordlists.meant(folded)
            earlier = self.words.get((pool, right)) or self._draw(pool, right, choices(right))
            if right != folded:
                earlier = self.words[pool, folded] = wordlists.mistyped(right, folded, earlier)
        return like(word, earlier)

    def _draw(self, pool: str, folded: str, choices: tuple[tuple[str, ...], ...]) -> str:
        name = ""
        for attempt in range(64):
            names = choices[0] if attempt < COMMON else choices[-1]
            share = self.number(f"{pool}{attempt}", folded, 1 << 32) / (1 << 32)
            name = names[int(len(names) * (share**2 if names is choices[0] else share))]
            own = fold(name)
            used = own == folded or (pool, own) in self._taken or (pool, own) in self.words
            if not used and self._met.isdisjoint(own.split()):
                break
        self._taken.add((pool, fold(name)))
        self.words[pool, folded] = name
        return name

    def _near(self, pool: str, folded: str) -> str | None:
        """A known word that this is a typo of, or the other way round."""
        if len(folded) < 5:
            return None
        for kind, word in self.words:
            both = wordlists.is_name(word) and wordlists.is_name(folded)
            if kind == pool and not both and slip(word, folded):
                return word
        return None

    def person(self, text: str) -> str:
        """Another name: given for given; titles and particles kept, initials matched."""
        tokens = TOKEN.findall(text)
        alone = len(tokens) == 1
        for token in tokens:  # before the initials, which follow the names
            if len(token) > 1 and fold(token) not in wordlists.word_set("particles"):
                self.name(token)

        def one(match: re.Match[str]) -> str:
            token = match.group()
            if fold(token) in wordlists.word_set("particles"):
                return token
            if len(token) == 1:
                return token if alone else self._initial(token)
            return self.name(token)

        return TOKEN.sub(one, text)

    def name(self, token: str) -> str:
        """The surrogate of one name word, in any position."""
        return self.word("name", token, lambda w: wordlists.names_for(w, self.language))

    def _initial(self, letter: str) -> str:
        for (pool, word), surrogate in self.words.items():
            if pool == "name" and word[0] == fold(letter):
                return like(letter, surrogate[0])
        return letter

    def handle(self, text: str) -> str:
        """A user name or the local part of an e-mail, rebuilt from its name tokens."""

        def one(token: str) -> str:
            if token.isdigit():
                return self.digits("handle", token)
            if len(token) < 2 or fold(token) in wordlists.word_set("roles"):
                return self._initial(token) if len(token) == 1 else token
            return self._blob(token)

        for token in _HANDLE_TOKEN.findall(text):  # before the initials, which follow the names
            one(token)
        fresh = _HANDLE_TOKEN.sub(lambda match: one(match.group()), text)
        return (
            self.shape(text)
            if fresh == text and fold(text) not in wordlists.word_set("roles")
            else fresh
        )

    def _blob(self, token: str) -> str:
        """A run of letters in a handle: a name, or known names and initials written together."""
        folded = fold(token)
        names = {w: s for (pool, w), s in self.words.items() if pool == "name"}
        if folded in names:
            return self.name(token)
        for word, surrogate in sorted(names.items(), key=lambda k: -len(k[0])):
            head, separator, rest = folded.partition(word)
            initials = len(head) <= 1 and len(rest) <= 1 and any(w[0] in head + rest for w in names)
            if separator and (len(word) > 3 or initials):
                parts = (self._part(head), surrogate, self._part(rest))
                return like(token, "".join(parts).lower())
        return self.name(token)

    def _part(self, text: str) -> str:
        if len(text) == 1:
            return self._initial(text)
        return self.name(text) if text else ""

    def email(self, text: str) -> str:
        """An address at the same public provider, or at a made-up domain of the same top level."""
        sign = _AT.search(text)
        local, domain = (text[: sign.start()], text[sign.end() :]) if sign else (text, "")
        host = domain.lower()
        label = host.partition(".")[0]
        known = host in wordlists.word_set("providers") or label in wordlists.PROVIDERS
        private = not known and label != "example"
        if private:
            label, dot, top = domain.partition(".")
            earlier = self.words.get(("name", fold(label)))
            label = like(label, earlier) if earlier else self.word("domain", label, _made_up)
            domain = label + dot + top
        return f"{self.handle(local)}{sign.group() if sign else ''}{domain}"

    def address(self, text: str) -> str:
        """Another place: a street for a street, a town for a town; kinds of street, states kept."""
        country, state = country_of(text, self.language)
        streets = wordlists.pool(f"streets {'en' if country == 'us' else country}")
        towns = wordlists.pool(f"towns us {state}") or wordlists.pool(f"towns {country}")
        pools = {"street": streets, "town": towns}
        out, at = "", 0
        for part in parts(text, country):
            value, fresh = text[part.start : part.end], text[part.start : part.end]
            if part.kind == "number":
                fresh = self._house(value)
            elif part.kind == "code":
                fresh = self.shape(value)
            elif part.kind != "stays":
                fresh = self._place(value, pools[part.kind], part.kind)
            out += text[at : part.start] + fresh
            at = part.end
        return out + text[at:]

    def _place(self, name: str, pool: tuple[str, ...], kind: str) -> str:
        """The surrogate of a street's or a town's name; its words are known from now on."""
        self._placed.update(fold(word) for word in name.split())
        if kind == "street" and "-" in name:  # Adelbert-Geisel-Straße is named after a person
            return TOKEN.sub(lambda part: self.name(part.group()), name)
        pools = (pool or wordlists.places(), wordlists.places())  # some places have no list
        return self.word("place", name, lambda _: pools)

    def _house(self, token: str) -> str:
        """The digits of a house, a postal code or a numbered street: 5th becomes 22nd."""
        digits = re.match(r"\d+", token)[0]  # type: ignore[index]
        fresh = self.digits("place", digits, keep=1 if len(digits) == 5 else 0)
        if not _ORDINAL.fullmatch(token):
            return fresh + token[len(digits) :]
        return fresh + like(token[len(digits) :], ordinal(int(fresh)))

    def birth_date(self, text: str) -> str:
        """The date moved by this conversation's offset, written in the same way."""
        return shifted(text, self.days, day_first=self.language != "en") or self.shape(text)

    def company(self, text: str) -> str:
        """Another organisation; legal forms and ordinary words kept."""

        def one(match: re.Match[str]) -> str:
            token = match.group()
            keep = len(token) < 3 or fold(token) in wordlists.word_set("company")
            return token if keep else self.word("company", token, _made_up)

        return TOKEN.sub(one, text)


_MAKERS: dict[str, Callable[[Surrogates, str], str]] = {
    "PERSON": Surrogates.person,
    "USERNAME": Surrogates.handle,
    "EMAIL_ADDRESS": Surrogates.email,
    "PHONE_NUMBER": Surrogates.phone,
    "ADDRESS": Surrogates.address,
    "LOCATION": Surrogates.address,
    "ZIP_CODE": Surrogates.address,
    "BIRTH_DATE": Surrogates.birth_date,
    "DATE_TIME": Surrogates.birth_date,
    "CREDIT_CARD": Surrogates.card,
    "CARD_LAST_FOUR": Surrogates.last_four,
    "CARD_EXPIRY": Surrogates.expiry,
    "IBAN_CODE": Surrogates.iban,
    "IP_ADDRESS": Surrogates.ip,
    "MAC_ADDRESS": Surrogates.mac,
    "SECRET": Surrogates.secret,
    "PASSWORD": Surrogates.secret,
    "ORGANIZATION": Surrogates.company,
}

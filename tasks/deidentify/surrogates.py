"""Surrogates: what stands in place of a person's data, the same everywhere in one conversation.

Each surrogate has the type and the shape of what it replaces and is drawn with an HMAC under a
secret key, so that the same night gives the same text and nobody can go back without the key.
Everything is mapped piece by piece (name by name, street word by street word, digit group by digit
group): an address that is split, a name inside an e-mail or a date in another format stay coherent.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from tasks.deidentify import wordlists
from tasks.deidentify.conversations import opening, sealed
from tasks.deidentify.date_shift import ordinal, shifted
from tasks.deidentify.keyed_random import Keyed, luhn
from tasks.deidentify.wordlists import fold, like, slip

TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]{2,})*")
_ADDRESS_TOKEN = re.compile(r"\d+(?:(?:st|nd|rd|th)\b)?|[^\W\d_]+(?:['’][^\W\d_]+)*", re.I)
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)", re.I)
_HANDLE_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_SECRET_PREFIX = re.compile(
    r"(?:sk|pk|rk)[-_](?:(?:live|test|proj|ant|or|svcacct|admin)[-_])?|gh[pousr]_|github_pat_|glpat-|"
    r"xox[a-z]-|xapp-|hf_|npm_|pypi-|dop_v1_|AKIA|ASIA|AGPA|AROA|AIDA|AIza|ya29\.|GOCSPX-|SG\.|key-|eyJ"
)
_AT = re.compile(r"@(?=[^@]*$)|%40|\s?[\[({]\s?\w+\s?[\])}]\s?|\s+at\s+", re.I)
PHONE_DIGITS = 6


class Surrogates(Keyed):
    """The surrogates of one conversation."""

    def __init__(self, key: bytes, conversation: str) -> None:
        super().__init__(hmac.digest(key, b"conversation\0" + conversation.encode(), "sha256"))
        self.opening = opening(sealed(key, conversation))  # as the rows of datasets name it
        self.words: dict[tuple[str, str], str] = {}  # (pool, folded word) -> surrogate
        self._taken: set[tuple[str, str]] = set()
        self.done: dict[object, str] = {}  # strings of this conversation, already replaced
        self.days = self.number("days", "", 166) + 15
        if self.number("sign", "", 2):
            self.days = -self.days

    def of(self, kind: str, text: str) -> str:
        """The surrogate of a text of this type: the first one, whatever is learnt later."""
        if (kind, text) not in self.done:
            self.done[kind, text] = _MAKERS.get(kind, Surrogates.shape)(self, text)
        return self.done[kind, text]

    def knows(self, text: str) -> bool:
        """Return whether a word of the text has a surrogate already, as a name or in an address."""
        words = [fold(t) for t in TOKEN.findall(text)]
        return any((pool, w) in self.words for w in words for pool in ("name", "place"))

    def word(self, pool: str, word: str, choices: Callable[[str], tuple[str, ...]]) -> str:
        """A word of the pool for a word, never the same for two words, in the same case."""
        folded = fold(word)
        known = self.words.get((pool, folded)) or self._near(pool, folded)
        if known is None:
            names = choices(folded)
            for attempt in range(64):
                known = names[self.number(f"{pool}{attempt}", folded, len(names))]
                if (pool, known) not in self._taken and fold(known) != folded:
                    break
            assert known is not None
            self._taken.add((pool, known))
            self.words[pool, folded] = known
        return like(word, known)

    def _near(self, pool: str, folded: str) -> str | None:
        """The surrogate of a known word that this is a typo of, or the other way round."""
        if len(folded) < 5:
            return None
        for (kind, word), surrogate in self.words.items():
            both = wordlists.is_name(word) and wordlists.is_name(folded)
            if kind == pool and not both and slip(word, folded):
                return surrogate
        return None

    def person(self, text: str) -> str:
        """Another name: given for given; titles and particles kept, initials matched."""
        found = TOKEN.findall(text)
        alone = len(found) == 1
        for token in found:  # before the initials, which follow the names
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
        return self.word("name", token, wordlists.names_for)

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
        known = {w: s for (pool, w), s in self.words.items() if pool == "name"}
        if folded in known:
            return self.name(token)
        for word, surrogate in sorted(known.items(), key=lambda k: -len(k[0])):
            head, found, rest = folded.partition(word)
            initials = len(head) <= 1 and len(rest) <= 1 and any(w[0] in head + rest for w in known)
            if found and (len(word) > 3 or initials):
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
        private = host not in wordlists.word_set("providers") and not host.startswith("example.")
        if private:
            label, dot, top = domain.partition(".")
            known = self.words.get(("name", fold(label)))
            label = (
                like(label, known) if known else self.word("domain", label, wordlists.places_for)
            )
            domain = label + dot + top
        return f"{self.handle(local)}{sign.group() if sign else ''}{domain}"

    def phone(self, text: str) -> str:
        """The same number of the same region with other last digits, however it is written."""
        body = re.split(r"(?i)\s?(?:x|ext\.?)\s?\d+$", text)[0]
        digits = re.sub(r"\D", "", body)
        tail = digits[-PHONE_DIGITS:]
        fresh = digits[: -len(tail)] + self.digits("phone", tail)
        numbers = iter(fresh)
        return re.sub(r"\d", lambda _: next(numbers), body) + text[len(body) :]

    def address(self, text: str) -> str:
        """Another place: words and numbers mapped one by one; kinds of street, states kept."""

        def one(match: re.Match[str]) -> str:
            token = match.group()
            if token[0].isdecimal():
                return self._house(token)
            if len(token) == 1 or fold(token) in wordlists.word_set("address"):
                return token
            if fold(token) in wordlists.STATE_CODES:
                return token
            return self.word("place", token, wordlists.places_for)

        return _ADDRESS_TOKEN.sub(one, text)

    def _house(self, token: str) -> str:
        """The digits of a house, a postal code or a numbered street: 5th becomes 22nd."""
        digits = re.match(r"\d+", token)[0]  # type: ignore[index]
        fresh = self.digits("place", digits, keep=1 if len(digits) == 5 else 0)
        if not _ORDINAL.fullmatch(token):
            return fresh + token[len(digits) :]
        return fresh + like(token[len(digits) :], ordinal(int(fresh)))

    def birth_date(self, text: str) -> str:
        """The date moved by this conversation's offset, written in the same way."""
        return shifted(text, self.days) or self.shape(text)

    def card(self, text: str) -> str:
        """A number with the same issuer that passes the same checksum; the last four coherent."""
        digits = re.sub(r"\D", "", text)
        last = self.last_four(digits[-4:])
        middle = self.digits("card", digits[:-4], keep=4)
        for filler in range(10):
            fresh = middle[:-1] + str(filler) + last
            if luhn(fresh) == luhn(digits):
                break
        numbers = iter(fresh)
        return re.sub(r"\d", lambda _: next(numbers), text)

    def expiry(self, text: str) -> str:
        """Another month of the same year."""
        month = str(self.number("expiry", text, 12) + 1)
        return re.sub(r"^\d+", lambda m: month.zfill(len(m.group())), text)

    def last_four(self, text: str) -> str:
        """The last four of a card: the same here as in its full number."""
        return re.sub(r"\d+", lambda m: self.digits("last", m.group()), text)

    def iban(self, text: str) -> str:
        """An account of the same country with a valid checksum."""
        plain = re.sub(r"[^A-Za-z0-9]", "", text).upper()
        body = self.shaped("iban", plain[4:], plain[4:])
        number = "".join(str(int(c, 36)) for c in body + plain[:2] + "00")
        fresh = iter(f"{plain[:2]}{98 - int(number) % 97:02d}{body}")
        return re.sub(r"[A-Za-z0-9]", lambda m: like(m.group(), next(fresh)), text)

    def ip(self, text: str) -> str:
        """Another address in the same network class; private and loopback addresses are kept."""
        if ":" in text:
            head, _, rest = text.partition(":")
            return f"{head}:{self._hex(rest)}"
        if re.match(r"(?:10|127|0|255|192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01]))\.", text):
            return text
        first, *others = text.split(".")
        return ".".join(
            [first, *(str(self.number("ip", f"{i}{x}", 254) + 1) for i, x in enumerate(others))]
        )

    def mac(self, text: str) -> str:
        """The same maker's prefix, another device."""
        return text[:8] + self._hex(text[8:])

    def _hex(self, text: str) -> str:
        stream = self.stream("hex", text.lower(), len(text))
        swap = zip(text, stream, strict=True)
        return "".join(like(c, f"{b % 16:x}") if c not in ":-./" else c for c, b in swap)

    def secret(self, text: str) -> str:
        """A dead secret of the same shape, its public prefix kept."""
        if text.startswith("-----BEGIN"):
            head, line, rest = text.partition("\n")
            body, end, tail = rest.partition("-----END")
            return head + line + self.shaped("secret", body, body) + end + tail
        match = _SECRET_PREFIX.match(text)
        prefix = match.group() if match else ""
        return prefix + self.shaped("secret", text[len(prefix) :], text)

    def shape(self, text: str) -> str:
        """Letters for letters, digits for digits; separators kept."""
        plain = re.sub(r"[^A-Za-z0-9]", "", text).lower()
        fresh = iter(self.shaped("shape", re.sub(r"[^A-Za-z0-9]", "", text), plain))
        return re.sub(r"[A-Za-z0-9]", lambda _: next(fresh), text)

    def company(self, text: str) -> str:
        """Another organisation; legal forms and ordinary words kept."""

        def one(match: re.Match[str]) -> str:
            token = match.group()
            keep = len(token) < 3 or fold(token) in wordlists.word_set("company")
            return token if keep else self.word("company", token, wordlists.places_for)

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

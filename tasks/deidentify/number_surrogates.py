"""Surrogates of numbers and keys: phones, cards, accounts, addresses of machines, secrets.

Of the same shape, and valid where the original is; `tasks.deidentify.surrogates` adds names.
"""

from __future__ import annotations

import re

from tasks.deidentify.date_shift import shifted
from tasks.deidentify.keyed_random import Keyed, luhn
from tasks.deidentify.wordlists import like

_SECRET_PREFIX = re.compile(
    r"(?:sk|pk|rk)[-_](?:(?:live|test|proj|ant|or|svcacct|admin)[-_])?|gh[pousr]_|github_pat_|glpat-|"
    r"xox[a-z]-|xapp-|hf_|npm_|pypi-|dop_v1_|AKIA|ASIA|AGPA|AROA|AIDA|AIza|ya29\.|GOCSPX-|SG\.|key-|eyJ"
)
PHONE_DIGITS = 6
_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = {name: digit for digit, name in enumerate(_NAMES)} | {"oh": 0}


class Numbers(Keyed):
    """Those of one conversation."""

    def phone(self, text: str) -> str:
        """The same number of the same region with other last digits, however it is written."""
        if not any(c.isdigit() for c in text):
            return self._spoken(text)
        body = re.split(r"(?i)\s?(?:x|ext\.?)\s?\d+$", text)[0]
        digits = re.sub(r"\D", "", body)
        tail = digits[-PHONE_DIGITS:]
        fresh = digits[: -len(tail)] + self.digits("phone", tail)
        numbers = iter(fresh)
        return re.sub(r"\d", lambda _: next(numbers), body) + text[len(body) :]

    def _spoken(self, text: str) -> str:
        """Other digits for spoken ones: `four one five`."""
        words = re.findall(r"\w+", text.lower())
        fresh = self.digits("phone", "".join(str(DIGITS.get(w, 0)) for w in words))
        names = list(DIGITS)
        spoken = iter(zip(words, fresh, strict=True))

        def one(match: re.Match[str]) -> str:
            word, digit = next(spoken)
            return like(match.group(), names[int(digit)]) if word in DIGITS else match.group()

        return re.sub(r"\w+", one, text)

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
        if text[0].isalpha():
            moved = shifted(f"15 {text}", 30 * (self.number("expiry", text, 5) + 1))
            return moved.partition(" ")[2] if moved else text
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

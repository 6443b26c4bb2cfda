"""Letters and digits drawn with an HMAC: the same for a value, unguessable without the key."""

from __future__ import annotations

import hmac


class Keyed:
    """Draws under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def number(self, what: str, value: str, below: int) -> int:
        """A number from 0 to below - 1 for a value."""
        message = f"{what}\0{value}".encode()
        return int.from_bytes(hmac.digest(self._key, message, "sha256")[:8], "big") % below

    def stream(self, what: str, value: str, length: int) -> bytes:
        """Bytes for a value."""
        out = b""
        while len(out) < length:
            message = f"{what}\0{value}\0{len(out)}".encode()
            out += hmac.digest(self._key, message, "sha256")
        return out[:length]

    def digits(self, what: str, value: str, keep: int = 0) -> str:
        """As many digits as `value` has, the first `keep` kept; no new leading zero."""
        stream = self.stream(what, value, len(value))
        out = [
            d if i < keep or (i == 0 and d == "0") else str(b % 9 + 1 if i == 0 else b % 10)
            for i, (d, b) in enumerate(zip(value, stream, strict=True))
        ]
        if "".join(out) == value and len(value) > keep and value != "0":
            out[-1] = str((int(out[-1]) % 9) + 1)
        return "".join(out)

    def shaped(self, what: str, text: str, seed: str) -> str:
        """Other letters for letters and digits for digits, drawn for `seed`."""

        def one(char: str, byte: int) -> str:
            if char.isdigit():
                return str(byte % 10)
            if char.isascii() and char.isalpha():
                letter = chr(97 + byte % 26)
                return letter.upper() if char.isupper() else letter
            return char

        stream = self.stream(what, seed, len(text))
        return "".join(one(c, b) for c, b in zip(text, stream, strict=True))


def luhn(digits: str) -> bool:
    """Return whether a card number passes its checksum."""
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(sum(divmod(2 * int(d), 10)) for d in even)) % 10 == 0

"""Encryption at rest of raw calls: on where `$FLYWHEEL_KEY_AT_REST` has a key, off without one.

The key is 32 bytes in hexadecimal or base64, or the name of a file that holds it, so that a secret
manager may set or mount it. Of several, with spaces or line breaks between them, the first
encrypts and all decrypt. All is AES-256-GCM. A line of a journal becomes one line, appended, read
and torn as a plain one is; a Parquet file is encrypted as Parquet's own standard has it, by a key
of its own that lies in it, encrypted. What is not encrypted is read as it is.

    python -m tasks.core.encryption FILE    # prints the lines of a journal
"""

from __future__ import annotations

import argparse
import base64
import logging
import mmap
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from tasks.core.refused import Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

log = logging.getLogger("flywheel")

VARIABLE = "FLYWHEEL_KEY_AT_REST"
KEY, NONCE = 32, 12  # bytes
_MARK = b'{"encrypted":"'


class Locked(Refused):
    """It is encrypted, and the key is not here."""


class _EncryptedLine(msgspec.Struct):
    """Some bytes: the nonce, what AES-GCM made of them with it, and the name of the key."""

    encrypted: bytes
    key: str


def keys() -> Mapping[str, AESGCM]:
    """The keys by their names, the one that encrypts first; none: nothing is encrypted.

    Raises Refused.
    """
    return _keys(os.environ.get(VARIABLE, "").strip())


@lru_cache
def _keys(setting: str) -> dict[str, AESGCM]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    found = _parsed(setting) or _parsed(_content(setting))
    if setting and not found:
        raise _no_key("it holds none")
    return {sha256(b"flywheel key at rest" + key).hexdigest()[:8]: AESGCM(key) for key in found}


def _parsed(text: str) -> list[bytes]:
    """The keys in a text; none where anything in it is no key."""
    found = [_key(word) for word in text.split()]
    return [key for key in found if key] if all(found) else []


def _key(word: str) -> bytes | None:
    with suppress(ValueError):
        key = bytes.fromhex(word) if len(word) == 2 * KEY else base64.b64decode(word, validate=True)
        return key if len(key) == KEY else None
    return None


def _content(file: str) -> str:
    """What a file holds that the setting names. The setting, a secret, is never shown."""
    try:
        return Path(file).read_text() if file else ""
    except (OSError, ValueError) as error:
        raise _no_key(getattr(error, "strerror", None) or "it is no text") from None


def _no_key(what: str) -> Refused:
    return Refused(
        f"{VARIABLE} is neither a key (32 bytes in hexadecimal or base64, as `openssl rand -hex 32`"
        f" makes one) nor the name of a file of keys ({what})"
    )


def encrypted(data: bytes) -> bytes:
    """Some bytes as one line of JSON; themselves where there is no key."""
    held = keys()
    if not held:
        return data
    name, cipher = next(iter(held.items()))
    nonce = os.urandom(NONCE)
    return msgspec.json.encode(_EncryptedLine(nonce + cipher.encrypt(nonce, data, None), name))


def decrypted(data: bytes) -> bytes:
    """What was encrypted; other bytes, and a torn line, come back as they are.

    Raises Locked without its key, and ValueError where it was changed.
    """
    if not data.startswith(_MARK):
        return data
    try:
        line = msgspec.json.decode(data, type=_EncryptedLine)
    except msgspec.DecodeError:
        return data
    from cryptography.exceptions import InvalidTag

    if (cipher := keys().get(line.key)) is None:
        state = f"which {VARIABLE} does not hold" if keys() else f"and {VARIABLE} is not set"
        raise Locked(f"encrypted with the key {line.key}, {state}")
    try:
        return cipher.decrypt(line.encrypted[:NONCE], line.encrypted[NONCE:], None)
    except InvalidTag:
        raise ValueError("changed since it was encrypted") from None


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file as they were before; those that were changed are left out.

    Raises Locked.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield decrypted(line)
            except Locked as error:
                raise Locked(f"{path} is {error}") from None
            except ValueError as error:
                log.error("%s:%d is left out: it was %s", path, number, error)


def check_key(path: Path) -> None:
    """Raise Locked where the newest whole line of a file was encrypted with a key not held here.

    Who writes on without it would write in plain text what was never to be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = data.rfind(b"\n")
            while end > 0:
                start = data.rfind(b"\n", 0, end) + 1
                line = data[start:end]
                try:
                    if decrypted(line) != line or not line.startswith(_MARK):
                        return
                except Locked as error:
                    raise Locked(f"{path} is {error}") from None
                except ValueError:  # changed, as one before it may not be
                    pass
                end = start - 1  # torn, or changed


class _Wrapping(pe.KmsClient):  # type: ignore[misc]  # pyarrow has no types
    """Wraps the key of each Parquet file as a line is encrypted."""

    def wrap_key(self, key_bytes: bytes, _: str) -> bytes:
        return encrypted(key_bytes)

    def unwrap_key(self, wrapped_key: str, _: str) -> bytes:
        return decrypted(wrapped_key.encode())


_FACTORY, _LOCAL = pe.CryptoFactory(lambda _: _Wrapping()), pe.KmsConnectionConfig()
_WRITING = pe.EncryptionConfiguration(
    VARIABLE, uniform_encryption=True, double_wrapping=False, data_key_length_bits=8 * KEY
)


def parquet_writer(path: Path, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """A writer of a Parquet file, encrypted where there is a key."""
    how = _FACTORY.file_encryption_properties(_LOCAL, _WRITING) if keys() else None
    return pq.ParquetWriter(path, schema, encryption_properties=how, **options)


def parquet_file(source: Path | IO[bytes], name: str = "") -> pq.ParquetFile:
    """A Parquet file, encrypted or not; `name` says which, where `source` is no path.

    Raises Locked, and ValueError where its key was changed.
    """
    how = _FACTORY.file_decryption_properties(_LOCAL, pe.DecryptionConfiguration())
    try:
        return pq.ParquetFile(source, decryption_properties=how)
    except Locked as error:
        raise Locked(f"{name or source} is {error}") from None


def main() -> None:
    """Print the lines of a file as they were before they were encrypted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    try:
        for line in lines(path):
            sys.stdout.buffer.write(line.rstrip(b"\n") + b"\n")
        sys.stdout.flush()
    except BrokenPipeError:  # as of `head`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise SystemExit(f"flywheel: {path} cannot be read: {error.strerror}") from None
    except Refused as error:
        print(f"flywheel: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()

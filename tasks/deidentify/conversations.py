"""Conversations of calls, and the sealed name that its clean calls carry."""

from __future__ import annotations

import hmac

from tasks.core.records import Call, digest, text_of


def conversation_of(call: Call) -> str:
    """Whose surrogates a call shares: its conversation's, or those of the same first user text."""
    if call.conversation:
        return call.conversation
    users = (m for m in call.messages if m.get("role") == "user")
    return "first:" + digest(text_of(next(users, {}).get("content")))


def sealed(key: bytes, conversation: str) -> str:
    """The name of a conversation in clean calls; nobody can make one without the key."""
    body = hmac.digest(key, b"name\0" + conversation.encode(), "sha256").hex()[:16]
    return f"c-{body}-{_seal(key, body)}"


def opening(name: str) -> str:
    """Return what the rows of one conversation have in common, from its sealed name."""
    return digest(name)


def is_sealed(key: bytes, conversation: str) -> bool:
    """Return whether this key de-identified the conversation."""
    start, _, rest = conversation.partition("-")
    body, _, seal = rest.partition("-")
    return start == "c" and hmac.compare_digest(seal.encode(), _seal(key, body).encode())


def _seal(key: bytes, body: str) -> str:
    return hmac.digest(key, b"seal\0" + body.encode(), "sha256").hex()[:16]

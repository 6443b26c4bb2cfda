"""Conversations of calls, and the sealed name that its clean calls carry."""

from __future__ import annotations

import hmac

from tasks.core.records import Call, digest, text_of


def conversation_of(call: Call) -> str:
    """Whose surrogates a call shares: its conversation's, or those of the same first user text."""
    return call.conversation or first_words(call)


def first_words(call: Call) -> str:
    """Return what a conversation begins with, which is told apart by no id that a client gives."""
    users = (m for m in call.messages if m.get("role") == "user")
    return "first:" + digest(text_of(next(users, {}).get("content")))


def sealed(key: bytes, conversation: str) -> str:
    """The name of a conversation in clean calls; nobody can make one without the key."""
    body = hmac.digest(key, b"name\0" + conversation.encode(), "sha256").hex()[:32]
    return f"c-{body}"


def opening(name: str) -> str:
    """Return what the rows of one conversation have in common, from its sealed name."""
    return digest(name)

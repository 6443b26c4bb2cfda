"""Whether a value fits a JSON Schema that a client wrote, which may be meant to stop us.

Patterns run in linear time (RE2), so that `^(a+)+$` costs what `^a+$` does, and a check takes a
bounded number of steps, however often a schema refers to itself. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import msgspec

from tasks.core.records import Json

STEPS = 20_000  # keywords that are looked at in one check: some tenths of a second
_left: ContextVar[list[int]] = ContextVar("left")


class Uncheckable(Exception):  # noqa: N818 - it reads as what the schema is
    """A schema that cannot be read, or not within the steps of a check: one sentence."""


def first_error(schema: Json, value: object) -> Any | None:
    """Return jsonschema's first error, or None where the value fits. Raises Uncheckable."""
    _left.set([STEPS])
    try:
        return next(_validator(msgspec.json.encode(schema)).iter_errors(value), None)
    except Uncheckable:
        raise
    except Exception as problem:  # of a type, a pattern or a $ref that is none
        raise Uncheckable(f"{type(problem).__name__}: {problem}"[:200]) from None


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    from referencing import Registry

    if b'"unevaluatedProperties"' in schema and b'"patternProperties"' in schema:
        raise Uncheckable("unevaluatedProperties beside patternProperties")
    return _checks()(msgspec.json.decode(schema), registry=Registry())  # fetches nothing


@lru_cache(maxsize=1)
def _checks() -> Any:
    """JSON Schema's 2020 draft, counting its steps, with patterns of RE2."""
    from jsonschema import Draft202012Validator, validators

    own = dict(Draft202012Validator.VALIDATORS)
    own |= {"pattern": _pattern, "patternProperties": _pattern_properties}
    own["additionalProperties"] = _beside(own["additionalProperties"])
    return validators.extend(Draft202012Validator, {name: _counted(c) for name, c in own.items()})


Check = Callable[[Any, Any, Any, Json], Iterator[Any] | None]


def _counted(check: Check) -> Check:
    def counted(validator: Any, asked: Any, value: Any, schema: Json) -> Iterator[Any] | None:
        left = _left.get()
        left[0] -= 1
        if left[0] < 0:
            raise Uncheckable(f"it takes more than {STEPS:,} steps")
        return check(validator, asked, value, schema)

    return counted


def _pattern(validator: Any, asked: str, value: Any, _: Json) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(value, "string") and not _found(asked, value):
        yield ValidationError(f"it does not match {asked!r}")


def _pattern_properties(validator: Any, asked: Json, value: Any, _: Json) -> Iterator[Any]:
    if validator.is_type(value, "object"):
        for pattern, inner in asked.items():
            for name in value:
                if _found(pattern, name):
                    yield from validator.descend(value[name], inner, path=name, schema_path=pattern)


def _beside(check: Check) -> Check:
    """`additionalProperties` as it was, told only of the properties that no pattern takes."""

    def beside(validator: Any, asked: Any, value: Any, schema: Json) -> Iterator[Any] | None:
        patterns = schema.get("patternProperties")
        if patterns and validator.is_type(value, "object"):
            value = {k: v for k, v in value.items() if not any(_found(p, k) for p in patterns)}
            schema = {k: v for k, v in schema.items() if k != "patternProperties"}
        return check(validator, asked, value, schema)

    return beside


def _found(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    """RE2's pattern. Raises Uncheckable for what it does not have: look-around, back-references."""
    import re2

    quiet = re2.Options()
    quiet.log_errors = False
    try:
        return re2.compile(pattern, options=quiet)
    except re2.error as error:
        told = error.args[0]
        said = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        raise Uncheckable(f"pattern {pattern[:60]!r}: {said}"[:200]) from None

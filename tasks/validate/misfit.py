"""Whether a tool call's arguments fit the JSON Schema that was declared for them."""

from __future__ import annotations

from tasks.core.records import Json
from tasks.core.schema_check import Uncheckable, first_error


def misfit(value: object, schema: object) -> str:
    """Return where a value breaks a JSON Schema, without the value; empty when it fits.

    A schema that is itself broken, or that points outside itself, judges nothing.
    """
    if not isinstance(schema, dict) or _surely_fits(value, schema):
        return ""
    try:
        error = first_error(schema, value)
        if error is not None and not (_surely_sound(schema) or _is_sound(schema)):
            return ""
    except Uncheckable:
        return ""
    if error is None:
        return ""
    where = ".".join(str(p) for p in error.absolute_path if isinstance(p, int) or len(p) < 40)
    return f"{where or 'the arguments'} break `{error.validator}`"


def _is_sound(schema: Json) -> bool:
    """Return whether a schema is one: what a broken one finds is no fault of the value."""
    from jsonschema import Draft202012Validator, FormatChecker, SchemaError

    try:
        Draft202012Validator.check_schema(schema, FormatChecker(formats=()))
    except (SchemaError, RecursionError):
        return False
    return True


_SIMPLE = frozenset({"type", "properties", "required", "enum", "items", "additionalProperties"})
_TEXTS = frozenset({"description", "title", "$schema"})
_IGNORED = _TEXTS | {"default", "examples"}
_TYPES: dict[str, tuple[type, ...]] = {
    **{"object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,)},
    **{"integer": (int,), "number": (int, float), "null": (type(None),)},
}


def _surely_fits(value: object, schema: object) -> bool:
    """The common case without a validator: True only for plain schemas that the value fits."""
    if not isinstance(schema, dict) or not schema.keys() <= _SIMPLE | _IGNORED:
        return False
    kind, choices = schema.get("type"), schema.get("enum")
    if kind is not None and (not isinstance(kind, str) or type(value) not in _TYPES.get(kind, ())):
        return False
    if choices is not None and (not isinstance(choices, list) or value not in choices):
        return False
    if isinstance(value, dict):
        return _object_fits(value, schema)
    if isinstance(value, list) and "items" in schema:
        return all(_surely_fits(v, schema["items"]) for v in value)
    return True


def _object_fits(value: Json, schema: Json) -> bool:
    properties, needed = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(needed, list):
        return False
    if not all(isinstance(n, str) and n in value for n in needed):
        return False
    if value.keys() - properties.keys() and schema.get("additionalProperties", True) is not True:
        return False
    return all(_surely_fits(v, properties[k]) for k, v in value.items() if k in properties)


def _surely_sound(schema: object) -> bool:
    """The common case without the schema of schemas: True only for plain, well-typed ones."""
    if not isinstance(schema, dict) or not schema.keys() <= _SIMPLE | _IGNORED:
        return isinstance(schema, bool)
    kind, needed = schema.get("type", "object"), schema.get("required", [])
    properties = schema.get("properties", {})
    return (
        isinstance(kind, str)
        and kind in _TYPES
        and all(isinstance(schema.get(name, ""), str) for name in _TEXTS)
        and all(isinstance(schema.get(name, []), list) for name in ("enum", "examples", "required"))
        and all(isinstance(name, str) for name in needed)
        and len(set(needed)) == len(needed)
        and isinstance(properties, dict)
        and all(map(_surely_sound, properties.values()))
        and _surely_sound(schema.get("items", True))
        and _surely_sound(schema.get("additionalProperties", True))
    )

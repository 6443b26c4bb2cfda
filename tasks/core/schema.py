"""JSON Schema from example values: keys in their usual order, closed value sets as enums.

Majority rules: a key, a type or a value that is seen too rarely is a slip and not part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from tasks.core.records import Json

RARE = 0.02  # share under which a key, or a type of value, is a slip
REQUIRED = 0.985  # share of the objects that must carry a required key
MAX_VALUES = 200
CLOSED = 0.985  # share of the values that a closed set must cover
MAX_DEPTH = 12
MAX_FUNCTIONS = 128
MAX_COPIES = 5_000  # objects that references of one schema write out, of a schema that doubles
_DROPPED = ("$defs", "$schema")


def schema_of(values: Sequence[object], depth: int = 0) -> Json:
    """The schema that nearly all `values` follow."""
    kinds = Counter(_kind(value) for value in values)
    if {"integer", "number"} <= kinds.keys():
        kinds["number"] += kinds.pop("integer")
    told = len(values) - kinds["null"]  # how rare is said among the values that are there
    floor = max(1.0, RARE * told) if len(values) >= 20 else 0.0
    kept = [kind for kind, count in kinds.items() if count > floor] or [kinds.most_common(1)[0][0]]
    if depth > MAX_DEPTH:
        return {}
    forms = [_form(kind, [v for v in values if _fits(v, kind)], depth) for kind in sorted(kept)]
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def inline(schema: Json) -> Json:
    """A schema with its local `$ref`s written out, so that it can stand inside another one."""
    result = _inline(schema, schema, 0, [MAX_COPIES])
    assert isinstance(result, dict)  # a schema object stays one
    return result


def call_schema(requests: Sequence[Json], calls: Sequence[Any], spoken: bool) -> Json:
    """The schema of `{"tool_calls": [...]}`; functions that were called, signatures as declared."""
    signatures = _signatures(requests)
    arguments: dict[str, list[object]] = {}
    for call in (c for group in calls for c in group):
        arguments.setdefault(call["name"], []).append(call["arguments"])
    used = sorted(arguments, key=lambda name: (-len(arguments[name]), name))[:MAX_FUNCTIONS]
    forms = [
        _record(
            name={"const": name},
            arguments=inline(signatures[name])
            if signatures.get(name)
            else schema_of(arguments[name]),
        )
        for name in sorted(used)
        if name in signatures or not signatures
    ]
    most = max((len(group) for group in calls), default=1)
    items = forms[0] if len(forms) == 1 else {"anyOf": forms}
    called = _record(tool_calls={"type": "array", "items": items, "minItems": 1, "maxItems": most})
    return {"anyOf": [called, _record(content={"type": "string"})]} if spoken else called


def _signatures(requests: Sequence[Json]) -> dict[str, Json]:
    """Each tool's parameters as they were declared last, by more than a few requests."""
    seen: dict[str, Counter[bytes]] = {}
    for request in requests:
        for tool in request.get("tools") or ():
            function = tool.get("function") or {}
            form = msgspec.json.encode(function.get("parameters") or {})
            forms = seen.setdefault(function.get("name", ""), Counter())
            forms[form] = forms.pop(form, 0) + 1  # the last one that was seen comes last
    return {
        name: msgspec.json.decode(
            [form for form, count in forms.items() if count >= RARE * forms.total()][-1]
        )
        for name, forms in seen.items()
    }


def functions(schema: Json) -> list[Json]:
    """The schema of each call (`name`, `arguments`) that a tools contract allows."""
    called = schema["anyOf"][0] if "anyOf" in schema else schema
    items = called["properties"]["tool_calls"]["items"]
    return list(items.get("anyOf", [items]))


def _inline(node: object, root: Json, depth: int, left: list[int]) -> object:
    if isinstance(node, list):
        return [_inline(item, root, depth, left) for item in node]
    if not isinstance(node, dict):
        return node
    left[0] -= depth > 0
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        target: object = root
        for step in reference.strip("#/").split("/") if reference.strip("#/") else ():
            target = target.get(step, {}) if isinstance(target, dict) else {}
        # A recursive type is left open below this depth, and where it has become too large.
        fits = depth < MAX_DEPTH and left[0] > 0
        return _inline(target, root, depth + 1, left) if fits else {}
    return {k: _inline(v, root, depth, left) for k, v in node.items() if k not in _DROPPED}


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def _fits(value: object, kind: str) -> bool:
    actual = _kind(value)
    return actual == kind or (kind == "number" and actual == "integer")


def _form(kind: str, values: Sequence[Any], depth: int) -> Json:
    if kind == "object":
        return _object(values, depth)
    if kind == "array":
        items = [item for value in values for item in value]
        most = max(len(value) for value in values)
        shape: Json = {"type": "array", "maxItems": 2 * most + 2}
        return {**shape, "items": schema_of(items, depth + 1)} if items else shape
    if kind == "string":
        return _string(values)
    return {"type": kind}


def _string(values: Sequence[str]) -> Json:
    counts = Counter(value for value in values if value)
    told, empty = counts.total(), [""] if "" in values else []  # "" is how some say nothing
    often = sorted(value for value, n in counts.items() if n >= max(2, 0.001 * told))
    covered = sum(counts[value] for value in often)
    if often and len(often) <= MAX_VALUES and covered >= max(CLOSED * told, 3 * len(often)):
        return {"type": "string", "enum": [*empty, *often]}
    return {"type": "string", "maxLength": 4 * max(map(len, values)) + 64}


def _object(values: Sequence[Json], depth: int) -> Json:
    counts = Counter(key for value in values for key in value)
    once = sum(n == 1 for n in counts.values())
    if len(counts) > 40 and once > len(counts) / 2:  # a dictionary: its keys are data
        inner = [item for value in values for item in value.values()]
        return {"type": "object", "additionalProperties": schema_of(inner, depth + 1)}
    keys = _usual_order(values, _usual_keys(counts, len(values)))
    return {
        "type": "object",
        "properties": {
            key: schema_of([value[key] for value in values if key in value], depth + 1)
            for key in keys
        },
        "required": [key for key in keys if counts[key] >= REQUIRED * len(values)],
        "additionalProperties": False,
    }


def _usual_keys(counts: Counter[str], total: int) -> list[str]:
    """Keys that belong; where several keys are optional anyway, one seen twice belongs too."""
    often = [key for key, n in counts.items() if n >= RARE * total]
    optional = sum(counts[key] < REQUIRED * total for key in often)
    if optional < 2:
        return often
    return [key for key, n in counts.items() if n >= 2 or key in often]


def _usual_order(values: Sequence[Json], keys: Sequence[str]) -> list[str]:
    """By the mean relative position of each key; ties by name, so that the order is stable."""
    place: dict[str, list[float]] = {key: [] for key in keys}
    for value in values:
        for position, key in enumerate(value):
            if key in place:
                place[key].append(position / len(value))
    return sorted(keys, key=lambda key: (sum(place[key]) / len(place[key]), key))


def _record(**properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }

"""Kinds of examples that copy: extraction to JSON, normalising, look-ups, SQL.

Used by `bases.synth`.
"""

import json
from random import Random

from bases import values as v
from bases.fields import (
    Example,
    Field,
    chosen,
    dump,
    filled,
    mention,
    noisy_text,
    plain_fields,
    value,
)
from bases.grammar import compiled, filler, odd_key, sentence, styled
from bases.meanings import known
from bases.values import make
from bases.wordlists import faker_words, nouns, pick, words

ASK = compiled(
    "(please |)(extract|get|find|return|give me|pull out|read) "
    "(the |)(fields|keys|values|data|details)"
    "( {keys}| as json: {keys}|: {keys}| {keys} from the (text|message|mail|note))( as json|)(.|)"
)
SHAPE = compiled(
    "(fill in|complete|answer with|use this shape|json only|schema|format|output)(:|) {keys}"
)
HEADS = ("text: ", "message: ", "input: ", "", "", "", "mail: ", '"')


def schema_prompt(rng: Random, keys: list[str], fields: dict[str, Field], text: str) -> str:
    """The wish and the text, in either order; odd keys always come with what they mean."""
    meaning = {k: pick(rng, fields[k].keys) for k in keys}
    odd = any(k.replace("_", " ").replace("-", " ").lower() not in fields[k].keys for k in keys)
    roll = rng.random()
    if odd or roll < 0.15:
        glue = pick(rng, ("\n", ", ", "; "))
        wish = ASK(rng, {"keys": glue.join(f"{k} = {m}" for k, m in meaning.items())})
    elif roll < 0.5:
        wish = SHAPE(
            rng, {"keys": json.dumps(dict.fromkeys(keys, pick(rng, ("", "string", None))))}
        )
    else:
        wish = ASK(rng, {"keys": ", ".join(keys)})
    head = pick(rng, HEADS)
    body = head + text + ('"' if head == '"' else "")
    return f"{body}\n{wish}" if rng.random() < 0.2 else f"{wish}\n{body}"


def extract(rng: Random) -> Example:
    """A text and a wish for some keys; a key that the text lacks is null, empty or left out."""
    fields = chosen(rng, 1 + int(rng.random() * 6))
    data = filled(rng, fields)
    missing = {k for k in data if rng.random() < 0.15} if rng.random() < 0.6 else set()
    text = noisy_text(rng, fields, {k: x for k, x in data.items() if k not in missing})
    prompt = schema_prompt(rng, list(data), dict(fields), text)
    style = rng.random()
    answer: dict[str, object] = {}
    if missing and style < 0.3:
        prompt = pick(rng, ("leave out what is missing. ", "omit unknown keys. ")) + prompt
        answer = {k: x for k, x in data.items() if k not in missing}
    elif missing and style < 0.5:
        prompt = pick(rng, ('"" if missing. ', "empty string for unknown. ")) + prompt
        answer = {k: "" if k in missing else x for k, x in data.items()}
    else:
        answer = {k: None if k in missing else typed(fields, k, x) for k, x in data.items()}
    return Example("extract", (("user", prompt),), dump(rng, answer))


def typed(fields: list[tuple[str, Field]], key: str, text: str) -> object:
    """Counts are numbers in the answer, even where the text has them in words."""
    if dict(fields)[key].maker != "number":
        return text
    return words("counts").index(text) if text in words("counts") else int(text)


def nested(rng: Random) -> Example:
    """The same in groups: {"customer": {"name": ..., "email": ...}, ...}, and lists of items."""
    fields = chosen(rng, 2 + int(rng.random() * 4))
    data = filled(rng, fields)
    outer = [styled(rng, pick(rng, nouns())) for _ in range(1 + int(rng.random() * 2))]
    shape: dict[str, dict[str, str]] = {}
    answer: dict[str, object] = {}
    for i, (key, text) in enumerate(data.items()):
        group = outer[i * len(outer) // len(data)]
        shape.setdefault(group, {})[key] = pick(rng, dict(fields)[key].keys)
        inner = answer.setdefault(group, {})
        assert isinstance(inner, dict)
        inner[key] = typed(fields, key, text)
    wish = SHAPE(rng, {"keys": json.dumps(shape)})
    return Example(
        "nested", (("user", f"{wish}\n{noisy_text(rng, fields, data)}"),), dump(rng, answer)
    )


def listing(rng: Random) -> Example:
    """All values of one type, as a JSON list."""
    field = pick(rng, plain_fields())
    found = [value(rng, field) for _ in range(1 + int(rng.random() * 4))]
    text = pick(rng, (", ", " and ", "; ", "\n- ")).join(found)
    prompt = f"{pick(rng, ('list every', 'all', 'find each'))} {field.keys[0]}: " + mention(
        rng, field, text
    )
    return Example("list", (("user", prompt),), json.dumps(found, ensure_ascii=False))


def any_noun(rng: Random) -> str:
    """A thing."""
    return pick(rng, nouns() if rng.random() < 0.5 else known())


def copying(rng: Random) -> Example:
    """Say again, or look up one row of a small table: what attention has to learn first."""
    if rng.random() < 0.3:
        makers = (sentence, filler, v.address, v.uuid, v.url, v.person, v.order_id)
        text = pick(rng, makers)(rng)
        verb = pick(rng, ("repeat", "copy", "say exactly", "echo", "quote"))
        return Example("copy", (("user", f"{verb}: {text}"),), text)
    rows = {}
    for _ in range(2 + int(rng.random() * 7)):
        key = pick(rng, (odd_key, v.person, v.order_id, any_noun))(rng)
        rows[key] = make(rng, pick(rng, list(v.MAKERS)))
    key, glue = pick(rng, list(rows)), pick(rng, (": ", " = ", " -> ", " | "))
    body = pick(rng, ("\n", "; ")).join(f"{k}{glue}{x}" for k, x in rows.items())
    ask = pick(rng, ("what is {k}?", "look up {k}", "{k}?", "value of {k}")).replace("{k}", key)
    prompt = f"{body}\n{ask}" if rng.random() < 0.7 else f"{ask}\n{body}"
    return Example("copy", (("user", prompt),), rows[key])


def address_parts(rng: Random) -> tuple[str, dict[str, str]]:
    """An address as people write it and its parts, house number apart from street or not."""
    parts = {"street": v.street(rng), "city": v.city(rng), "zip": v.zip_code(rng)}
    if rng.random() < 0.4:
        parts["state"] = pick(rng, faker_words("state_abbr"))
    if rng.random() < 0.3:
        parts["country"] = make(rng, "country")
    tail = " ".join(parts[k] for k in ("state", "zip") if k in parts)
    glue = pick(rng, (", ", "\n", " ", ", "))
    pieces = [parts["street"], parts["city"], tail, parts.get("country", "")]
    if rng.random() < 0.2:
        pieces = [
            parts["street"],
            f"{parts['zip']} {parts['city']}",
            parts.get("state", ""),
            pieces[3],
        ]
    return glue.join(p for p in pieces if p), parts


def normal_address(rng: Random) -> tuple[str, str]:
    """An address and its parts as JSON."""
    text, parts = address_parts(rng)
    if rng.random() < 0.5:
        number, rest = parts.pop("street").split(" ", 1)
        parts = {"house_number": number, "street": rest, **parts}
    if rng.random() < 0.25:
        text = text.lower() if rng.random() < 0.5 else text.upper()
        parts = {k: x.lower() if text.islower() else x.upper() for k, x in parts.items()}
    return f"address as json with {', '.join(parts)}: {text}", json.dumps(parts, ensure_ascii=False)


def split_name(rng: Random) -> tuple[str, str]:
    """A name and its two parts."""
    a, b = v.first(rng), v.last(rng)
    text = f"{a} {b}" if rng.random() < 0.6 else f"{b}, {a}"
    return f"first and last name: {text}", json.dumps({"first": a, "last": b}, ensure_ascii=False)


def cased(rng: Random) -> tuple[str, str]:
    """A text in another letter case."""
    text = pick(rng, (v.person, v.city, v.company, any_noun))(rng)
    how = pick(rng, ("upper case", "lower case", "snake case"))
    done = {"upper case": text.upper(), "lower case": text.lower()}
    return f"{how}: {text}", done.get(how, text.lower().replace(" ", "_"))


def normalise(rng: Random) -> Example:
    """Dates to ISO, times to 24 hours, phones to digits, amounts to number and currency."""
    roll, pair = rng.random(), ("", "")
    if roll < 0.3:
        pair = v.date_pair(rng)
        pair = (f"{pick(rng, ('iso date', 'date', 'YYYY-MM-DD'))}: {pair[0]}", pair[1])
    elif roll < 0.4:
        pair = v.time_pair(rng)
        pair = (f"24h time: {pair[0]}", pair[1])
    elif roll < 0.5:
        pair = v.phone_pair(rng)
        pair = (f"{pick(rng, ('digits of', 'plain phone number'))}: {pair[0]}", pair[1])
    elif roll < 0.62:
        pair = v.amount_pair(rng)
        pair = (f"amount and currency: {pair[0]}", pair[1])
    else:
        maker = pick(rng, (normal_address, normal_address, split_name, cased))
        pair = maker(rng)
    return Example("normalise", (("user", pair[0]),), pair[1])


def sql(rng: Random) -> Example:
    """A wish in words and the columns of a table: SELECT ... FROM ... WHERE ..."""
    table = pick(rng, nouns()).replace(" ", "_").replace("-", "_") + "s"
    some = [pick(rng, plain_fields()) for _ in range(6)]
    pool = {pick(rng, f.keys).replace(" ", "_"): f for f in some}
    columns = list(pool)
    wanted = columns[: 1 + int(rng.random() * 2)]
    where = columns[-1]
    text = value(rng, pool[where]).replace("'", "")
    verb = pick(rng, ("show", "list", "get", "select", "find"))
    ask = f"{verb} {' and '.join(wanted)} of {table} where {where} is {text}"
    query = f"SELECT {', '.join(wanted)} FROM {table} WHERE {where} = '{text}'"
    roll = rng.random()
    if roll < 0.2:
        ask, query = (
            f"how many {table} have {where} {text}",
            query.replace(", ".join(wanted), "COUNT(*)", 1),
        )
    elif roll < 0.45:
        n, way = 1 + int(rng.random() * 50), pick(rng, ("ASC", "DESC"))
        ask += f", {'lowest' if way == 'ASC' else 'highest'} {wanted[0]} first, at most {n}"
        query += f" ORDER BY {wanted[0]} {way} LIMIT {n}"
    prompt = f"table {table}({', '.join(columns)})\n{ask}"
    return Example("sql", (("user", prompt),), query)

"""SQL: whether two queries are the same but for how they are written.

Letter case, spacing, quotes, comments, aliases, `INNER`, the order of what AND, OR and IN connect
and the two sides of a comparison do not matter. A metric only: case and quotes mean different
things to different databases, so no answer is served because of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import Expr

MOST, LOOKED_AT = 0.8, 50  # share of the answers that are queries; how many answers are looked at
_QUERY = re.compile(r"\s*(```\w*\s+)?\(*\s*(select|with|insert|update|delete)\b", re.IGNORECASE)
_FENCE = re.compile(r"^\s*```\w*\s|```\s*$")


def spoken(answers: Sequence[str]) -> bool:
    """Return whether a task's answers are SQL."""
    some = answers[:LOOKED_AT]
    queries = [answer for answer in some if _QUERY.match(answer)]
    return bool(some) and sum(_read(q) is not None for q in queries) >= MOST * len(some)


@lru_cache(maxsize=4096)
def normal(query: str) -> str:
    """The form in which queries are compared; what cannot be read is only freed of its spacing."""
    plain = " ".join(query.split())
    tree = _read(query) if _QUERY.match(query) else None
    if tree is None:
        return plain
    try:
        return _settled(tree).sql(comments=False)
    except Exception:  # what a student writes may break a parser anywhere; it is no match then
        return plain


def _read(query: str) -> Expr | None:
    """The query as a tree, by the first dialect that can read it."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    text = _FENCE.sub("", query)
    for dialect in ("", "mysql", "tsql"):  # "names", `names`, [names]
        try:
            statements = sqlglot.parse(text, dialect=dialect)
        except (SqlglotError, RecursionError):
            continue
        if len(statements) == 1 and statements[0] is not None:
            return statements[0] if dialect else _texts(statements[0])
    return None


def _texts(tree: Expr) -> Expr:
    """Return where many teachers write "text", a database would look for a column of that name."""
    from sqlglot import exp

    for column in list(tree.find_all(exp.Column)):
        if column.this.args.get("quoted") and not column.table:
            column.replace(exp.Literal.string(column.name))
    return tree


def _settled(tree: Expr) -> Expr:
    from sqlglot import exp
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.simplify import simplify

    for name in tree.find_all(exp.Identifier):
        name.set("quoted", False)
        name.set("this", name.name.lower())
    for join in tree.find_all(exp.Join):
        join.set("kind", None if join.kind == "INNER" else join.kind)
    for choice in tree.find_all(exp.In):
        choice.set("expressions", sorted(choice.expressions, key=lambda one: str(one.sql())))
    tree = qualify(
        tree,
        expand_stars=False,
        validate_qualify_columns=False,
        quote_identifiers=False,
        identify=False,
        canonicalize_table_aliases=True,
    )
    if len(list(tree.find_all(exp.Table))) == 1:
        for column in tree.find_all(exp.Column):
            column.set("table", None)
    _unnamed(tree)
    result: Expr = simplify(tree)
    return result


def _unnamed(tree: Expr) -> None:
    """Number the columns of the result, which a query may name as it likes."""
    from sqlglot import exp

    order = tree.args.get("order")
    for place, chosen in enumerate(tree.selects if isinstance(tree, exp.Select) else ()):
        if isinstance(chosen, exp.Alias):
            for column in list(order.find_all(exp.Column)) if order else ():
                if column.name == chosen.alias and not column.table:
                    column.set("this", exp.to_identifier(f"_{place}"))
            chosen.set("alias", exp.to_identifier(f"_{place}"))

"""A bad call is rejected with its reason; a bad batch stops the night or warns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tasks.core import records, stage
from tasks.core.params import Validate
from tasks.core.records import Call, Counts
from tasks.core.stage import Refused
from tasks.validate.checks import Problem, view
from tasks.validate.checks import problem as problem_of
from tasks.validate.misfit import misfit
from tasks.validate.validate import validate

TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "parameters": {
            "type": "object",
            "properties": {"q": {"type": "string"}},
            "required": ["q"],
        },
    },
}
USER = {"role": "user", "content": "where is it?"}


def asks(name: str = "find", arguments: str = '{"q": "it"}', id: str = "c1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call = {"id": id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def call(id: str = "a", *, messages: Any = None, tools: Any = None, **more: Any) -> Call:
    request = {"messages": messages or [USER], **({"tools": tools} if tools else {})}
    reply = more.pop("reply", {"role": "assistant", "content": "here"})
    at = more.pop("at", 1_760_000_000.0)
    more = {"model": "big", "prompt_tokens": 9, "completion_tokens": 1, **more}
    return Call(id=id, at=at, source="log:1", request=request, reply=reply, **more)


def problem(one: Call, params: Validate) -> Problem | None:
    """Why a call may not be learnt from, as validate asks it of a stored row."""
    row = {f.name: getattr(one, f.name) for f in fields(one)}
    return problem_of(
        view({**row, **{k: json.dumps(row[k]) for k in ("request", "reply")}}), params
    )


RESULT = {"role": "tool", "tool_call_id": "c1", "content": "there"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (call(error="rate_limit: slow down"), "error reply"),
        (call(finish_reason="content_filter"), "content filter"),
        (call(reply={"role": "assistant", "content": None, "refusal": "no"}), "refusal"),
        (call(finish_reason="length"), "truncated"),
        (call(finish_reason="incomplete"), "truncated"),
        (call(reply={"role": "assistant", "content": " \n"}), "empty reply"),
        (call(messages=[{"role": "wizard", "content": "x"}]), "roles"),
        (call(messages=[{"role": "assistant", "content": "x"}]), "roles"),
        (call(messages=[USER, RESULT]), "tool pairing"),
        (call(messages=[USER, asks(), RESULT, RESULT]), "tool pairing"),
        (call(messages=[{"role": "user", "content": [IMAGE]}]), "not text"),
        (call(reply=asks(arguments="{oops"), tools=[TOOL]), "arguments not JSON"),
        (call(reply=asks(arguments="[1]"), tools=[TOOL]), "arguments not JSON"),
        (call(reply=asks(arguments='{"q": 1}'), tools=[TOOL]), "arguments off schema"),
        (call(reply=asks(arguments="{}"), tools=[TOOL]), "arguments off schema"),
        (call(reply=asks("lose"), tools=[TOOL]), "undeclared tool"),
        (call(messages=[{"role": "user", "content": "x" * 200_000}]), "too large"),
    ],
)
def test_what_may_not_be_learnt_from_has_a_reason(bad: Call, reason: str) -> None:
    """Each fault has a reason of its own, and its detail holds no message text."""
    found = problem(bad, Validate())
    assert found is not None
    assert found[0] == reason
    assert "where is it" not in found[1]


@pytest.mark.parametrize(
    "good",
    [
        call(),
        call(prompt_tokens=None, completion_tokens=None, at=0.0, model=""),
        call(reply=asks(), tools=[TOOL]),
        call(reply=asks("undeclared")),
        call(messages=[USER, asks(), RESULT], tools=[TOOL]),
        call(messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]),
    ],
)
def test_a_call_is_not_rejected_for_what_logs_leave_out(good: Call) -> None:
    """Missing usage, times, models or tool declarations are normal."""
    assert problem(good, Validate()) is None


def test_a_schema_that_is_broken_or_points_elsewhere_judges_nothing() -> None:
    """A declared schema's own faults are not the call's, and the network is never asked."""
    assert misfit({"q": 1}, {"type": "dict"}) == ""
    assert misfit({"q": 1}, {"$ref": "https://example.org/schema.json"}) == ""
    assert (
        misfit({"q": {"r": 1}}, {"properties": {"q": {"required": ["s"]}}}) == "q break `required`"
    )


def test_only_the_scripts_asked_for_pass() -> None:
    """A text in another script is told by its letters; a few foreign letters do no harm."""
    latin = Validate(scripts=["LATIN"])
    assert problem(call(reply={"role": "assistant", "content": "naïve café, 東"}), latin) is None
    russian = call(messages=[{"role": "user", "content": "где это находится, скажите пожалуйста"}])
    assert problem(russian, latin) == ("language", "CYRILLIC")
    assert problem(russian, Validate()) is None


def night(folder: Path, calls: Iterable[Call], **more: Any) -> Counts:
    records.write(folder / "in/2025-10-09.parquet", calls)
    params = more.pop("params", Validate())
    return validate(folder / "in", folder, params, **more)


def checks(folder: Path) -> dict[str, dict[str, Any]]:
    return {c["name"]: c for c in json.loads((folder / "checks.json").read_bytes())}


def test_good_and_bad_calls_part(tmp_path: Path) -> None:
    """Kept calls are as they came; a rejected one can be taken in again from its raw text."""
    calls = [call("a"), call("b", error="boom"), call("a"), call("c")]
    counts = night(tmp_path, calls)
    assert (counts.kept, counts.dropped) == (2, {"error reply": 1, "duplicate": 1})
    assert list(records.read(tmp_path / "calls.parquet")) == [calls[0], calls[3]]
    bad = next(records.read_rejected(tmp_path / "quarantine.parquet"))
    assert Call(**json.loads(bad.raw)) == calls[1]
    assert (tmp_path / "data_docs/index.html").stat().st_size > 1_000
    assert {c["severity"] for c in checks(tmp_path).values()} == {"warn", "stop"}


def test_students_and_headers_are_nothing_new(tmp_path: Path) -> None:
    """A night's warnings are about new models and prompts, not new names in a header."""

    def one(number: int, **more: Any) -> Call:
        prompt = f"On duty: {'ABCDEFGHIJ'[number % 10] * 3}\nYou sort the messages of a shop."
        asked = [{"role": "system", "content": prompt}, {"role": "user", "content": f"m {number}"}]
        return call(str(number), messages=asked, **more)

    usual = {"model": "teacher-2026-03-01"}  # as the reply names it; the request may name an alias
    night(tmp_path / "one", [one(n, **usual) for n in range(5)])
    served = {"answered_by": "sort-v1-00000000", "model": "sort-v1-00000000"}
    calls = [one(n, **served if n % 2 else usual) for n in range(5, 10)]
    night(tmp_path / "two", calls, history=[tmp_path / "one"])
    assert all(c["success"] for name, c in checks(tmp_path / "two").items() if "new" in name)


def test_a_batch_that_is_mostly_bad_stops_the_night(tmp_path: Path) -> None:
    """Nothing trains on a day of errors; the sentence says what was seen and what was allowed."""
    calls = [call(str(i), error="boom" if i else None) for i in range(10)]
    with pytest.raises(Refused, match=r"stops the night: rejected: 0.9, expected .*0.5"):
        night(tmp_path, calls)
    assert stage.manifest(tmp_path) is None
    assert not checks(tmp_path)["rejected"]["success"]


def test_no_calls_are_nothing_to_validate(tmp_path: Path) -> None:
    """An empty batch is refused in one sentence."""
    with pytest.raises(Refused, match="no calls in"):
        night(tmp_path, [])


def test_a_strange_night_is_warned_of(tmp_path: Path) -> None:
    """Against the trailing week: fewer calls, longer prompts, a new model, stale calls."""
    usual = [call(str(i), messages=[{"role": "user", "content": str(i)}]) for i in range(40)]
    night(tmp_path / "before", usual)
    assert checks(tmp_path / "before").keys().isdisjoint({"volume", "new models"})
    odd = [call(str(i), prompt_tokens=900, model="new") for i in range(5)]
    night(tmp_path / "after", odd, history=[tmp_path / "before"], now=1_770_000_000.0)
    warned = (stage.manifest(tmp_path / "after") or {})["warnings"]
    assert {"volume", "new models", "prompt_tokens drift", "freshness", "repeat"} <= set(warned)
    assert "new tools" not in warned
    night(tmp_path / "same", usual, history=[tmp_path / "before" / stage.MANIFEST])
    assert (stage.manifest(tmp_path / "same") or {})["warnings"] == []


def test_shards_do_not_change_what_is_kept(tmp_path: Path) -> None:
    """One shard or many: the validated calls are the same."""
    calls = [call(str(i), error="boom" if i % 3 == 0 else None) for i in range(30)]
    night(tmp_path / "one", calls)
    for part in range(3):
        rows = calls[part * 10 : part * 10 + 10]
        records.write(tmp_path / f"many/in/2025-10-0{part + 1}.parquet", rows)
    validate(tmp_path / "many/in", tmp_path / "many", Validate())
    one, many = (tmp_path / d / "calls.parquet" for d in ("one", "many"))
    assert one.read_bytes() == many.read_bytes()

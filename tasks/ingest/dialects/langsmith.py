"""LangSmith runs: Parquet bulk export or API JSON; only runs of type `llm` are calls."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import NOTHING, Completion
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is a run."""
    return isinstance(document, dict) and {"run_type", "inputs", "outputs"} <= document.keys()


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one run. Raises ValueError."""
    run = shape.mapping(document, "run")
    if run.get("run_type") != "llm":
        raise ValueError(f"{shape.NOT_A_CALL}: run of type {str(run.get('run_type'))[:60]}")
    extra = _object(run.get("extra"))
    settings, metadata = _object(extra.get("invocation_params")), _object(extra.get("metadata"))
    asked = loads(run.get("inputs"))
    named = first(settings, "model", "model_name") or metadata.get("ls_model_name")
    body = {
        **settings,
        "model": named,
        **(asked if isinstance(asked, dict) else {"messages": asked}),
    }
    start, end = times.seconds(run.get("start_time")), times.seconds(run.get("end_time"))
    given = _answer(run)
    taken, output = finish_and_usage.usage(run)
    yield build(
        source=source,
        request=requests.request(body, body.get("tools") or settings.get("functions")),
        id=run.get("id"),
        at=start or given.at,
        latency_s=times.elapsed(start, end),
        conversation_id=first(metadata, "thread_id", "session_id", "conversation_id"),
        feedback=_feedback(run.get("feedback_stats")),
        **{**given.fields(), "tokens": (taken, output) if taken or output else given.tokens},
    )


def _object(value: object) -> Json:
    decoded = loads(value)
    return decoded if isinstance(decoded, dict) else {}


def _answer(run: Json) -> Completion:
    if run.get("error") and not run.get("outputs"):
        return Completion(reply=dict(NOTHING), error=str(run["error"])[:500])
    return replies.read(run.get("outputs"))


def _feedback(raw: object) -> float | None:
    """The mean of the scores, where there is one."""
    scores = [
        score
        for one in _object(raw).values()
        if isinstance(one, dict) and (score := shape.real(one.get("avg"))) is not None
    ]
    return sum(scores) / len(scores) if scores else None

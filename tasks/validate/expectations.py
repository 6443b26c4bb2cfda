"""The Great Expectations suite about one night's batch of calls, and its Data Docs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from tasks.core.params import Validate
from tasks.core.records import Json
from tasks.validate.batch import STUDENT, Batch, Profile

_SEVERITY = {"stop": "critical", "warn": "warning"}
LIMITS = {"at least": "min_value", "at most": "max_value"}
Rule = tuple[str, str, Any]  # (name, severity, expectation)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation about the batch, and how it went."""

    name: str
    expectation: str
    severity: str
    success: bool
    expected: Json
    observed: Any


def sentence(check: Check) -> str:
    """Return what was seen and what was expected, for people."""
    shown = _time if check.name in ("freshness", "progress") else "{:,.6g}".format
    limits = {word: check.expected.get(name) for word, name in LIMITS.items()}
    bounds = [f"{word} {shown(limit)}" for word, limit in limits.items() if limit is not None]
    if "mostly" in check.expected:
        bounds.append(f"at most {1 - check.expected['mostly']:.0%}")
    seen = check.observed if isinstance(check.observed, str | None) else shown(check.observed)
    return f"{check.name}: {seen or 'nothing'}, expected {' and '.join(bounds)}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _rules(params: Validate, week: Sequence[Profile], now: float | None) -> Iterator[Rule]:
    """The suite: what holds for any night, then what a week of nights says about this one."""
    import great_expectations.expectations as gxe

    yield "calls", "stop", gxe.ExpectTableRowCountToBeBetween(min_value=1)
    limit = params.max_rejected
    yield "rejected", "stop", gxe.ExpectColumnMeanToBeBetween(column="rejected", max_value=limit)
    for name, limit in (("error", params.max_errors), ("repeat", params.max_repeats)):
        yield name, "warn", gxe.ExpectColumnMeanToBeBetween(column=name, max_value=limit)
    for name in ("at", "model", "prompt_tokens", "completion_tokens"):
        rule = gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=params.complete)
        yield f"{name} stated", "warn", rule
    for name in ("prompt_tokens", "completion_tokens"):
        within = {"min_value": 0, "max_value": params.max_tokens}
        yield f"{name} range", "warn", gxe.ExpectColumnValuesToBeBetween(column=name, **within)
    if now is not None:
        oldest = now - params.max_age_hours * 3600
        yield "freshness", "warn", gxe.ExpectColumnMaxToBeBetween(column="at", min_value=oldest)
    if week:
        yield from _trailing(params, week)


def _trailing(params: Validate, week: Sequence[Profile]) -> Iterator[Rule]:
    import great_expectations.expectations as gxe

    usual = median(p.calls for p in week)
    within = {"min_value": int(usual / params.volume), "max_value": int(usual * params.volume) + 1}
    yield "volume", "warn", gxe.ExpectTableRowCountToBeBetween(**within)
    newest = max(p.newest for p in week)
    yield "progress", "warn", gxe.ExpectColumnMaxToBeBetween(column="at", min_value=newest)
    for name in ("prompt_tokens", "completion_tokens"):
        numbers = [v for p in week if (v := getattr(p, name)) is not None]
        if numbers:
            low, high = median(numbers) / params.drift, median(numbers) * params.drift
            rule = gxe.ExpectColumnMedianToBeBetween(column=name, min_value=low, max_value=high)
            yield f"{name} drift", "warn", rule
    for column, field_ in (("model", "models"), ("tools", "tools"), ("system", "systems")):
        seen = sorted({STUDENT, *(v for p in week for v in getattr(p, field_))})
        rule = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=seen, mostly=1 - params.new)
        yield f"new {field_}", "warn", rule


def check(
    batch: Batch, docs: Path, params: Validate, week: Sequence[Profile], now: float | None
) -> list[Check]:
    """Run the suite in a context that lives in memory only, and build its Data Docs."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    for name in ("", ".data_context.types.base"):  # the second sets its own level when imported
        logging.getLogger(f"great_expectations{name}").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    _site(context, docs)
    data = context.data_sources.add_pandas("calls").add_dataframe_asset("calls")
    suite = gx.ExpectationSuite(name="night")
    for name, severity, rule in _rules(params, week, now):
        rule.meta = {"check": name, "severity": severity}
        rule.severity = _SEVERITY[severity]
        suite.add_expectation(rule)
    suite = context.suites.add(suite)
    night = gx.ValidationDefinition(
        name="night", data=data.add_batch_definition_whole_dataframe("night"), suite=suite
    )
    build = gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["docs"])
    night = context.validation_definitions.add(night)
    checkpoint = gx.Checkpoint(name="night", validation_definitions=[night], actions=[build])
    run = context.checkpoints.add(checkpoint).run({"dataframe": _frame(batch)})
    (result,) = run.run_results.values()
    return sorted((_outcome(one) for one in result.results), key=lambda c: (c.severity, c.name))


def _frame(batch: Batch) -> Any:
    """The columns that the expectations are about: some tens of bytes a call."""
    import pandas as pd

    numbers = ("at", "prompt_tokens", "completion_tokens", "rejected", "error")
    names, labels = ("model", "tools", "system"), batch.labels
    columns = {name: np.asarray(getattr(batch, name)) for name in numbers}
    columns["repeat"] = batch.repeats()
    frame = pd.DataFrame(columns)
    for name in names:
        frame[name] = pd.Categorical.from_codes(np.asarray(getattr(batch, name)), labels)
    return frame


def _site(context: Any, folder: Path) -> None:
    """Data Docs as plain HTML files in `folder`."""
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
    context.add_data_docs_site(
        site_name="docs",
        site_config={
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": store,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )


def _outcome(result: Any) -> Check:
    """One expectation's result as plain JSON."""
    config = result.expectation_config
    observed = result.result.get("observed_value")
    if observed is None and "unexpected_percent" in result.result:
        observed = f"{result.result['unexpected_percent'] or 0:.2f} % unexpected"
    skipped = ("batch_id", "column")
    return Check(
        name=config.meta["check"],
        expectation=config.type,
        severity=config.meta["severity"],
        success=bool(result.success),
        expected={k: v for k, v in config.kwargs.items() if k not in skipped},
        observed=observed if isinstance(observed, str | None) else round(float(observed), 6),
    )

"""How well tasks are found in a real mix of traffic, beside four other ways; and what it saves.

    python -m benchmarks.cluster [--data ../shared/data/mixes/visible] [--no-peers]

Reads `<data>.jsonl.gz` with its labels blanked; `<data>.truth.jsonl.gz` says what each call really
was. Measures the clustering with and without system prompts (V-measure and adjusted Rand index by
workload, families by source), ids from night to night, the router, how much shorter a student's
text is than the prompt, and whether documents of many layouts under one prompt are one task. The
last line is one JSON object; exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.layouts import streams
from benchmarks.routing import router
from tasks.cluster.cluster import cluster
from tasks.cluster.discover import discover, mark_routable
from tasks.cluster.signatures import system_text, user_text
from tasks.cluster.template_mining import mine
from tasks.core import records
from tasks.core.contract import answer_of
from tasks.core.params import Cluster
from tasks.core.records import CleanCall, Json, digest
from tasks.core.task import load
from tasks.students.minilm import embed

DATA = Path(os.environ.get("FLYWHEEL_EVAL_DATA") or Path(__file__).parents[1] / "../shared/data")
DAY = 86_400
BARS = {
    "V by workload": 0.92,
    "V by workload, no system prompts": 0.90,
    "V of families by source": 0.98,
    "calls that keep their id": 0.98,
    "router agrees": 0.98,
    "later calls that are routed": 0.85,
    "split tasks whose own template comes first": 0.95,
    "later calls that match their template": 0.999,
    "edits that are noticed": 1.0,
    "streams of one program that are one task": 1.0,
}
STREAM = 1_200  # calls of each stream
LEAST = 40  # calls of a group
Truth = dict[str, Json]
Scores = dict[str, float]


def read(path: Path) -> list[CleanCall]:
    """The calls of a mix; nothing in them says which task they are of."""
    calls = []
    with gzip.open(f"{path}.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            record = json.loads(line)
            choice = record["response"]["choices"][0]
            call = CleanCall(
                id=record["response"]["id"],
                at=datetime.fromisoformat(record["timestamp"]).timestamp(),
                source=f"{path.name}:{number}",
                request=record["request"],
                reply=choice["message"],
                finish_reason=choice["finish_reason"],
            )
            calls.append(call)
    return calls


def true_tasks(path: Path) -> Truth:
    """Return what each call is, by its id."""
    with gzip.open(f"{path}.truth.jsonl.gz", "rt") as lines:
        return {row["id"]: row for row in map(json.loads, lines)}


def bare(call: CleanCall) -> CleanCall:
    """The call without its system prompt."""
    told = ("system", "developer")
    messages = [m for m in call.messages if m.get("role") not in told]
    return replace(call, request={**call.request, "messages": messages})


def scores(truth: Sequence[str], found: Sequence[str]) -> Scores:
    """Homogeneity, completeness, V-measure, adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score, homogeneity_completeness_v_measure

    h, c, v = homogeneity_completeness_v_measure(truth, found)
    return {"homogeneity": h, "completeness": c, "V": v, "ARI": adjusted_rand_score(truth, found)}


def night(calls: Sequence[CleanCall], home: Path, previous: Path | None = None) -> Path:
    """Run the hop on some calls; the folder that it made."""
    home.mkdir(parents=True)
    records.write(home / "calls.parquet", calls, records.CLEAN)
    cluster([home / "calls.parquet"], home, Cluster(), previous=previous)
    return home


def assigned(home: Path) -> dict[str, str]:
    """Return which call is whose."""
    table = pq.read_table(home / "assignment.parquet")
    return dict(zip(table["call_id"].to_pylist(), table["task_id"].to_pylist(), strict=True))


def ours(calls: Sequence[CleanCall], home: Path, truth: Truth) -> Scores:
    """The hop's figures; calls of no task count as one cluster of their own."""
    start = time.perf_counter()
    task_of = assigned(night(calls, home))
    seconds = time.perf_counter() - start
    family_of = {task.id: task.family for task in load(home)}
    found = [task_of.get(call.id, "") for call in calls]
    families = [family_of.get(task, "") for task in found]
    by_source = scores([truth[c.id]["source"] for c in calls], families)
    return scores([truth[c.id]["workload"] for c in calls], found) | {
        "families by source": by_source["V"],
        "tasks": len(family_of),
        "of no task": sum(task not in family_of for task in found) / len(calls),
        "seconds": seconds,
    }


def peers(calls: Sequence[CleanCall], truth: Truth) -> dict[str, Scores]:
    """The usual ways: a hash of the system prompt, k-means or HDBSCAN of words or meaning."""
    from sklearn.cluster import HDBSCAN, KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    workloads = [truth[c.id]["workload"] for c in calls]
    texts = [f"{system_text(c.request)}\n{user_text(c.request)}" for c in calls]
    table = TfidfVectorizer(max_features=20_000, sublinear_tf=True).fit_transform(texts)
    points = TruncatedSVD(50, random_state=0).fit_transform(table)
    ways: dict[str, Callable[[], Sequence[Any]]] = {
        "hash of the system prompt": lambda: [digest(system_text(c.request)) for c in calls],
        "TF-IDF + k-means, true k": lambda: KMeans(
            len(set(workloads)), n_init=3, random_state=0
        ).fit_predict(points),
        "TF-IDF + HDBSCAN": lambda: HDBSCAN(min_cluster_size=40).fit_predict(points),
        "MiniLM + HDBSCAN": lambda: HDBSCAN(min_cluster_size=40).fit_predict(embed(texts)),
    }
    return {name: scores(workloads, [str(x) for x in way()]) for name, way in ways.items()}


def identity(calls: Sequence[CleanCall], home: Path) -> Scores:
    """The share of calls that keep their id from one night to the next, window growing."""
    first = calls[0].at // DAY
    days = sorted({c.at // DAY - first for c in calls})
    before, task_of = None, dict[str, str]()
    kept = total = 0
    least = 1.0
    for day in days[2:]:
        window = [c for c in calls if c.at // DAY - first <= day]
        before = night(window, home / f"{day:.0f}", before)
        now = assigned(before)
        both = now.keys() & task_of.keys()
        same = sum(now[i] == task_of[i] for i in both)
        kept, total = kept + same, total + len(both)
        least = min(least, same / len(both)) if both else least
        task_of = now
    return {"keep their id": kept / max(1, total), "worst night": least}


def compression(calls: Sequence[CleanCall], truth: Truth) -> dict[str, Scores]:
    """Templates of the first week on the second: matched, exact, shorter; and edits noticed."""
    groups: defaultdict[str, list[CleanCall]] = defaultdict(list)
    for call in calls:
        groups[truth[call.id]["source"].split("/")[0]].append(call)
    middle = calls[0].at + 7 * DAY
    table = {}
    for source, some in sorted(groups.items()):
        early = [c for c in some if c.at < middle]
        template = mine(
            [c.request for c in early],
            [answer_of(c.reply) for c in early],
            [c.at for c in early],
        )
        later = [c for c in some if c.at >= middle]
        start = time.perf_counter()
        pairs = [(c, template.payload(c.request)) for c in later]
        micros = (time.perf_counter() - start) / len(later) * 1e6
        matched = [(c, p) for c, p in pairs if p is not None]
        exact = sum(template.fill(p) == c.messages for c, p in matched)
        before = sum(len(json.dumps(c.messages, ensure_ascii=False)) for c, _ in matched)
        after = sum(len(template.prompt(p)) for _, p in matched)
        table[source] = {
            "matched": len(matched) / len(later),
            "exact": exact / max(1, len(matched)),
            "times shorter": before / max(1, after),
            "noticed": _noticed(template, [c for c, _ in matched[:5]]),
            "µs": micros,
        }
    return table


def programs(count: int) -> dict[str, Scores]:
    """Streams of documents of 30 layouts under one prompt: how many tasks, and what is left out."""
    found = {}
    for name, calls in streams(count):
        groups = [g for g in discover(calls, LEAST, 0) if len(g.ids) >= LEAST]
        mark_routable(groups)
        found[name] = {
            "tasks": len(groups),
            "largest": max((len(g.ids) for g in groups), default=0) / count,
            "routable": sum(len(g.ids) for g in groups if g.routable) / count,
        }
    return found


def _noticed(template: Any, calls: Sequence[CleanCall]) -> float:
    """The share of one-word edits of the longest constant after which calls do not match."""
    patterns = [p for head in template.heads for p in head.patterns] + list(template.first)
    longest = max((c for p in patterns for c in p.constants), key=len, default="")
    spans = [match.span() for match in re.finditer(r"[A-Za-z]+", longest)][:200]
    noticed = total = 0
    for call in calls:
        for start, end in spans:
            edited = f"{longest[:start]}changed{longest[end:]}"
            body = json.dumps(call.request).replace(
                json.dumps(longest)[1:-1], json.dumps(edited)[1:-1]
            )
            total += 1
            noticed += template.payload(json.loads(body)) is None
    return noticed / total if total else 1.0


def show(title: str, rows: dict[str, Scores]) -> None:
    """Print one table."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table("", *columns, title=title, title_justify="left")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[c]:.3f}" if c in row else "" for c in columns))
    Console(width=140).print(table)


def main() -> None:
    """Measure, print, and compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA / "mixes/visible", help="a mix, without .jsonl.gz"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the other ways out")
    chosen = parser.parse_args()
    calls, truth = read(chosen.data), true_tasks(chosen.data)
    without = [bare(call) for call in calls]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        found = {"tasks.cluster": ours(calls, home / "with", truth)}
        blind = {"tasks.cluster": ours(without, home / "without", truth)}
        if not chosen.no_peers:
            found |= peers(calls, truth)
            blind |= peers(without, truth)
        routed = router(calls, assigned(home / "with"), load(home / "with"), LEAST)
        kept = identity(calls, home / "nights")
    shorter, streamed = compression(calls, truth), programs(STREAM)
    show("with system prompts, by workload", found)
    show("without system prompts", blind)
    show("router and identity", {"templates": {**routed, **kept}})
    show("payloads: templates of days 1-7 on days 8-14", shorter)
    show("one program, documents of 30 layouts", streamed)
    whole = [row["tasks"] == 1 and row["routable"] == 1 for row in streamed.values()]
    stable = [row for row in shorter.values() if row["matched"] > 0.9]
    figures = {
        "V by workload": found["tasks.cluster"]["V"],
        "V by workload, no system prompts": blind["tasks.cluster"]["V"],
        "V of families by source": found["tasks.cluster"]["families by source"],
        "calls that keep their id": kept["keep their id"],
        "router agrees": routed["agrees"],
        "later calls that are routed": routed["routed"],
        "split tasks whose own template comes first": routed["own first"],
        "later calls that match their template": min(row["matched"] for row in stable),
        "edits that are noticed": min(row["noticed"] for row in stable),
        "streams of one program that are one task": sum(whole) / len(whole),
    }
    missed = [name for name, bar in BARS.items() if figures[name] < bar]
    tables = {"with": found, "without": blind, "payloads": shorter, "programs": streamed}
    print(json.dumps({**{name: round(float(v), 4) for name, v in figures.items()}, **tables}))
    if missed:
        sys.exit(f"below the bar: {', '.join(missed)}")


if __name__ == "__main__":
    main()

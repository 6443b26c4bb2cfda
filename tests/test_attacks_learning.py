"""Clients steer neither what is learned nor what is private: only what the gateway knows counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from test_dataset import night, one, parts
from traffic import call, tickets, truth, visible

from tasks.core.params import Deidentify, load
from tasks.core.records import CALLS, Call, CleanCall, read_clean, read_rejected, write
from tasks.core.rows import Candidate, Row
from tasks.core.stage import manifest
from tasks.dataset import clients, steering
from tasks.deidentify.call_texts import saying
from tasks.deidentify.deidentify import deidentify
from tasks.ingest.dialects import journal, quarantine
from tasks.report.nights import nights

KEY = b"k" * 32
LINE = "Best regards\nPractice Weber, office 030 1234567, office@weber-praxis.de"
FORCED = {"logit_bias": {"1734": 100}}
STEERED = [
    FORCED,
    {"temperature": 2},
    {"presence_penalty": 1.5},
    {"model": "tiny"},
    {"guided_choice": ["refund"]},
    {"seed": 7},
    {"stop": ["{"]},
]


def raw(number: int, text: str, **more: object) -> Call:
    """One raw call."""
    made = call(number, "Answer the question of the customer.", text, "ok")
    same = {name: getattr(made, name) for name in CALLS.names}
    return Call(**{**same, **more})


def cleaned(folder: Path, calls: list[Call]) -> list[CleanCall]:
    """What de-identification makes of them."""
    write(folder / "raw.parquet", calls)
    params = Deidentify(ner="none", probe=0)
    deidentify(folder / "raw.parquet", folder, params, key=KEY)
    return list(read_clean(folder / "calls.parquet"))


def text_of(found: CleanCall) -> str:
    return str(found.request["messages"][-1]["content"])


def test_twenty_conversations_of_one_client_make_no_boilerplate(tmp_path: Path) -> None:
    """His line is replaced; one that two clients say as often is everybody's."""
    own = [raw(n, f"question {n}\n{LINE}", key="mallory", conversation=f"m{n}") for n in range(40)]
    other = [raw(100 + n, f"what about {n}", key="ada", conversation=f"a{n}") for n in range(40)]
    (tmp_path / "a").mkdir()
    found = cleaned(tmp_path / "a", [*own, *other])
    assert not [c for c in found if "office@weber-praxis.de" in text_of(c)]
    shared = [replace(c, key=("mallory", "ada")[n % 2]) for n, c in enumerate(own)]
    (tmp_path / "b").mkdir()
    found = cleaned(tmp_path / "b", [*shared, *other])
    assert len([c for c in found if "office@weber-praxis.de" in text_of(c)]) == 40


def test_ids_make_no_conversations(tmp_path: Path) -> None:
    """The same words under forty ids are one conversation, whoever else there is."""
    own = [raw(n, f"hello\n{LINE}", conversation=f"m{n}") for n in range(40)]
    assert "office@weber-praxis.de" not in text_of(cleaned(tmp_path, own)[0])


def test_the_template_of_a_single_client_keeps_its_names(tmp_path: Path) -> None:
    """Where nobody else calls, what stands in twenty of his conversations is his program's."""
    own = [raw(n, f"question {n}\n{LINE}", key="app", conversation=f"m{n}") for n in range(20)]
    assert "office@weber-praxis.de" in text_of(cleaned(tmp_path, own)[0])


def test_hint_and_model_are_de_identified(tmp_path: Path) -> None:
    """They are a client's words as all others are; a model's name stays one."""
    told = {"hint": "for mia.li@gmail.com", "model": "ask +49 30 1234567"}
    (found,) = cleaned(tmp_path, [raw(1, "hello", **told, request={**_asked(), "model": "to mia.li@gmail.com"})])  # fmt: skip  # noqa: E501
    assert "mia.li" not in found.hint + found.request["model"]
    assert "1234567" not in found.model


def _asked() -> dict[str, object]:
    return dict(call(1, "Answer.", "hello", "ok").request)


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-2024-08-06", "gpt-3.5-turbo-0125", "claude-3-5-sonnet-20241022", "o3-mini"),
        *("us.anthropic.claude-sonnet-4-20250514-v1:0", "meta-llama/Llama-3.1-8B-Instruct"),
        *("gemini-2.5-flash", "Qwen/Qwen2.5-72B-Instruct", "ft:gpt-4o-mini:acme:routing:9xY"),
        *("mistral-large-2411", "amazon.nova-lite-v1:0", "google/gemma-2-27b-it", "prod-large"),
    ],
)
def test_names_of_models_stay(model: str) -> None:
    assert not saying(model)


def test_steered_calls_are_not_learned(tmp_path: Path) -> None:
    """They are counted with a reason of their own, and kept aside."""
    usual = [_with(c, {"model": "large", "temperature": 0.2}) for c in tickets(160)]
    odd = list(tickets(6 * len(STEERED), seed=9, start=900))
    steered = [_with(c, {"model": "large", **STEERED[n // 6]}) for n, c in enumerate(odd)]
    out, counts = night(tmp_path, [*usual, *steered])
    assert counts.dropped[steering.MODEL] == 6
    assert counts.dropped[steering.OPTIONS] == 6 * len(STEERED) - 6
    reasons = (steering.MODEL, steering.OPTIONS)
    aside = {r.id for r in read_rejected(out / "quarantine.parquet") if r.reason in reasons}
    assert aside == {c.id for c in steered}


def steered(some: list[Candidate]) -> dict[str, str]:
    """Why calls of a task are not learned from, by id."""
    usual = steering.usual(some)
    reasons = ((one.row.id, steering.unusual(one.settings, usual)) for one in some)
    return {name: reason for name, reason in reasons if reason}


def _with(one: CleanCall, more: dict[str, object]) -> CleanCall:
    return replace(one, request={**one.request, **more})


@pytest.mark.parametrize(
    "asked",
    [
        [{}],
        [{"temperature": 0.2}],
        [{"temperature": 0}, {"temperature": 0.7}, {}],
        [{"model": "a"}, {"model": "b"}],
        [{"model": "a"}] * 4 + [{"model": "b"}],
        [{"seed": 1, "stop": ["\n"], "model": "m"}],
        [FORCED],
        [{"temperature": 1.3}],
        [{"top_p": 0.1, "max_tokens": 30, "user": "u", "stream": True, "reasoning_effort": "low"}],
    ],
)
def test_what_a_team_does_by_design_is_learned(asked: list[dict[str, object]]) -> None:
    """No options, the same ones everywhere, two models: nothing is left out."""
    several = [_candidate(n, asked[n % len(asked)]) for n in range(100)]
    assert not steered(several)


@pytest.mark.parametrize("asked", STEERED[:3] + STEERED[4:], ids=str)
def test_among_calls_without_options_one_with_some_is_steered(asked: dict[str, object]) -> None:
    """A few calls that force words do not make that usual, where no other call has an option."""
    several = [_candidate(n, asked if n < 4 else {}) for n in range(100)]
    assert steered(several) == dict.fromkeys(["c0", "c1", "c2", "c3"], steering.OPTIONS)


def test_models_that_the_gateway_replaces_say_nothing() -> None:
    """Where every client names another one, none is the task's."""
    assert not steered([_candidate(n, {"model": f"m{n}"}) for n in range(100)])


def test_what_a_student_answers_is_usual_all_the_same() -> None:
    """Few of its calls come to the teacher; each audited one stands for those that did not."""
    served = [_candidate(n, {"model": "large"}) for n in range(6)]
    weighed = [replace(c, row=replace(c.row, weight=15.0)) for c in served]
    odd = [_candidate(100 + n, {"model": "tiny", "temperature": 2}) for n in range(7)]
    assert set(steered([*weighed, *odd])) == {c.row.id for c in odd}


def test_nobody_knows_what_is_usual_without_calls() -> None:
    """Then only what forces words is unusual."""
    assert not steering.usual([])
    asked = steering.settings({"model": "m", "seed": 7})
    assert not steering.unusual(asked, None)
    assert steering.unusual([*asked, "temperature"], None) == steering.OPTIONS


def _candidate(number: int, asked: dict[str, object], client: str = "") -> Candidate:
    row = Row(f"c{number}", float(number), "", f"p{number}", "a", 1.0)
    return Candidate(row, client=client, settings=steering.settings(asked))


def test_honest_calls_are_not_left_out() -> None:
    """Less than 0.5 % of the real sources' calls, by their true tasks."""
    known, found = truth(), Counter[str]()
    tasks: dict[str, list[Candidate]] = {}
    for seen in visible():
        row = Row(seen.id, seen.at, "", "", "", 1.0)
        made = Candidate(row, settings=steering.settings(seen.request))
        tasks.setdefault(str(known[seen.id].get("workload")), []).append(made)
    for some in tasks.values():
        found.update(steered(some).values())
    assert found.total() < 0.005 * sum(map(len, tasks.values()))


def test_one_clients_share_of_a_task_is_capped_and_shown(tmp_path: Path) -> None:
    """Who sends nine tenths of a task's calls has at most his share of the training rows."""
    sent = [replace(c, key="ada" if n % 10 == 0 else "bob") for n, c in enumerate(tickets(600))]
    out, counts = night(tmp_path / "nights" / "2026-03-02", sent)
    train = Counter(sent[int(row.id[1:])].key for row in parts(one(out))["train"])
    assert train["bob"] <= max(clients.ENOUGH, 4 * train["ada"] + 4)
    assert counts.dropped[clients.REASON] > 20
    told = manifest(out)
    assert told
    assert told["tasks"][one(out).name]["clients"] == {"bob": 0.9, "ada": 0.1}
    (shown,) = nights(tmp_path)[-1].tasks
    assert shown.client == "90% from bob"


def test_a_client_alone_and_callers_without_keys_are_not_capped() -> None:
    """There is nobody whose share it would be, or nothing to tell them apart by."""
    for name in ("app", ""):
        assert not clients.above([_candidate(n, {}, name) for n in range(900)], 0.5)
    assert not clients.shares([_candidate(1, {})])
    few = [_candidate(n, {}, "a" if n else "b") for n in range(clients.ENOUGH)]
    assert not clients.above(few, 0.5)
    assert load().dataset.client_share == 0.8


def test_the_key_is_the_gateways_word_alone() -> None:
    """What a caller calls itself is no key, and calls of earlier releases have none."""
    line = {"v": 1, "id": "a", "at": 1.0, "request": _asked(), "reply": {"content": "x"}}
    told = {**line, "client": "root", "key": None}
    assert [c.key for c in journal.parse(told, "s")] == [""]
    assert [c.key for c in journal.parse(line | {"key": "ada"}, "s")] == ["ada"]
    kept = msgspec.to_builtins(raw(1, "hello"))
    assert [c.key for c in quarantine.parse(kept, "s")] == [""]
    del kept["key"]
    assert quarantine.sniff(kept)

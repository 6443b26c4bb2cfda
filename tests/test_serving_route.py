"""Requests reach the student of their task, and nothing else does."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import served

from serving.route import NO_TASK, PROMPT_CHANGED, RouteFile, Router
from tasks.core.stage import Refused
from tasks.core.template import Template


@pytest.fixture(scope="module")
def router() -> Router:
    return Router([served.route("route"), served.route("triage"), served.route("address")])


@pytest.mark.parametrize("kind", ["route", "triage", "address"])
def test_a_request_finds_the_route_of_its_task(router: Router, kind: str) -> None:
    """Unseen requests of a task, with other ids, dates and names, match its template."""
    for request in served.requests(kind, 20, seed=5):
        match = router.find(request)
        assert match is not None
        assert match.route.task.name == kind
        assert match.prompt == request["messages"][-1]["content"]


def test_the_student_does_not_read_the_header(router: Router) -> None:
    """The request id, the date and the agent on duty are noise and left out of the prompt."""
    request = served.requests("route", 1, seed=5)[0]
    assert "agent on duty" in request["messages"][0]["content"]
    match = router.find(request)
    assert match is not None
    assert "duty" not in match.prompt


def test_an_edited_prompt_has_changed(router: Router) -> None:
    """One word edited in the system prompt sends the call to the teacher, and says why."""
    request = served.requests("triage", 1, seed=5)[0]
    request["messages"][0]["content"] = request["messages"][0]["content"].replace("tone", "mood")
    assert router.find(request) is None
    assert router.miss(request) == PROMPT_CHANGED


def test_an_unknown_prompt_has_no_task(router: Router) -> None:
    """A request that resembles no task is none of the students' business."""
    for request in ({"messages": [{"role": "user", "content": "hello"}]}, {}, {"messages": "x"}):
        assert router.miss(request) == NO_TASK
    assert router.find({"messages": [{"role": "user", "content": "hello"}]}) is None


def test_other_tools_or_formats_do_not_match(router: Router) -> None:
    """A known prompt that asks for another response format is not the task's."""
    request = served.requests("triage", 1, seed=5)[0]
    assert router.find({**request, "response_format": {"type": "json_object"}}) is None


def test_the_most_constant_template_wins() -> None:
    """Of two tasks whose templates match, the one that says more about the prompt answers."""
    exact, other = served.route("route"), served.route("triage")
    anything = Template(turns=True, tools=("",), formats=("",))
    loose = replace(other, task=replace(other.task, template=anything))
    request = served.requests("route", 1, seed=5)[0]
    for order in ([exact, loose], [loose, exact]):
        match = Router(order).find(request)
        assert match is not None
        assert match.route is exact
    only = Router([loose]).find(request)
    assert only is not None
    assert only.route is loose


def test_of_two_equal_templates_the_one_of_fewer_tool_sets_wins() -> None:
    """A task that was split from another answers its own calls while the other still knows them."""
    own = served.route("route")
    kind = own.task.template
    wide = replace(kind, tools=(*kind.tools, "others"))
    first = replace(own, task=replace(own.task, id="a", template=wide))
    request = served.requests("route", 1, seed=5)[0]
    for order in ([own, first], [first, own]):
        match = Router(order).find(request)
        assert match is not None
        assert match.route is own


def test_routes_follow_the_file(tmp_path: Path) -> None:
    """A replaced routes.json is served from the next call on; without a file nothing is."""
    routes = RouteFile(tmp_path / "routes.json")
    assert routes.current().routes == []
    served.write_routes(tmp_path, served.route("route"))
    assert [r.version for r in routes.current().routes] == [3]
    assert routes.current() is routes.current()
    (tmp_path / "routes.json").unlink()
    assert routes.current().routes == []


def test_a_broken_file_leaves_the_routes_alone(tmp_path: Path) -> None:
    """Routes that cannot be read do not take away those that serve."""
    served.write_routes(tmp_path, served.route("route"))
    routes = RouteFile(tmp_path / "routes.json")
    before = routes.current()
    (tmp_path / "routes.json").write_text('{"routes": [{"task": 1')
    os.utime(tmp_path / "routes.json", ns=(1, 1))
    assert routes.current() is before
    with pytest.raises(Refused, match=r"routes\.json"):
        Router.from_file(tmp_path / "routes.json")

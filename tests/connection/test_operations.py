"""An application says which operation a request was, and that it failed in spite of its status."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.stacks import Observed


def served(handler: Any, *declared: str, observed: Observed | None = None) -> tuple[Observed, dict[str, Any]]:
    """Return what one request to `handler` has left, and its access line."""
    observed = observed or Observed()
    observed.obs.operations.declare(*declared)
    stack = obs.build_stack(Starlette(routes=[Route("/graphql", handler)]), observed.obs)
    assert anyio.run(converse, stack, http_scope("/graphql")).status == 200
    (line,) = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    return observed, line


def test_a_failure_with_status_200_is_an_error() -> None:
    """In the line, in the outcomes, and by its reason."""

    async def handler(request: Request) -> Response:
        obs.operation("Users")
        obs.fail("resolver")
        obs.fail("timeout")
        return PlainTextResponse("{}")

    observed, line = served(handler, "Users")
    assert (line["outcome"], line["status"], line["level"]) == ("error", 200, "ERROR")
    assert (line["operation"], line["failure"]) == ("Users", "resolver")
    assert observed.value("divan_http_outcomes_total", route="/graphql", outcome="error") == 1
    assert observed.value("divan_operations_total", route="/graphql", operation="Users", outcome="error") == 1
    assert observed.value("divan_operation_duration_seconds_count", route="/graphql", operation="Users") == 1
    assert observed.samples("divan_failures_total") == {(("reason", "resolver"), ("route", "/graphql")): 1}


@pytest.mark.parametrize("said", ["Robots", "users", "__unknown__", "a" * 5000, "ada@example.org", 7, None])
def test_what_was_not_declared_is_unknown(said: Any) -> None:
    """Whatever a client sends as a name, or an exception as its text, becomes no label."""

    async def handler(request: Request) -> Response:
        obs.operation(said)
        obs.fail(said)
        return PlainTextResponse("{}")

    observed, line = served(handler, "Users")
    assert (line["operation"], line["failure"], line["outcome"]) == ("__unknown__", "__unknown__", "error")
    assert observed.value("divan_failures_total", route="/graphql", reason="__unknown__") == 1


def test_a_batch_is_several_operations() -> None:
    """One request has one label; the same name twice is one name."""

    async def handler(request: Request) -> Response:
        for name in ("Users", "Users", "AddUser", "Users"):
            obs.operation(name)
        return PlainTextResponse("{}")

    assert served(handler, "Users", "AddUser")[1]["operation"] == "__several__"


def test_after_the_response_nothing_is_changed() -> None:
    """What a background task does is not how the request ended; outside of a request nothing happens."""

    async def later() -> None:
        obs.operation("Users")
        obs.fail()

    async def handler(request: Request) -> Response:
        return PlainTextResponse("{}", background=BackgroundTask(later))

    observed, line = served(handler, "Users")
    assert (line["outcome"], "operation" in line, "failure" in line) == ("ok", False, False)
    assert observed.samples("divan_operations_total") == {}
    obs.operation("Users")
    obs.fail()


def test_a_plain_handler_in_a_thread_may_fail_too() -> None:
    """Frameworks call it in a thread, with the context of the request."""

    def handler(request: Request) -> Response:
        obs.fail("dependency")
        return PlainTextResponse("{}")

    assert served(handler)[1]["failure"] == "dependency"


def test_without_metrics_the_line_says_it() -> None:
    """OBS_METRICS_ENABLED=false counts nothing."""

    async def handler(request: Request) -> Response:
        obs.fail()
        return PlainTextResponse("{}")

    observed, line = served(handler, observed=Observed({"OBS_METRICS_ENABLED": "false"}))
    assert line["failure"] == "error"
    assert observed.samples("divan_failures_total") == {}


@pytest.mark.parametrize("name", ["", "__mine", "a b", "é", "a" * 101, 7])
def test_a_bad_declaration_is_an_error_at_once(name: Any) -> None:
    """At start-up, with what was expected."""
    with pytest.raises(obs.ImproperlyConfigured, match=r"^Operations\.declare got "):
        Observed().obs.operations.declare(name)
    with pytest.raises(obs.ImproperlyConfigured, match=r"^Operations\.declare got "):
        Observed().obs.operations.declare(reasons=[name])

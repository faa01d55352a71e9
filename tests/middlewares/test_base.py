"""The base of every observing middleware: who opens the record, who joins it, and what is undone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.connection.record import RECORD_KEY, Record, current_record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.middlewares.base import Undo
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def telling(name: str, told: list[str], base: type[obs.RecordMiddleware] = obs.RecordMiddleware) -> Any:
    """Return a middleware that tells when it observes, finishes and undoes."""

    class Telling(base):  # type: ignore[misc, valid-type]
        component = name

        def observe(self, scope: Scope, record: RequestRecord) -> Undo:
            told.append(f"{name} observes")
            record.add_finisher(name, lambda record: told.append(f"{name} finishes"))
            return lambda: told.append(f"{name} undoes")

    return Telling


def chain(app: ASGIApp, bundle: obs.Observability, *factories: Callable[..., ASGIApp]) -> ASGIApp:
    for factory in reversed(factories):
        app = factory(app, bundle)
    return app


def test_neighbours_observe_from_outside_in_and_undo_from_inside_out() -> None:
    """As if each of them wrapped the next one."""
    told: list[str] = []
    stack = chain(hello, Observed().obs, *(telling(name, told) for name in ("outer", "middle", "inner")))
    anyio.run(converse, stack, http_scope())
    assert told == [
        *("outer observes", "middle observes", "inner observes"),
        *("inner finishes", "middle finishes", "outer finishes"),
        *("inner undoes", "middle undoes", "outer undoes"),
    ]


def test_a_background_task_that_fails_is_told_with_the_ids_of_its_request() -> None:
    """The server logs it, too, but not of which request it was."""

    async def fail() -> None:
        raise LookupError("no tea")

    async def buy(request: Request) -> Response:
        return Response(background=BackgroundTask(fail))

    observed = Observed()
    observed.obs.log.install()
    app = Starlette(routes=[Route("/buy/{what}", buy)])
    done = anyio.run(converse, obs.build_stack(app, observed.obs), http_scope("/buy/tea"))
    access, late = observed.lines()
    assert (access["outcome"], access["route"]) == ("ok", "/buy/{what}")
    assert (late["level"], late["msg"]) == ("ERROR", "GET /buy/{what} failed after its response had ended.")
    assert late["error"]["type"] == "LookupError"
    assert [late["request_id"].encode()] == done.header(b"x-request-id")


def test_an_exception_that_was_answered_is_told_once() -> None:
    """Starlette answers with 500 and raises it again, for the server."""

    async def buy(request: Request) -> Response:
        raise LookupError("no tea")

    observed = Observed()
    observed.obs.log.install()
    app = Starlette(routes=[Route("/buy", buy)])
    done = anyio.run(converse, obs.build_stack(app, observed.obs), http_scope("/buy"))
    assert isinstance(done.error, LookupError)
    assert [(line["status"], line["error"]["type"]) for line in observed.lines()] == [(500, "LookupError")]


class PassesOn:
    """A middleware that knows nothing of records: those around it and those inside are no neighbours."""

    def __init__(self, app: ASGIApp, bundle: obs.Observability) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("error", [None, ValueError("on purpose")])
def test_those_that_join_further_in_undo_first(error: Exception | None) -> None:
    """Also where the application raises."""
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append("the application")
        if error is not None:
            raise error

    stack = chain(app, Observed().obs, telling("outer", told), PassesOn, telling("inner", told))
    done = anyio.run(converse, stack, http_scope())
    assert done.error is error
    assert [step for step in told if "finishes" not in step] == [
        *("outer observes", "inner observes", "the application", "inner undoes", "outer undoes")
    ]


def test_a_subclass_with_a_call_of_its_own_is_called() -> None:
    """It is no mere observer, and its neighbour does not reach past it."""
    told: list[str] = []

    class Guard(telling("guard", told)):  # type: ignore[misc]
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            told.append("guarded")
            await super().__call__(scope, receive, send)

    anyio.run(converse, chain(hello, Observed().obs, telling("outer", told), Guard), http_scope())
    assert told[:3] == ["outer observes", "guarded", "guard observes"]


def test_a_middleware_without_a_component_is_an_error_at_start_up() -> None:
    """Its failures could not be counted under any name."""

    class Nameless(obs.RecordMiddleware):
        def observe(self, scope: Scope, record: RequestRecord) -> None: ...

    with pytest.raises(obs.ImproperlyConfigured) as caught:
        Nameless(hello, Observed().obs)
    assert str(caught.value) == ("Nameless has no `component`; expected the name under which its failures are counted.")


def test_a_scope_that_is_used_twice_is_two_connections() -> None:
    """A middleware that tries again hands on the same scope: each attempt has a record, a line and an id of its own."""
    observed = Observed()
    stack = obs.build_stack(hello, observed.obs)

    async def ask_twice() -> list[bytes]:
        scope = http_scope()
        return [(await converse(stack, scope)).header(b"x-request-id")[0] for _ in range(2)]

    first, second = anyio.run(ask_twice)
    assert first != second
    assert [line["request_id"].encode() for line in observed.lines()] == [first, second]
    assert observed.value("divan_http_requests_total", route="__unmatched__", method="GET", status="200") == 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_request_within_a_request_leaves_the_outer_one_current(fails: bool) -> None:
    """An application that asks another one in process goes on in its own request, also without ContextMiddleware."""
    observed = Observed({"OBS_CONTEXT_ENABLED": "false"})
    seen: list[object] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(current_record.get() is scope[RECORD_KEY])
        if fails:
            raise ValueError("on purpose")
        await hello(scope, receive, send)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await converse(obs.build_stack(inner, observed.obs), http_scope("/inner"))
        seen.append(current_record.get() is scope[RECORD_KEY])
        await hello(scope, receive, send)

    anyio.run(converse, obs.build_stack(outer, observed.obs), http_scope("/outer"))
    assert seen == [True, True]


def test_a_finished_request_is_current_no_more() -> None:
    """What is left of an earlier request in the server's context is not put back."""
    leaked: list[Record | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        leaked.append(current_record.get())

    async def ask_in_the_context_of_a_finished_request() -> Record | None:
        stack = obs.build_stack(app, Observed({"OBS_CONTEXT_ENABLED": "false"}).obs)
        await converse(stack, http_scope())
        current_record.set(leaked[0])
        await converse(stack, http_scope())
        assert leaked[1] is not leaked[0]
        return current_record.get()

    assert anyio.run(ask_in_the_context_of_a_finished_request) is None

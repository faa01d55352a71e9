"""Middlewares of the application observe Socket.IO events, as they observe requests."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import gc
from typing import Any

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.connection import Record, current_record
from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.socketio_ext.sockets import answers_to, connected, server_of
from tests.socketio_ext.test_handlers import events_of
from tests.stacks import Observed


async def bare(scope: Scope, receive: Receive, send: Send) -> None: ...


class EventMiddleware(obs.RecordMiddleware):
    """Keeps what it is called with."""

    component = "events"

    def __init__(self, app: ASGIApp, bundle: obs.Observability) -> None:
        super().__init__(app, bundle)
        self.begun: list[str] = []
        self.ended: list[tuple[object, ...]] = []

    def observe(self, scope: Scope, record: obs.RequestRecord) -> None: ...

    def observe_event(self, record: EventRecord) -> None:
        self.begun.append(record.route)
        record.bind(team="blue")
        record.add_finisher(self.component, self.finish)

    def finish(self, record: Record) -> None:
        error = type(record.error).__name__ if record.error is not None else None
        self.ended.append((record.kind, record.route, record.outcome, record.duration_s > 0, error))


def say_server(observed: Observed) -> Any:
    """Return a server with one handler that answers, and one that fails."""
    server = server_of(observed)

    async def say(sid: str, text: str) -> str:
        return f"{text}!"

    async def fail(sid: str) -> None:
        raise ValueError("no")

    server.on("say", say)
    server.on("fail", fail)
    return server


@pytest.mark.parametrize("stack_first", [True, False])
def test_a_middleware_gets_the_record_of_each_event(stack_first: bool) -> None:
    """It may add a finisher and fields before the handler runs, wherever the server was made."""
    observed = Observed()
    if stack_first:
        middleware = EventMiddleware(bare, observed.obs)
    server = say_server(observed)
    if not stack_first:
        middleware = EventMiddleware(bare, observed.obs)

    async def conversation() -> None:
        client = await connected(server)
        await client.send('2["say","hello"]')
        with pytest.raises(ValueError, match="no"):
            await client.send('2["fail"]')
        await client.send('2["nobody handles this"]')

    anyio.run(conversation)
    assert middleware.begun == ["/ say", "/ fail"]
    assert middleware.ended == [
        ("event", "/ say", "ok", True, None),
        ("event", "/ fail", "error", True, "ValueError"),
    ]
    assert [(line["event"], line["team"]) for line in events_of(observed)] == [("say", "blue"), ("fail", "blue")]


def test_the_record_is_the_current_one_while_it_is_observed() -> None:
    """A line that the middleware logs carries the ids of the event."""
    observed = Observed()
    seen: list[bool] = []

    class Current(EventMiddleware):
        def observe_event(self, record: EventRecord) -> None:
            seen.append(current_record.get() is record)

    middleware = Current(bare, observed.obs)
    anyio.run(answers_to, say_server(observed), '2["say","hello"]')
    assert seen == [True]
    assert middleware.ended == []


@pytest.mark.parametrize("place", ["observe_event", "finish"])
def test_a_middleware_that_raises_changes_nothing_else(place: str) -> None:
    """It is counted under its component; the client gets its acknowledgement, and the line and the count are there."""
    observed = Observed()

    def fail(record: Record) -> None:
        raise RuntimeError("a bug")

    middleware = EventMiddleware(bare, observed.obs)
    setattr(middleware, place, fail)
    assert anyio.run(answers_to, say_server(observed), '27["say","hello"]') == ['37["hello!"]']
    assert observed.value("divan_obs_errors_total", component="events") == 1
    assert observed.value("divan_socketio_events_total", namespace="/", event="say") == 1
    assert [line["outcome"] for line in events_of(observed)] == ["ok"]


def test_of_two_middlewares_of_one_component_the_outer_one_counts() -> None:
    """As for a request: a stack within a stack observes an event once."""
    observed = Observed()
    inner = EventMiddleware(bare, observed.obs)
    outer = EventMiddleware(inner, observed.obs)
    anyio.run(answers_to, say_server(observed), '2["say","hello"]')
    assert [len(inner.ended), len(outer.ended)] == [0, 1]


def test_finishers_of_middlewares_are_called_before_the_line_is_written() -> None:
    """As for a request, the inner ones go first: a field that a finisher binds is in the line."""
    observed = Observed()

    class Binding(EventMiddleware):
        def finish(self, record: Record) -> None:
            record.bind(slow=record.duration_s > 1)

    middleware = Binding(bare, observed.obs)
    anyio.run(answers_to, say_server(observed), '2["say","hello"]')
    assert [line["slow"] for line in events_of(observed)] == [False]
    assert middleware.begun == ["/ say"]


def test_a_middleware_that_is_gone_is_not_called() -> None:
    """The bundle does not keep a middleware; one that has left itself out of the stack after all observes nothing."""
    observed = Observed()
    begun: list[str] = []

    class Declining(EventMiddleware):
        def __init__(self, app: ASGIApp, bundle: obs.Observability) -> None:
            super().__init__(app, bundle)
            raise obs.MiddlewareNotUsed("not today")

        def observe_event(self, record: EventRecord) -> None:
            begun.append(record.route)

    with pytest.raises(obs.MiddlewareNotUsed):
        Declining(bare, observed.obs)
    gc.collect()
    anyio.run(answers_to, say_server(observed), '2["say","hello"]')
    assert begun == []


def test_a_connect_handler_that_is_called_twice_is_observed_once() -> None:
    """python-socketio tries a connect handler with and without the client's data."""
    observed = Observed()
    middleware = EventMiddleware(bare, observed.obs)
    server = server_of(observed)

    async def connect(*args: object) -> None:
        if len(args) == 3:
            raise TypeError("takes 2 arguments")

    server.on("connect", connect)
    anyio.run(connected, server)
    assert middleware.begun == ["/ connect"]
    assert [(ended[1], ended[2]) for ended in middleware.ended] == [("/ connect", "ok")]


def test_no_own_middleware_costs_an_event_anything() -> None:
    """Only those that override `observe_event` are asked."""
    observed = Observed()
    stack = obs.build_stack(bare, observed.obs)
    assert observed.obs.observers.of_events == ()
    assert stack is not bare

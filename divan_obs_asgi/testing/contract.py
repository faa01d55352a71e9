"""
The contract of every middleware in a stack, as checks that any test suite can run.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check):
        anyio.run(check, lambda app: MyMiddleware(app, observability))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from functools import wraps
from typing import TypeAlias

import anyio

from divan_obs_asgi.testing.conversation import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.testing.scenarios import SCENARIOS, Scenario
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send

Build: TypeAlias = Callable[[ASGIApp], ASGIApp]
Check: TypeAlias = Callable[[Build], Awaitable[None]]

# Seconds for a check. A check that takes longer waits for a message that a middleware did not forward.
_TIMEOUT_S = 10.0

_mark: ContextVar[str] = ContextVar("divan_obs_asgi.testing.mark", default="")


def _in_time(check: Check) -> Check:
    @wraps(check)
    async def limited(build: Build) -> None:
        with anyio.move_on_after(_TIMEOUT_S) as limit:
            await check(build)
        assert not limit.cancelled_caught, f"{check.__name__} did not end within {_TIMEOUT_S} s"

    return limited


@_in_time
async def responses_are_unchanged(build: Build) -> None:
    """Every message is forwarded once and in order; a header may be added or replaced once; errors are the same."""
    for scenario in SCENARIOS:
        bare = await _run(scenario, scenario.app)
        wrapped = await _run(scenario, build(scenario.app))
        _same(bare, wrapped, scenario.name)


@_in_time
async def receive_is_unchanged(build: Build) -> None:
    """The application receives the messages of the client unchanged."""
    incoming: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
    ]
    received = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in incoming:
            received.append(await receive())

    await converse(build(app), http_scope(method="POST"), incoming)
    assert received == incoming, f"received {received!r}, expected {incoming!r}"


@_in_time
async def other_scopes_pass(build: Build) -> None:
    """A scope that is neither HTTP nor WebSocket reaches the application unchanged, with receive and send."""
    for kind in ("lifespan", "telepathy"):
        seen: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send, seen: list[object] = seen) -> None:
            seen.append(scope)
            await send(await receive())

        scope: Scope = {"type": kind, "state": {}}
        message = {"type": f"{kind}.startup"}
        done = await converse(build(app), scope, [message])
        assert seen == [scope], f"{kind}: the application was called with {seen!r}"
        assert seen[0] is scope, f"{kind}: the scope was copied, and lifespan state written to it is lost"
        assert done.sent == [message], f"{kind}: sent {done.sent!r}"


@_in_time
async def iterators_are_not_consumed(build: Build) -> None:
    """Headers and other values that a server passes as iterators, which ASGI allows, reach the application complete."""
    headers = [(b"host", b"testserver"), (b"cookie", b"a=1"), (b"authorization", b"Bearer b"), (b"X-Mine", b"c")]
    extensions: dict[str, object] = {"http.response.push": {}}
    for scope in (http_scope("/%41", method="POST"), websocket_scope("/%41")):
        kind = scope["type"]
        seen: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send, seen: list[object] = seen) -> None:
            pairs = [tuple(pair) for pair in scope["headers"]]
            seen.extend(
                (pairs, list(scope["subprotocols"]), list(scope["client"]), scope["extensions"], scope["state"])
            )

        scope.update(
            {
                "headers": (iter(pair) for pair in headers),
                "subprotocols": iter(["chat"]),
                "client": iter(["192.0.2.7", 51234]),
                "extensions": extensions,
            }
        )
        state = scope["state"]
        await converse(build(app), scope)
        assert seen[:1] == [headers], f"{kind}: the application saw the headers {seen[:1]!r}, expected {headers!r}"
        assert seen[1:3] == [["chat"], ["192.0.2.7", 51234]], f"{kind}: the application saw {seen[1:3]!r}"
        assert seen[3] is extensions, f"{kind}: extensions were copied"
        assert seen[4] is state, f"{kind}: state was copied"


@_in_time
async def exceptions_are_unchanged(build: Build) -> None:
    """The same exception object is raised, not a copy, a wrapper or another one."""

    class Mine(Exception):
        pass

    error = Mine()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    for scope in (http_scope(), websocket_scope()):
        done = await converse(build(app), scope)
        assert done.error is error, f"raised {done.error!r}, expected {error!r}"


@_in_time
async def cancellation_is_propagated(build: Build) -> None:
    """Cancelling a request cancels the application, and the request ends as cancelled."""
    for started in (False, True):
        ended: list[type[BaseException]] = []
        with anyio.CancelScope() as cancelling:
            await converse(build(_is_cancelled(cancelling, started, ended)), http_scope())
        assert cancelling.cancelled_caught, "the cancellation was swallowed"
        assert ended == [anyio.get_cancelled_exc_class()], f"the application saw {ended!r}"


def _is_cancelled(request: anyio.CancelScope, started: bool, ended: list[type[BaseException]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if started:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            request.cancel()
            await anyio.sleep_forever()
        except BaseException as error:
            ended.append(type(error))
            raise

    return app


@_in_time
async def concurrent_requests_are_separate(build: Build) -> None:
    """A context variable that one request sets is not visible in a concurrent request."""
    all_started = anyio.Event()
    waiting = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mark = scope["path"]
        before = _mark.get()
        _mark.set(mark)
        waiting.append(mark)
        if len(waiting) == 8:
            all_started.set()
        await all_started.wait()
        body = f"{before}|{_mark.get()}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-mark", mark.encode())]})
        await send({"type": "http.response.body", "body": body})

    wrapped = build(app)
    done: dict[str, Conversation] = {}

    async def request(path: str) -> None:
        done[path] = await converse(wrapped, http_scope(path))

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(request, f"/{number}")
    for path, answer in done.items():
        assert answer.body == f"|{path}".encode(), f"{path} got {answer.body!r}"
        assert answer.header(b"x-mark") == [path.encode()]
    for name in (b"x-request-id", b"traceparent"):
        values = [value for answer in done.values() for value in answer.header(name)]
        assert len(values) == len(set(values)), f"two requests share one {name.decode()}"


@_in_time
async def context_variables_are_reset(build: Build) -> None:
    """After a request the context variables of the caller have their earlier values."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    before = dict(copy_context())
    await converse(build(app), http_scope())
    left = {variable.name for variable, value in copy_context().items() if value and before.get(variable) != value}
    assert not left, f"left behind: {sorted(left)}"


@_in_time
async def instances_are_reusable(build: Build) -> None:
    """State is kept per request: a failure does not affect the next request of the same instance."""
    errors = iter([ValueError("first"), None, ValueError("third"), None])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        error = next(errors)
        if error is not None:
            raise error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    wrapped = build(app)
    done = [await converse(wrapped, http_scope()) for _ in range(4)]
    assert [type(answer.error).__name__ for answer in done] == ["ValueError", "NoneType"] * 2
    assert [answer.body for answer in done] == [b"", b"fine"] * 2


async def _run(scenario: Scenario, app: ASGIApp) -> Conversation:
    return await converse(app, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)


def _same(bare: Conversation, wrapped: Conversation, name: str) -> None:
    assert type(wrapped.error) is type(bare.error), f"{name}: raised {wrapped.error!r}, expected {bare.error!r}"
    kinds = [message["type"] for message in wrapped.sent]
    assert kinds == [message["type"] for message in bare.sent], f"{name}: sent {kinds}"
    for ours, theirs in zip(wrapped.sent, bare.sent, strict=True):
        rest = {key: value for key, value in ours.items() if key != "headers"}
        assert rest == {key: value for key, value in theirs.items() if key != "headers"}, f"{name}: {rest!r}"
        _same_headers(_pairs(ours), _pairs(theirs), name)


def _pairs(message: Message) -> list[tuple[bytes, bytes]]:
    return [(bytes(key), bytes(value)) for key, value in message.get("headers", ())]


def _same_headers(ours: list[tuple[bytes, bytes]], theirs: list[tuple[bytes, bytes]], name: str) -> None:
    kept = [pair for pair in theirs if pair in ours]
    replaced = {pair[0].lower() for pair in theirs if pair not in ours}
    assert ours[: len(kept)] == kept, f"{name}: headers are {ours!r}, expected first {kept!r}"
    added = [key for key, _ in ours[len(kept) :]]
    assert len(added) == len(set(added)), f"{name}: added twice: {added!r}"
    lost = replaced - set(added)
    assert not lost, f"{name}: lost the headers {sorted(lost)!r}"
    doubled = {pair[0].lower() for pair in kept} & set(added)
    assert not doubled, f"{name}: appended instead of replaced: {sorted(doubled)!r}"


CONTRACT: tuple[Check, ...] = (
    responses_are_unchanged,
    receive_is_unchanged,
    other_scopes_pass,
    iterators_are_not_consumed,
    exceptions_are_unchanged,
    cancellation_is_propagated,
    concurrent_requests_are_separate,
    context_variables_are_reset,
    instances_are_reusable,
)

__all__ = ["CONTRACT", "Build", "Check"]

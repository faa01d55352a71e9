"""The public contract has teeth: each way in which middlewares usually go wrong is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

import anyio
import pytest

from divan_obs_asgi.testing import CONTRACT, SCENARIOS, Build, contract
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.stacks import BACKENDS, run_on

_leak: ContextVar[str] = ContextVar("leak")


def with_send(change: Callable[[Message], list[Message]]) -> Build:
    """Return a middleware that sends, for every message, what `change` makes of it."""

    def build(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            async def changed(message: Message) -> None:
                for other in change(message):
                    await send(other)

            await app(scope, receive, changed)

        return middleware

    return build


def appends_a_header(message: Message) -> list[Message]:
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", ()), (b"x-request-id", b"again")]
    return [message]


def loses_a_cookie(message: Message) -> list[Message]:
    if "headers" in message:
        message["headers"] = list({key.lower(): (key, value) for key, value in message["headers"]}.values())
    return [message]


def drops_trailers(message: Message) -> list[Message]:
    return [] if message["type"] == "http.response.trailers" else [message]


def sends_twice(message: Message) -> list[Message]:
    return [message, message] if message.get("body") else [message]


def swallows(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ValueError:
            return

    return middleware


def wraps_errors(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            raise RuntimeError("failed") from error

    return middleware


def swallows_cancellation(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(anyio.get_cancelled_exc_class()):
            await app(scope, receive, send)

    return middleware


def copies_the_scope(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await app(dict(scope), receive, send)

    return middleware


def leaves_a_variable(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        _leak.set("still here")
        await app(scope, receive, send)

    return middleware


def keeps_state_on_itself(app: ASGIApp) -> ASGIApp:
    mark = []

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        mark.append(scope.get("path", ""))

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(b"x-mark", mark[-1].encode("utf-8", "replace"))]
            await send(message)

        await app(scope, receive, tell)

    return middleware


def reads_the_body(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            with anyio.move_on_after(0.005):
                await receive()
        await app(scope, receive, send)

    return middleware


def reads_the_headers(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        dict(scope.get("headers", ()))
        await app(scope, receive, send)

    return middleware


def fails_after_an_error(app: ASGIApp) -> ASGIApp:
    broken: list[Exception] = []

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if broken:
            raise broken[0]
        try:
            await app(scope, receive, send)
        except Exception as error:
            broken.append(error)
            raise

    return middleware


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("responses_are_unchanged", with_send(appends_a_header)),
        ("responses_are_unchanged", with_send(loses_a_cookie)),
        ("responses_are_unchanged", with_send(drops_trailers)),
        ("responses_are_unchanged", with_send(sends_twice)),
        ("responses_are_unchanged", swallows),
        ("exceptions_are_unchanged", wraps_errors),
        ("cancellation_is_propagated", swallows_cancellation),
        ("other_scopes_pass", copies_the_scope),
        ("iterators_are_not_consumed", reads_the_headers),
        ("context_variables_are_reset", leaves_a_variable),
        ("concurrent_requests_are_separate", keeps_state_on_itself),
        ("receive_is_unchanged", reads_the_body),
        ("instances_are_reusable", fails_after_an_error),
    ],
)
def test_a_broken_middleware_is_found(name: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check fails for the mistake that it is there for."""
    # One of them waits for a message that never comes.
    monkeypatch.setattr(contract, "_TIMEOUT_S", 0.2)
    (check,) = [check for check in CONTRACT if check.__name__ == name]
    with pytest.raises(AssertionError):
        anyio.run(check, build)


def drops(kind: str) -> Build:
    return with_send(lambda message: [] if message["type"] == kind else [message])


def changes(kind: str, **fields: object) -> Build:
    return with_send(lambda message: [{**message, **fields} if message["type"] == kind else message])


def withdraws_extensions(app: ASGIApp) -> ASGIApp:
    """As a middleware that makes a scope of its own."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await app({key: value for key, value in scope.items() if key != "extensions"}, receive, send)

    return middleware


def holds_the_start_back(app: ASGIApp) -> ASGIApp:
    """As one that wants to know the body before it sends headers."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def later(message: Message) -> None:
            if message["type"] == "http.response.start":
                held.append(message)
                return
            if held and message["type"] == "http.response.body":
                await send(held.pop())
            await send(message)

        await app(scope, receive, later)

    return middleware


def joins_the_parts(app: ASGIApp) -> ASGIApp:
    """As one that compresses, signs or counts a body as a whole."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        parts: list[bytes] = []

        async def once(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await send({**message, "body": b"".join(parts)})

        await app(scope, receive, once)

    return middleware


def hides_that_the_client_left(app: ASGIApp) -> ASGIApp:
    """As one that reads the request by itself."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def only_requests() -> Message:
            message = await receive()
            while message["type"] == "http.disconnect":
                message = await receive()
            return message

        await app(scope, only_requests, send)

    return middleware


def ignores_that_the_client_left(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_not(message: Message) -> None:
            with suppress(OSError):
                await send(message)

        await app(scope, receive, send_or_not)

    return middleware


def answers_head_itself(app: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message and scope.get("method") == "HEAD" else message)

        await app(scope, receive, without_body)

    return middleware


def sorts_headers(message: Message) -> list[Message]:
    return [{**message, "headers": sorted(message["headers"])} if "headers" in message else message]


@pytest.mark.parametrize(
    ("form", "build"),
    [
        ("head", answers_head_itself),
        ("no_content", drops("http.response.body")),
        ("no_content", changes("http.response.start", status=200)),
        ("not_modified", changes("http.response.start", headers=[])),
        ("not_modified", drops("http.response.body")),
        ("streamed", joins_the_parts),
        ("trailers", drops("http.response.trailers")),
        ("trailers", changes("http.response.start", trailers=False)),
        ("trailers", changes("http.response.trailers", more_trailers=False)),
        ("trailers", withdraws_extensions),
        ("pathsend", drops("http.response.pathsend")),
        ("pathsend", changes("http.response.pathsend", type="http.response.body")),
        ("pathsend", withdraws_extensions),
        ("zerocopysend", drops("http.response.zerocopysend")),
        ("zerocopysend", changes("http.response.zerocopysend", count=None)),
        ("zerocopysend", withdraws_extensions),
        ("early_hint", drops("http.response.early_hint")),
        ("early_hint", withdraws_extensions),
        ("push", drops("http.response.push")),
        ("push", withdraws_extensions),
        ("debug", withdraws_extensions),
        ("duplicate_headers", with_send(loses_a_cookie)),
        ("duplicate_headers", with_send(sorts_headers)),
        ("interrupted_after_start", holds_the_start_back),
        ("client_leaves_while_streaming", joins_the_parts),
        ("client_leaves_while_streaming", hides_that_the_client_left),
        ("send_fails_later", ignores_that_the_client_left),
        ("websocket", changes("websocket.accept", subprotocol="chat")),
        ("websocket", drops("websocket.send")),
        ("websocket_closed", changes("websocket.close", reason="")),
        ("websocket_denial_response", drops("websocket.http.response.start")),
        ("websocket_denial_response", drops("websocket.http.response.body")),
        ("websocket_denial_response", changes("websocket.http.response.start", type="websocket.close")),
        ("websocket_denial_response", withdraws_extensions),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_form_of_answer_that_is_broken_is_found(
    form: str, build: Build, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form that wrappers tend to break is driven, and by itself gives such a wrapper away, on every event loop."""
    monkeypatch.setattr(contract, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr(contract, "SCENARIOS", [scenario for scenario in SCENARIOS if scenario.name == form])
    with pytest.raises(AssertionError, match=f"^{form}: |did not end within"):
        run_on(backend, contract.responses_are_unchanged, build)


def test_no_middleware_at_all_keeps_the_contract() -> None:
    """The checks ask for nothing that a bare application does not give."""
    for check in CONTRACT:
        anyio.run(check, lambda app: app)

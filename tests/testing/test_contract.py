"""The public contract has teeth: each way in which middlewares usually go wrong is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

import anyio
import pytest

from divan_obs_asgi.testing import CONTRACT, Build, contract
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send

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
        ("answers_are_unchanged", with_send(appends_a_header)),
        ("answers_are_unchanged", with_send(loses_a_cookie)),
        ("answers_are_unchanged", with_send(drops_trailers)),
        ("answers_are_unchanged", with_send(sends_twice)),
        ("answers_are_unchanged", swallows),
        ("exceptions_are_the_applications_own", wraps_errors),
        ("cancellation_goes_through", swallows_cancellation),
        ("other_scopes_pass", copies_the_scope),
        ("nothing_stays_behind", leaves_a_variable),
        ("concurrent_requests_are_apart", keeps_state_on_itself),
        ("receive_is_unchanged", reads_the_body),
        ("one_instance_serves_many", fails_after_an_error),
    ],
)
def test_a_broken_middleware_is_found(name: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check fails for the mistake that it is there for."""
    # One of them waits for a message that never comes.
    monkeypatch.setattr(contract, "_PATIENCE_S", 0.2)
    (check,) = [check for check in CONTRACT if check.__name__ == name]
    with pytest.raises(AssertionError):
        anyio.run(check, build)


def test_no_middleware_at_all_keeps_the_contract() -> None:
    """The checks ask for nothing that a bare application does not give."""
    for check in CONTRACT:
        anyio.run(check, lambda app: app)

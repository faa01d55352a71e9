"""The ways in which a request can end, each as a small application and the messages of its client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio

from divan_obs_asgi.testing.conversation import http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Outcome, Receive, Scope, Send


@dataclass(frozen=True)
class Scenario:
    """
    An application, its scope, and the messages of the client.

    Attributes:
        outcome, status: those of the record of this connection.
        hangs_up_after: the number of messages after which the client has disconnected.
    """

    name: str
    app: ASGIApp
    scope: Callable[[], Scope]
    outcome: Outcome
    status: int
    incoming: tuple[Message, ...] = ()
    hangs_up_after: int | None = None


def _start(status: int = 200, headers: object = ((b"content-type", b"text/plain"),), **more: object) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def _body(body: bytes = b"", more_body: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


def _answers(*messages: Message) -> ASGIApp:
    """Return an application that sends copies of these messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(dict(message))

    return app


def _raises(error: type[BaseException], *messages: Message) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(dict(message))
        raise error("on purpose")

    return app


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    await send(_start(201))
    while True:
        message = await receive()
        await send(_body(message["body"], message["more_body"]))
        if not message["more_body"]:
            return


async def _impatient(scope: Scope, receive: Receive, send: Send) -> None:
    with anyio.move_on_after(0.001):
        await receive()
    await send(_start(408))
    await send(_body(b"too slow"))


async def _streams_until_the_client_leaves(scope: Scope, receive: Receive, send: Send) -> None:
    await send(_start())
    await send(_body(b"a", True))
    if (await receive())["type"] == "http.disconnect":
        return
    await send(_body(b"b"))


async def _answers_nobody(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(_start(500))
    await send(_body(b"nobody reads this"))


async def _handles_its_error(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        raise ValueError("on purpose")
    except ValueError:
        await send(_start(500))
        await send(_body(b"sorry"))
        raise


async def _websocket_echo(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": None, "headers": [(b"x-mine", b"1")]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})


async def _websocket_hangs_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1000, "reason": "done"})


async def _websocket_gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1011})


async def _websocket_refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})


async def _websocket_denies(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]})
    await send({"type": "websocket.http.response.body", "body": b"who are", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b" you?"})


async def _websocket_breaks(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    raise ValueError("on purpose")


async def _generates_headers(scope: Scope, receive: Receive, send: Send) -> None:
    pairs = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"content-length", b"5")]
    await send(_start(500, iter(pairs)))
    await send(_body(b"sorry"))


async def _buffers(scope: Scope, receive: Receive, send: Send) -> None:
    await send(_start(headers=[[bytearray(b"X-Request-Id"), bytearray(b"its own")], [memoryview(b"etag"), b"1"]]))
    await send({"type": "http.response.body", "body": memoryview(b"a"), "more_body": True})
    await send({"type": "http.response.body", "body": bytearray(b"b")})


class Interrupted(BaseException):
    """Stands for a `BaseException`: KeyboardInterrupt, a cancellation of another library."""


def _extension(name: str, *messages: Message) -> Scenario:
    """Return a scenario in which these messages are sent if the server offers the extension, as frameworks do."""
    key = f"http.response.{name}"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages if key in scope.get("extensions", {}) else (_start(501), _body()):
            await send(dict(message))

    return Scenario(name, app, lambda: {**http_scope(), "extensions": {key: {}}}, "ok", 200)


def _with_headers(*headers: tuple[bytes, bytes]) -> Callable[[], Scope]:
    return lambda: http_scope(headers=headers)


_hello = _answers(_start(), _body(b"hello"))
_CONNECT: Message = {"type": "websocket.connect"}
_GONE: Message = {"type": "http.disconnect"}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("plain", _hello, http_scope, "ok", 200),
    Scenario("head", _hello, lambda: http_scope(method="HEAD"), "ok", 200),
    Scenario("invented_method", _hello, lambda: http_scope(method="BREW"), "ok", 200),
    Scenario("no_content", _answers(_start(204, []), _body()), http_scope, "ok", 204),
    Scenario("not_modified", _answers(_start(304, [(b"etag", b'"1"')]), _body()), http_scope, "ok", 304),
    Scenario(
        "no_headers_at_all", _answers({"type": "http.response.start", "status": 200}, _body()), http_scope, "ok", 200
    ),
    Scenario("server_error", _answers(_start(503), _body(b"later")), http_scope, "error", 503),
    Scenario("streamed", _answers(_start(), _body(b"a", True), _body(b"b", True), _body(b"c")), http_scope, "ok", 200),
    _extension(
        "trailers",
        _start(trailers=True),
        _body(b"a"),
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True},
        {"type": "http.response.trailers", "headers": [(b"x-end", b"1")], "more_trailers": False},
    ),
    _extension("pathsend", _start(), {"type": "http.response.pathsend", "path": "/srv/a"}),
    _extension(
        "zerocopysend", _start(), {"type": "http.response.zerocopysend", "file": 3, "count": 7, "more_body": False}
    ),
    _extension(
        "early_hint",
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
        _start(),
        _body(),
    ),
    _extension("push", {"type": "http.response.push", "path": "/a.css", "headers": []}, _start(), _body()),
    _extension("debug", {"type": "http.response.debug", "info": {}}, _start(), _body()),
    Scenario(
        "duplicate_headers",
        _answers(_start(headers=[(b"set-cookie", b"a=1"), (b"x", b"1"), (b"Set-Cookie", b"b=2")]), _body()),
        http_scope,
        "ok",
        200,
    ),
    Scenario(
        "own_request_id",
        _answers(_start(headers=[(b"X-Request-Id", b"the application's"), (b"traceparent", b"its own")]), _body()),
        http_scope,
        "ok",
        200,
    ),
    Scenario("generated_headers", _generates_headers, http_scope, "error", 500),
    Scenario("buffers", _buffers, http_scope, "ok", 200),
    Scenario(
        "echo",
        _echo,
        lambda: http_scope(method="POST"),
        "ok",
        201,
        (
            {"type": "http.request", "body": b"a" * 70_000, "more_body": True},
            {"type": "http.request", "body": b"b", "more_body": False},
        ),
    ),
    Scenario("body_never_comes", _impatient, lambda: http_scope(method="POST"), "ok", 408),
    Scenario("invalid_utf8", _hello, lambda: http_scope("/\udcff\x00", headers=[(b"x-\xff", b"\xfe\xfd")]), "ok", 200),
    Scenario("huge_headers", _hello, _with_headers(*((b"x-%d" % n, b"v" * 1000) for n in range(1000))), "ok", 200),
    Scenario("bad_request_id", _hello, _with_headers((b"x-request-id", b"a\r\nset-cookie: b")), "ok", 200),
    Scenario("bad_traceparent", _hello, _with_headers((b"traceparent", b"00-zz-zz-01")), "ok", 200),
    Scenario("bad_baggage", _hello, _with_headers((b"baggage", b"\xff=\xfe,;=;")), "ok", 200),
    Scenario("raises", _raises(ValueError), http_scope, "error", 500),
    Scenario(
        "raises_after_start", _raises(ValueError, _start(), _body(b"a", True)), http_scope, "error_after_start", 200
    ),
    Scenario("raises_after_end", _raises(ValueError, _start(), _body(b"a")), http_scope, "ok", 200),
    Scenario("handles_its_error", _handles_its_error, http_scope, "error", 500),
    Scenario("interrupted", _raises(Interrupted), http_scope, "cancelled", 0),
    Scenario("interrupted_after_start", _raises(Interrupted, _start()), http_scope, "cancelled", 200),
    Scenario("returns_nothing", _answers(), http_scope, "incomplete", 0),
    Scenario("returns_half", _answers(_start(), _body(b"a", True)), http_scope, "incomplete", 200),
    Scenario(
        "client_leaves_while_streaming",
        _streams_until_the_client_leaves,
        http_scope,
        "client_disconnect",
        200,
        (_GONE,),
    ),
    Scenario("client_left_before_the_answer", _answers_nobody, http_scope, "client_disconnect", 0, (_GONE,)),
    Scenario("send_fails_at_start", _hello, http_scope, "client_disconnect", 0, hangs_up_after=0),
    Scenario("send_fails_later", _hello, http_scope, "client_disconnect", 200, hangs_up_after=1),
    Scenario(
        "websocket",
        _websocket_echo,
        websocket_scope,
        "ok",
        101,
        (_CONNECT, {"type": "websocket.receive", "text": "hi"}, {"type": "websocket.disconnect", "code": 1001}),
    ),
    Scenario(
        "websocket_lost",
        _websocket_echo,
        websocket_scope,
        "client_disconnect",
        101,
        (_CONNECT, {"type": "websocket.disconnect", "code": 1006}),
    ),
    Scenario("websocket_closed", _websocket_hangs_up, websocket_scope, "ok", 101, (_CONNECT,)),
    Scenario("websocket_server_error", _websocket_gives_up, websocket_scope, "error", 101, (_CONNECT,)),
    Scenario("websocket_refused", _websocket_refuses, websocket_scope, "ok", 403, (_CONNECT,)),
    Scenario("websocket_denial_response", _websocket_denies, websocket_scope, "ok", 401, (_CONNECT,)),
    Scenario("websocket_raises", _websocket_breaks, websocket_scope, "error_after_start", 101, (_CONNECT,)),
    Scenario("websocket_raises_at_once", _raises(ValueError), websocket_scope, "error", 500, (_CONNECT,)),
)

__all__ = ["SCENARIOS", "Interrupted", "Scenario"]

"""The redacted view of a request, and the bodies of failed responses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import RedactionMiddleware
from divan_obs_asgi.middlewares.redaction import REDACTION_KEY
from divan_obs_asgi.redaction import RedactedRequest
from divan_obs_asgi.testing import (
    CONTRACT,
    Check,
    Conversation,
    assert_no_secret,
    converse,
    http_scope,
    websocket_scope,
)
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.stacks import BACKENDS, Observed, run_on

TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"
EMAIL = "canary@mine.example"
TEXT = f"no {TOKEN} for {EMAIL}"
REDACTED = "no [redacted:github_token] for [redacted:email]"


def view_of(scope: Scope) -> RedactedRequest:
    """Return what a handler behind the middleware finds in its scope."""
    seen: list[RedactedRequest] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope[REDACTION_KEY])

    anyio.run(converse, RedactionMiddleware(app, Observed().obs), scope)
    return seen[0]


# --- what is bound


def test_headers_pass_an_allow_list() -> None:
    """Credentials, cookies and unknown headers are left out, including their names."""
    headers = [
        (b"host", b"testserver"),
        (b"user-agent", f"app/1 ({EMAIL})".encode()),
        (b"authorization", f"Bearer {TOKEN}".encode()),
        (b"cookie", b"session=mine7"),
        (b"x-api-key", b"mine7"),
        (b"x-ada-lovelace", b"1"),
        (b"accept", b"text/html;q=0.9"),
    ]
    assert view_of(http_scope(headers=headers)).headers == {
        "host": "testserver",
        "user-agent": "app/1 ([redacted:email])",
        "accept": "text/html;q=0.9",
    }


@pytest.mark.parametrize(
    ("query", "result"),
    [
        (b"", ""),
        (b"a=1&b=mine7", "a=[redacted:query]&b=[redacted:query]"),
        (b"mine7", "[redacted:query]"),
        (b"&&a=1&", "a=[redacted:query]"),
        (b"a%5Bb%5D=1", "a[b]=[redacted:query]"),
        (b"canary%40mine.example=1", "[redacted:email]=[redacted:query]"),
        (b"=mine7", "=[redacted:query]"),
        (b"\xff=1", "\u00ff=[redacted:query]"),
    ],
)
def test_a_query_is_shown_without_its_values(query: bytes, result: str) -> None:
    """Names are the service's own; values are the client's, an engine.io session among them."""
    assert view_of({**http_scope(), "query_string": query}).query == result


def test_a_query_of_many_parameters_is_bounded() -> None:
    """A client does not decide how long a log line is."""
    assert view_of({**http_scope(), "query_string": b"a=1&" * 10_000}).query.count("&") < 64


def test_a_websocket_has_it_too() -> None:
    """Its credentials stand in the query more often than not."""
    scope: Scope = {**websocket_scope("/ws"), "query_string": b"token=mine7"}
    assert view_of(scope).query == "token=[redacted:query]"


def test_a_scope_without_a_query_is_not_an_error() -> None:
    """ASGI leaves some keys out."""
    scope = http_scope()
    del scope["query_string"]
    assert view_of(scope).query == ""


def test_the_policy_is_at_hand() -> None:
    """For other data that a handler returns."""
    assert view_of(http_scope()).policy.redact_text(TEXT) == REDACTED


def test_the_request_itself_is_the_applications() -> None:
    """The response is redacted, not the request."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    scope: Scope = {**http_scope(headers=headers), "query_string": b"token=mine7"}
    anyio.run(converse, RedactionMiddleware(app, Observed().obs), scope)
    assert seen[0]["headers"] == headers
    assert seen[0]["query_string"] == b"token=mine7"


# --- bodies of failed answers


class Answer:
    """An application that sends the given messages, and then raises the given exception."""

    def __init__(self, *messages: Message, error: BaseException | None = None) -> None:
        self.messages = messages
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.messages:
            await send(message)
        if self.error is not None:
            raise self.error


def start(status: int = 500, content_type: bytes | None = b"text/plain", *more: tuple[bytes, bytes]) -> Message:
    headers = [] if content_type is None else [(b"content-type", content_type)]
    return {"type": "http.response.start", "status": status, "headers": [*headers, *more]}


def body(content: bytes, **more: Any) -> Message:
    return {"type": "http.response.body", "body": content, **more}


def answered(app: ASGIApp, backend: str = "asyncio", *, stack: bool = True, **arguments: Any) -> Conversation:
    """Return what a client gets of `app` behind the middleware."""
    observed = Observed({"OBS_REDACT_ERROR_BODIES": "true"}).obs
    wrapped = obs.build_stack(app, observed) if stack else RedactionMiddleware(app, observed)

    async def ask() -> Conversation:
        return await converse(wrapped, http_scope(), **arguments)

    return run_on(backend, ask)


def messages_of(conversation: Conversation) -> list[Message]:
    """Return what was sent, without the headers that the stack adds."""
    ours = (b"x-request-id", b"traceparent")
    return [
        {**message, "headers": [pair for pair in message["headers"] if pair[0] not in ours]}
        if "headers" in message
        else message
        for message in conversation.sent
    ]


def length(content: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(content)).encode()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failed_answers_text_is_redacted(backend: str) -> None:
    """Its length is that of what is sent."""
    conversation = answered(Answer(start(500, b"text/plain", length(TEXT.encode())), body(TEXT.encode())), backend)
    assert conversation.body == REDACTED.encode()
    assert conversation.header(b"content-length") == [str(len(REDACTED)).encode()]


@pytest.mark.parametrize(
    "content_type",
    [b"text/html; charset=utf-8", b"TEXT/PLAIN", b"application/xml", b"application/problem+xml", b"text/csv"],
)
def test_every_textual_kind_is_redacted(content_type: bytes) -> None:
    """In capitals and with parameters as well."""
    assert_no_secret(answered(Answer(start(503, content_type), body(TEXT.encode()))).body, [TOKEN, EMAIL])


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"application/problem+json; charset=utf-8", b"application/vnd.api+json"]
)
def test_json_stays_json(content_type: bytes) -> None:
    """What stands under a sensitive key goes, all else stays in its place."""
    content = {"detail": TEXT, "errors": [{"loc": ["a", 1], "password": "mine7"}], "n": 2**53 - 1, "x": 1.5, "y": None}
    result = answered(Answer(start(500, content_type), body(json.dumps(content).encode()))).body
    assert json.loads(result) == {
        "detail": REDACTED,
        "errors": [{"loc": ["a", 1], "password": "[redacted:credential]"}],
        "n": 2**53 - 1,
        "x": 1.5,
        "y": None,
    }


def test_json_is_not_cut() -> None:
    """The limits are for what is logged; a client waits for all of its answer."""
    content = {
        "detail": "a long story. " * 1000,
        "errors": [{"id": n, "numbers": list(range(20))} for n in range(500)],
        "deep": [[[[[[[[[["here"]]]]]]]]]],
    }
    assert (
        json.loads(answered(Answer(start(500, b"application/json"), body(json.dumps(content).encode()))).body)
        == content
    )


def test_text_is_not_cut() -> None:
    """Also beyond what is read of a text in a log."""
    content = "all is lost, " * 20_000 + TEXT
    result = answered(Answer(start(), body(content.encode()))).body
    assert result == ("all is lost, " * 20_000 + REDACTED).encode()


def test_a_key_that_json_has_twice_hides_nothing() -> None:
    """A parser keeps the last, a reader sees both."""
    content = b'{"password": "mine7mine7", "password": null}'
    assert_no_secret(answered(Answer(start(500, b"application/json"), body(content))).body, ["mine7mine7"])


@pytest.mark.parametrize("content", [b"{'detail': ", TEXT.encode(), b"\xff\xfe", b"[" * 100_000, b"NaN", b'"\\ud800"'])
def test_a_body_that_is_not_json_is_redacted_as_text(content: bytes) -> None:
    """A content type may be wrong."""
    assert_no_secret(answered(Answer(start(500, b"application/json"), body(content))).body, [TOKEN, EMAIL])


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16", "windows-1252", "no-such-charset"])
def test_a_charset_is_kept(charset: str) -> None:
    """The client decodes with the declared charset."""
    encoding = "utf-8" if charset.startswith("no") else charset
    content_type = f'text/plain; charset="{charset}"'.encode()
    result = answered(Answer(start(500, content_type), body(f"Ü {TEXT}".encode(encoding)))).body
    assert result.decode(encoding) == f"Ü {REDACTED}"


UNTOUCHED: dict[str, list[Message]] = {
    "a client's error": [start(422), body(TEXT.encode())],
    "success": [start(200), body(TEXT.encode())],
    "an image": [start(500, b"image/png"), body(TEXT.encode())],
    "no type": [start(500, None), body(TEXT.encode())],
    "a stream": [start(), body(b"no ", more_body=True), body(TOKEN.encode(), more_body=True), body(b"")],
    "a compressed body": [
        start(500, b"text/plain", (b"Content-Encoding", b"gzip")),
        body(gzip.compress(TEXT.encode())),
    ],
    "a file": [start(), {"type": "http.response.pathsend", "path": "/srv/errors/500.html"}],
    "nothing": [start(500, b"text/plain", (b"content-length", b"0")), body(b"")],
    "a HEAD": [start(500, b"text/plain", (b"content-length", b"120")), body(b"")],
    "no body key": [start(), {"type": "http.response.body"}],
    "nothing to hide": [start(500, b"text/html", length(b"Sorry"), (b"etag", b'"1"')), body(b"Sorry")],
    "early hints": [{"type": "http.response.early_hint", "links": [b"</a.css>"]}, start(200), body(b"")],
    "trailers": [{**start(200), "trailers": True}, body(b""), {"type": "http.response.trailers", "headers": []}],
}


@pytest.mark.parametrize("messages", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_other_bodies_than_failed_texts_are_untouched(messages: Sequence[Message]) -> None:
    """Each message reaches the server as it was."""
    assert messages_of(answered(Answer(*messages))) == list(messages)


def test_an_answer_without_headers_announces_no_text() -> None:
    """ASGI lets an application leave them out."""
    conversation = answered(Answer({"type": "http.response.start", "status": 500}, body(TEXT.encode())))
    assert conversation.body == TEXT.encode()


def test_without_the_flag_nothing_is_touched() -> None:
    """An answer is the application's, unless an operator says otherwise."""
    stack = obs.build_stack(Answer(start(), body(TEXT.encode())), Observed().obs)
    assert anyio.run(converse, stack, http_scope()).body == TEXT.encode()


def test_a_websocket_is_untouched() -> None:
    """It has no body."""
    app = Answer({"type": "websocket.accept"}, {"type": "websocket.send", "text": TEXT})
    stack = obs.build_stack(app, Observed({"OBS_REDACT_ERROR_BODIES": "true"}).obs)
    assert anyio.run(converse, stack, websocket_scope()).sent[-1]["text"] == TEXT


def test_a_body_in_one_part_is_not_a_stream() -> None:
    """Starlette's BaseHTTPMiddleware sends every response as a stream; the content-length identifies a whole body."""

    async def failing(request: Request) -> Response:
        return JSONResponse({"detail": TEXT}, 500)

    async def passing(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    middleware = [Middleware(BaseHTTPMiddleware, dispatch=passing)]
    conversation = answered(Starlette(routes=[Route("/", failing)], middleware=middleware))
    assert json.loads(conversation.body) == {"detail": REDACTED}
    assert conversation.header(b"content-length") == [str(len(conversation.body)).encode()]


def test_a_wrong_content_length_is_put_right() -> None:
    """Whatever the application claimed of the body that it sent."""
    conversation = answered(Answer(start(500, b"text/plain", (b"Content-Length", b"7")), body(TEXT.encode())))
    assert conversation.header(b"content-length") == [str(len(REDACTED)).encode()]


def test_a_body_without_a_length_gets_no_length() -> None:
    """The server sends it in chunks."""
    assert answered(Answer(start(), body(TEXT.encode()))).header(b"content-length") == []


def test_headers_about_the_original_body_are_removed() -> None:
    """A digest of the secret body would not fit, and could confirm a guess; other headers stay."""
    vouching = [(b"ETag", b'"abc"'), (b"content-md5", b"x"), (b"Repr-Digest", b"y"), (b"retry-after", b"9")]
    conversation = answered(Answer(start(503, b"text/plain", *vouching), body(TEXT.encode())))
    assert messages_of(conversation)[0]["headers"] == [
        (b"content-type", b"text/plain"),
        (b"retry-after", b"9"),
    ]


@pytest.mark.parametrize("stack", [True, False], ids=["whole stack", "alone"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_application_that_raises_after_the_start_is_as_before(backend: str, stack: bool) -> None:
    """The start reaches the server, and so does the error itself."""
    error = ValueError("boom")
    conversation = answered(Answer(start(), error=error), backend, stack=stack)
    assert messages_of(conversation) == [start()]
    assert conversation.error is error


def test_an_application_that_returns_after_the_start_is_as_before() -> None:
    """The server learns that it was left alone, and what it had got."""
    assert messages_of(answered(Answer(start()))) == [start()]


def test_an_error_is_not_replaced_by_a_broken_connection() -> None:
    """Where the client has gone as well, the cause is what the application raised."""
    error = ValueError("boom")
    conversation = answered(Answer(start(), error=error), stack=False, hangs_up_after=0)
    assert conversation.error is error


def test_a_client_that_has_gone_is_an_error_for_the_application() -> None:
    """The server reports it at the body, if not at the start."""
    conversation = answered(Answer(start(), body(TEXT.encode())), stack=False, hangs_up_after=0)
    assert isinstance(conversation.error, OSError)


def test_a_second_answer_is_passed_on_as_it_comes() -> None:
    """The server reports invalid ASGI messages; no message is held back forever."""
    conversation = answered(Answer(start(), start(), body(TEXT.encode())), stack=False)
    assert [message["type"] for message in conversation.sent].count("http.response.start") == 2
    assert_no_secret(conversation.body, [TOKEN])


def test_a_body_that_the_policy_cannot_redact_is_left_out() -> None:
    """Fail closed: the client gets an empty body with its length, and the failure is counted."""
    observed = Observed({"OBS_REDACT_ERROR_BODIES": "true"})
    wrong: Any = "not bytes"
    app = RedactionMiddleware(Answer(start(500, b"text/plain", (b"content-length", b"9")), body(wrong)), observed.obs)
    conversation = anyio.run(converse, app, http_scope())
    assert conversation.body == b""
    assert conversation.header(b"content-length") == [b"0"]
    assert observed.value("divan_obs_errors_total", component="redaction") == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "http.response.start"},
        {"type": "http.response.start", "status": None, "headers": []},
        {"type": "http.response.start", "status": 500, "headers": None},
        {"type": "http.response.start", "status": 500, "headers": [(b"content-type",)]},
    ],
)
def test_an_invalid_start_is_left_to_the_server(odd: dict[str, Any]) -> None:
    """It is forwarded as it is; what its server makes of it is not for an observer to decide."""
    conversation = answered(Answer(dict(odd), body(TEXT.encode())), stack=False)
    assert [conversation.error, conversation.sent[0]] == [None, odd]


def test_a_status_may_be_a_text_and_a_body_a_view() -> None:
    """Some servers take them."""
    answer = Answer({**start(), "status": "500"}, {**body(b""), "body": memoryview(TEXT.encode())})
    assert answered(answer, stack=False).body == REDACTED.encode()


def test_starlettes_debug_page_is_redacted() -> None:
    """With `debug=True` it shows the exception to everyone."""

    async def failing(request: Request) -> Response:
        raise ValueError(TEXT)

    conversation = answered(Starlette(debug=True, routes=[Route("/", failing)]))
    assert conversation.status == 500
    assert_no_secret(conversation.body, [TOKEN, EMAIL])


def test_a_handler_can_return_the_redacted_view() -> None:
    """The policy of the request serves answers too, without the flag."""

    async def failing(request: Request) -> Response:
        return PlainTextResponse(request.scope[REDACTION_KEY].policy.redact_text(TEXT), 400)

    stack = obs.build_stack(Starlette(routes=[Route("/", failing)]), Observed().obs)
    assert anyio.run(converse, stack, http_scope()).body == REDACTED.encode()


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check: Check) -> None:
    """What every middleware promises also holds for one that may change bodies."""
    observed = Observed({"OBS_REDACT_ERROR_BODIES": "true"}).obs
    anyio.run(check, lambda app: RedactionMiddleware(app, observed))

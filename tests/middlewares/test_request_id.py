"""Every connection has an id, and its client is told."""

from __future__ import annotations

import re
import uuid

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import RequestIdMiddleware
from divan_obs_asgi.record import current_record
from divan_obs_asgi.testing import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.types import Message, Receive, Scope, Send
from tests.stacks import BACKENDS, Observed, run_on

HEADER = b"x-request-id"
UUID4 = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
WELL_FORMED = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def asked_with(*values: bytes, backend: str = "asyncio") -> Conversation:
    app = RequestIdMiddleware(hello, Observed().obs)
    return run_on(backend, converse, app, http_scope(headers=[(HEADER, value) for value in values]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_without_an_id_is_given_one(backend: str) -> None:
    """A random UUID, another one for every request."""
    app = RequestIdMiddleware(hello, Observed().obs)

    async def ask_often() -> set[bytes]:
        return {(await converse(app, http_scope())).header(HEADER)[0] for _ in range(600)}

    ids = run_on(backend, ask_often)
    assert len(ids) == 600
    assert all(UUID4.fullmatch(value) for value in ids)
    assert {uuid.UUID(value.decode()).version for value in ids} == {4}


@pytest.mark.parametrize(
    "value",
    [
        b"a",
        b"A" * 128,
        b"0b4f8e1c-5a57-4a4e-9c52-1e7bb0d8b6ad",
        b"Root=1-67891233-abcdef012345678912345678",
        b"service/edge:7f.3+x==",
    ],
)
def test_a_good_id_is_kept(value: bytes) -> None:
    """The ids of proxies and callers are of many forms, and the way of a request is followed by one."""
    assert asked_with(value).header(HEADER) == [value]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"a" * 129,
        b"a b",
        b" a",
        b"a\n",
        b"a\r\nset-cookie: b=c",
        b"a\x00b",
        b"\x1b[31mred",
        b'a","level":"debug',
        b"${jndi:ldap://x}",
        b"<script>",
        b"a,b",
        b"caf\xc3\xa9",
        b"\xff\xfe",
    ],
)
def test_a_bad_id_is_replaced(value: bytes) -> None:
    """What could forge a log line or a header is never echoed, and the request is served."""
    done = asked_with(value)
    assert (done.status, done.body) == (200, b"hello")
    (given_out,) = done.header(HEADER)
    assert UUID4.fullmatch(given_out)
    assert not value or value not in repr(done.sent).encode()


@given(st.binary(max_size=200))
@example(b"a\n")  # `$` of a regular expression would let it pass.
def test_no_bytes_of_a_client_can_leave_the_alphabet(value: bytes) -> None:
    """Whatever is sent, what comes back is one well-formed id: the same one or ours."""
    (given_out,) = asked_with(value).header(HEADER)
    if WELL_FORMED.fullmatch(value):
        assert given_out == value
    else:
        assert UUID4.fullmatch(given_out)


@pytest.mark.parametrize(
    "value",
    [
        b"ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY",
        b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlc2lnbmF0dXJlc2ln",
        b"AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_an_id_that_is_a_secret_is_replaced(value: bytes) -> None:
    """A client that sends its token for an id would have it in every log line, span and answer."""
    (given_out,) = asked_with(value).header(HEADER)
    assert UUID4.fullmatch(given_out)


def test_of_two_ids_one_is_used() -> None:
    """A proxy that appends its own and a client that sends one: still a single header goes back."""
    assert asked_with(b"client", b"proxy").header(HEADER) == [b"proxy"]
    (given_out,) = asked_with(b"client", b"not good").header(HEADER)
    assert UUID4.fullmatch(given_out)


@pytest.mark.parametrize("name", [b"x-request-id", b"X-Request-ID"])
def test_an_id_of_the_application_is_replaced(name: bytes) -> None:
    """One id in the log, on the span and with the client; two headers would be two truths."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(name, b"mine"), (b"x-other", b"1")]})
        await send({"type": "http.response.body"})

    stack = RequestIdMiddleware(app, Observed().obs)
    done = anyio.run(converse, stack, http_scope(headers=[(HEADER, b"the-clients")]))
    assert done.header(HEADER) == [b"the-clients"]
    assert done.header(b"x-other") == [b"1"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_application_can_read_it(backend: str) -> None:
    """From the record of the request, for a message to a colleague or another service."""
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        record = current_record.get()
        assert record is not None
        found.append(record.request_id)
        await hello(scope, receive, send)

    stack = RequestIdMiddleware(app, Observed().obs)
    done = run_on(backend, converse, stack, http_scope())
    assert done.header(HEADER) == [found[0].encode()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "answer",
    [
        [{"type": "websocket.accept"}],
        [
            {"type": "websocket.http.response.start", "status": 401, "headers": []},
            {"type": "websocket.http.response.body"},
        ],
    ],
    ids=["accepted", "denied"],
)
def test_a_websocket_is_told_with_the_answer_to_its_handshake(answer: list[Message], backend: str) -> None:
    """Both when it is accepted and when it is denied with a response."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in answer:
            await send(dict(message))

    stack = RequestIdMiddleware(app, Observed().obs)
    done = run_on(backend, converse, stack, websocket_scope(headers=[(HEADER, b"from-the-browser")]))
    assert done.header(HEADER) == [b"from-the-browser"]


def test_an_error_page_carries_it() -> None:
    """Who reports a 500 has the id to report."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body"})
        raise ValueError("on purpose")

    stack = RequestIdMiddleware(app, Observed().obs)
    done = anyio.run(converse, stack, http_scope(headers=[(HEADER, b"reported")]))
    assert (done.status, done.header(HEADER)) == (500, [b"reported"])


def test_a_stack_within_a_stack_gives_one_id() -> None:
    """The outer one has decided; a mounted application that is observed by itself keeps to it."""
    inner = obs.build_stack(hello, Observed().obs, [RequestIdMiddleware])
    outer = obs.build_stack(inner, Observed().obs, [RequestIdMiddleware])
    assert len(anyio.run(converse, outer, http_scope()).header(HEADER)) == 1


def test_it_steps_aside_where_it_is_off() -> None:
    """The reason is the flag's name."""
    observed = Observed({"OBS_REQUEST_ID_ENABLED": "false"})
    with pytest.raises(obs.MiddlewareNotUsed, match=r"^OBS_REQUEST_ID_ENABLED is false$"):
        RequestIdMiddleware(hello, observed.obs)

"""Every connection has an id, and its client is told."""

from __future__ import annotations

import re
import uuid

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.middlewares import RequestIdMiddleware
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


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01".encode()
IN_ORDER = {"OBS_REQUEST_ID_HEADERS": "X-Request-Id,X-Correlation-ID,traceparent"}


def answered(flags: dict[str, str], *headers: tuple[bytes, bytes]) -> Conversation:
    return anyio.run(converse, RequestIdMiddleware(hello, Observed(flags).obs), http_scope(headers=list(headers)))


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([(b"x-correlation-id", b"c"), (b"x-request-id", b"r")], b"r"),
        ([(b"traceparent", TRACEPARENT), (b"x-correlation-id", b"c")], b"c"),
        ([(b"x-request-id", b"not good"), (b"x-correlation-id", b"c")], b"c"),
        ([(b"x-request-id", b""), (b"traceparent", TRACEPARENT)], TRACE_ID.encode()),
        ([(b"x-request-id", b"ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"), (b"x-correlation-id", b"c")], b"c"),
    ],
)
def test_the_first_header_with_a_good_id_counts(headers: list[tuple[bytes, bytes]], kept: bytes) -> None:
    """In the order of OBS_REQUEST_ID_HEADERS, not of the request; a bad id gives way to the next header's."""
    assert answered(IN_ORDER, *headers).header(HEADER) == [kept]


@pytest.mark.parametrize(
    "values",
    [
        [b"00-00000000000000000000000000000000-b7ad6b7169203331-01"],
        [b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        [TRACEPARENT[:-1]],
        [TRACEPARENT.upper()],
        [TRACEPARENT, TRACEPARENT],
        [b"0af7651916cd43dd8448eb211c80319c"],
    ],
)
def test_a_traceparent_that_starts_a_new_trace_is_not_an_id(values: list[bytes]) -> None:
    """What W3C Trace Context calls invalid, and two of them."""
    (given_out,) = answered(IN_ORDER, *((b"traceparent", value) for value in values)).header(HEADER)
    assert UUID4.fullmatch(given_out)


def test_a_header_that_is_not_named_is_not_read() -> None:
    """By default a client's `X-Correlation-ID` and its trace are not ids, and with an empty list nothing is."""
    for flags, name in (({}, b"x-correlation-id"), ({}, b"traceparent"), ({"OBS_REQUEST_ID_HEADERS": ""}, HEADER)):
        (given_out,) = answered(flags, (name, TRACEPARENT)).header(HEADER)
        assert UUID4.fullmatch(given_out)


def test_the_id_goes_back_under_the_name_that_was_chosen() -> None:
    """And under no other; the application's own header of that name is replaced."""
    flags = {**IN_ORDER, "OBS_REQUEST_ID_RESPONSE_HEADER": "X-Correlation-ID"}
    done = answered(flags, (b"x-correlation-id", b"c"))
    assert (done.header(b"x-correlation-id"), done.header(HEADER)) == ([b"c"], [])


def test_new_ids_are_of_the_version_that_was_chosen() -> None:
    """OBS_REQUEST_ID_FORMAT=uuid7: their order is that of the requests."""
    app = RequestIdMiddleware(hello, Observed({"OBS_REQUEST_ID_FORMAT": "uuid7"}).obs)

    async def ask_often() -> list[str]:
        return [(await converse(app, http_scope())).header(HEADER)[0].decode() for _ in range(50)]

    ids = anyio.run(ask_often)
    assert ids == sorted(set(ids))
    assert {uuid.UUID(made).version for made in ids} == {7}


def test_an_application_may_make_its_own_ids() -> None:
    """A function of the application's; a client's good id still goes before it."""
    numbers = iter(range(10))
    observed = Observed(new_request_id=lambda: f"shop-{next(numbers)}")
    app = RequestIdMiddleware(hello, observed.obs)
    assert [anyio.run(converse, app, http_scope()).header(HEADER) for _ in range(2)] == [[b"shop-0"], [b"shop-1"]]
    assert anyio.run(converse, app, http_scope(headers=[(HEADER, b"a")])).header(HEADER) == [b"a"]


# A token of GitHub's, by its shape.
TOKEN = "ghp_" + "0aB1cD2eF3" * 3 + "123456"


@pytest.mark.parametrize("made", ["", "a b", "a\r\nset-cookie: b", "\u00e9", "a" * 129, None, 7, b"bytes", TOKEN])
def test_a_bad_id_of_the_applications_is_replaced(made: object) -> None:
    """The request is served, with a UUID, and the failure is counted."""
    observed = Observed(new_request_id=lambda: made)
    done = anyio.run(converse, RequestIdMiddleware(hello, observed.obs), http_scope())
    assert (done.status, done.body) == (200, b"hello")
    assert UUID4.fullmatch(done.header(HEADER)[0])
    assert observed.value("divan_obs_errors_total", component="request_id") == 1


def test_a_generator_that_raises_fails_no_request() -> None:
    """As with a bad id."""

    def broken() -> str:
        raise RuntimeError("the sequence is exhausted")

    observed = Observed(new_request_id=broken)
    done = anyio.run(converse, RequestIdMiddleware(hello, observed.obs), http_scope())
    assert UUID4.fullmatch(done.header(HEADER)[0])
    assert observed.value("divan_obs_errors_total", component="request_id") == 1

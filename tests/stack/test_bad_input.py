"""Bad input, through a real server: what the client gets is what it would get without the stack, and it is counted."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.types import ASGIApp
from tests.patience import PATIENCE_S
from tests.servers.asgi import Serving, serve
from tests.stacks import Observed

# What the stack adds, and the time.
OURS = (b"x-request-id:", b"traceparent:", b"date:")


async def read(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def stream(request: Request) -> Response:
    def parts() -> Iterator[bytes]:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            yield b"x" * 65_536

    return StreamingResponse(parts())


def service() -> Starlette:
    return Starlette(routes=[Route("/read/{name:path}", read, methods=["GET", "POST"]), Route("/stream", stream)])


@contextmanager
def served(app: ASGIApp, parser: str) -> Iterator[Serving]:
    with serve(app, http=parser, lifespan="off", h11_max_incomplete_event_size=1 << 22) as serving:
        yield serving


def ask(serving: Serving, request: bytes) -> list[bytes]:
    """Send these bytes, and return the lines of the answer."""
    with socket.create_connection((serving.host, serving.port), PATIENCE_S) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b"")).split(b"\r\n")


def without_ours(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if not line.lower().startswith(OURS)]


def get(path: bytes = b"/read/a", *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"host: a", b"connection: close", *headers, b"", b""])


def line_of(observed: Observed) -> dict[str, Any]:
    """Wait for the access line of the one request, which may end after its client has gone."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        lines = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
        if lines:
            (line,) = lines
            return line
        time.sleep(0.005)
    raise AssertionError("There is no line.")


@pytest.mark.slow
@pytest.mark.parametrize("parser", ["h11", "httptools"])
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(b"/read/%ff%fe%00%C3"), 200),
        (get(b"/nowhere/%ff"), 404),
        (get(b"/read/a?q=%ff&%fe=%7f"), 200),
        (get(b"/read/a", b"x-name: \xff\xfe\x80", b"cookie: \xe4=\xfc", b"user-agent: \xc3\x28"), 200),
        (get(b"/read/a", *(b"x-%d: " % n + b"v" * 1000 for n in range(1000))), 200),
        (get(b"/read/a", b"x-request-id: " + b"a" * 100_000), 200),
        (get(b"/read/a", b"traceparent: 00-zz-zz-01", b"tracestate: ,=,", b"baggage: =;,\xff"), 200),
        (get(b"/read/a").replace(b"GET", b"BREW"), 405),
    ],
    ids=["path", "unmatched path", "query", "headers", "1 MB of headers", "long id", "trace context", "method"],
)
def test_a_client_gets_what_it_would_get_without_the_stack(request_: bytes, status: int, parser: str) -> None:
    """Bytes that are no UTF-8, a megabyte of headers, ids and methods of a client's own: served, and counted once."""
    observed = Observed()
    with served(service(), parser) as bare, served(obs.build_stack(service(), observed.obs), parser) as wrapped:
        alone, answer = ask(bare, request_), ask(wrapped, request_)
        assert without_ours(answer) == without_ours(alone)
        if answer[0].split()[1] != str(status).encode():
            # The parser itself has refused it; no application has heard of it.
            assert observed.lines() == []
            return
        line = line_of(observed)
    assert (line["status"], line["outcome"]) == (status, "ok")
    assert line["route"] == ("__unmatched__" if status == 404 else "/read/{name}")
    assert uuid.UUID(line["request_id"]).version == 4
    assert f"x-request-id: {line['request_id']}".encode() in answer
    assert sum(observed.samples("divan_http_requests_total").values()) == 1
    assert observed.value("divan_http_outcomes_total", route=line["route"], outcome="ok") == 1


def test_a_body_that_never_comes_is_a_client_that_has_left() -> None:
    """The application waits as long as its client does; then the request is over, and no success."""
    observed = Observed()
    with served(obs.build_stack(service(), observed.obs), "h11") as wrapped:
        with socket.create_connection((wrapped.host, wrapped.port), PATIENCE_S) as connection:
            connection.sendall(b"POST /read/a HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
            until = time.monotonic() + PATIENCE_S
            while observed.value("divan_http_requests_in_flight") == 0 and time.monotonic() < until:
                time.sleep(0.005)
            assert observed.lines() == []
        line = line_of(observed)
    assert (line["route"], line["status"], line["outcome"]) == ("/read/{name}", 0, "client_disconnect")
    assert observed.value("divan_http_requests_in_flight") == 0


def test_a_client_that_leaves_an_endless_answer_ends_it() -> None:
    """What it has got is counted, and that it did not get all of it."""
    observed = Observed()
    with served(obs.build_stack(service(), observed.obs), "h11") as wrapped:
        with socket.create_connection((wrapped.host, wrapped.port), PATIENCE_S) as connection:
            connection.sendall(get(b"/stream"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        line = line_of(observed)
    assert (line["route"], line["status"], line["outcome"]) == ("/stream", 200, "client_disconnect")
    assert line["latency_ms"] < PATIENCE_S * 1000
    assert observed.value("divan_http_response_size_bytes_count", route="/stream", method="GET") == 1

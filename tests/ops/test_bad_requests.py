"""What every endpoint has in common: whom it refuses, what it does not read, and what of its use is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import anyio
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import OpsMiddleware
from divan_obs_asgi.ops.bodies import MAX_BODY
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.parts import endpoints
from divan_obs_asgi.testing import Conversation, converse
from divan_obs_asgi.types import Message
from tests.logs.root_logger import root_logger_kept
from tests.ops.asking import TOKEN, application, ask, bearer, detail, messages, operated, scope_of
from tests.stacks import Observed

UNBOUND = Observed().obs
DECLARED = [
    (endpoint.path.replace("{name}", "redis"), endpoint, operation)
    for endpoint in endpoints(UNBOUND, Guard(UNBOUND.settings, UNBOUND.faults))
    for operation in endpoint.operations
]
GUARDED = [(path, operation.method) for path, endpoint, operation in DECLARED if endpoint.guarded]
READS = [path for path, method in GUARDED if method == "GET"]
DEEDS = [path for path, method in GUARDED if method == "POST"]
WITH_BODY = [path for path, _, operation in DECLARED if operation.body is not None]
UNSET = "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'."


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    with root_logger_kept():
        yield
    logging.getLogger("tests.bad").setLevel(logging.NOTSET)


def logging_operated() -> Observed:
    """Return a bundle with a token, whose log can be read."""
    observed = operated()
    observed.obs.log.install()
    return observed


def test_there_is_something_of_each_kind() -> None:
    """The tests below are of everything that is declared, and not of nothing."""
    assert {"/metrics", "/ops", "/ops/config", "/health/ready/redis"} < set(READS)
    assert set(DEEDS) == {"/ops/rollover", "/ops/trace/test", "/ops/loggers", "/ops/drain"}
    assert set(WITH_BODY) == {"/ops/rollover", "/ops/loggers"}


@pytest.mark.parametrize("env", ["dev", "prod"])
@pytest.mark.parametrize(("path", "method"), GUARDED)
def test_without_a_token_everything_is_closed(path: str, method: str, env: str) -> None:
    """Also in development; the answer names the flag to set."""
    done = ask(Observed({"OBS_ENV": env}), path, bearer(""), method=method)
    assert detail(done) == (403, UNSET)


@pytest.mark.parametrize(("path", "method"), GUARDED)
def test_public_is_what_can_only_be_read(path: str, method: str) -> None:
    """`OBS_METRICS_PUBLIC` opens every GET; what changes something needs a token, which has to be set for it."""
    public = {"OBS_METRICS_PUBLIC": "true", "OBS_ENV": "dev"}
    done = ask(Observed(public), path, method=method)
    if method == "POST":
        assert detail(done) == (403, UNSET)
        assert ask(Observed({**public, "OBS_ADMIN_TOKEN": TOKEN}), path, method=method).status == 401
    else:
        assert done.status in (200, 404)  # There is no probe of this name.


@pytest.mark.parametrize("path", DEEDS)
def test_every_use_is_told(path: str) -> None:
    """By whom, what and how it went; of strangers too."""
    observed = logging_operated()
    done = ask(observed, path, bearer(), method="POST")
    ask(observed, path, bearer("wrong"), method="POST")
    assert messages(observed, "divan_obs_asgi.audit") == [
        f"POST {path}: {done.status}, for the holder of OBS_ADMIN_TOKEN at 192.0.2.7.",
        f"POST {path}: 401, for a refused client at 192.0.2.7.",
    ]


@pytest.mark.parametrize("path", READS)
def test_reading_is_not_told(path: str) -> None:
    """A scrape every ten seconds would bury what matters; nor is one without a token, for anybody can send those."""
    observed = logging_operated()
    ask(observed, path, bearer())
    ask(observed, path)
    assert messages(observed, "divan_obs_asgi.audit") == []


@pytest.mark.parametrize("path", DEEDS)
def test_of_a_stranger_nothing_is_read(path: str) -> None:
    """Neither a byte of the body nor whether it would have been a good one."""

    async def main() -> Conversation:
        async def receive() -> Message:
            raise AssertionError("the body was read")

        done = Conversation()

        async def send(message: Message) -> None:
            done.sent.append(message)

        stack = obs.build_stack(application, operated().obs, [OpsMiddleware])
        await stack(scope_of(path, bearer("wrong"), method="POST"), receive, send)
        return done

    assert anyio.run(main).status == 401


def refused(path: str, *headers: tuple[bytes, bytes], chunks: tuple[bytes, ...] = (b"{}",)) -> tuple[int | None, Any]:
    """Return status and content of what the token's holder gets for a body, and see that the use was told."""
    observed = logging_operated()
    incoming: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    incoming.append({"type": "http.request", "body": b"", "more_body": False})
    stack = obs.build_stack(application, observed.obs)
    done = anyio.run(converse, stack, scope_of(path, bearer(), *headers, method="POST"), incoming)
    (line,) = messages(observed, "divan_obs_asgi.audit")
    assert line == f"POST {path}: {done.status}, for the holder of OBS_ADMIN_TOKEN at 192.0.2.7."
    return done.status, orjson.loads(done.body)


JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize("path", WITH_BODY)
def test_a_body_that_is_too_long_is_not_read_to_its_end(path: str) -> None:
    """Whether it announces its length or not."""
    expected = (413, {"detail": f"The body is longer than {MAX_BODY} bytes."})
    assert refused(path, JSON, (b"content-length", str(MAX_BODY + 1).encode())) == expected
    assert refused(path, JSON, (b"content-length", b"9" * 400)) == expected
    assert refused(path, JSON, chunks=(b" " * MAX_BODY, b" ")) == expected
    # One that only announces less.
    assert refused(path, JSON, (b"content-length", b"2"), chunks=(b" " * (MAX_BODY + 1),)) == expected


@pytest.mark.parametrize("path", WITH_BODY)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"{",
        b"{} {}",
        b"NaN",
        b'{"job":"a",}',
        b"'job'",
        b"job=lb_snapshot",
        b'{"job":"\xed\xa0\x80"}',
        b"\x00",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_json_is_refused(path: str, body: bytes) -> None:
    """Also what is nested so deep that a parser might fall over it."""
    assert refused(path, JSON, chunks=(body,)) == (400, {"detail": "The body is not valid JSON."})


@pytest.mark.parametrize("path", WITH_BODY)
@pytest.mark.parametrize(
    "content_type",
    [
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"application/json+x",
        b"json",
        b"",
    ],
)
def test_what_says_to_be_something_else_is_refused(path: str, content_type: bytes) -> None:
    """Forms above all: a page of somebody else can send them from an operator's browser."""
    status, content = refused(path, (b"content-type", content_type))
    assert (status, content["detail"]) == (415, "Send the body as 'Content-Type: application/json'.")


@pytest.mark.parametrize("path", WITH_BODY)
def test_headers_that_contradict_each_other_are_refused(path: str) -> None:
    """A proxy may have believed the other one."""
    assert refused(path, JSON, JSON)[0] == 400
    assert refused(path, JSON, (b"content-type", b"text/plain"))[0] == 400
    assert refused(path, JSON, (b"content-encoding", b"gzip"))[0] == 415
    assert refused(path, JSON, (b"content-encoding", b"identity"), (b"content-encoding", b"br"))[0] == 415


@pytest.mark.parametrize("path", WITH_BODY)
@pytest.mark.parametrize(
    "content",
    [{"job": "lb_snapshot", "more": 1}, {"__proto__": {}}, {"job": None}, {"job": ["a"]}, {"logger": "a", "level": 7}],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(path: str, content: object) -> None:
    """Unknown names and values of the wrong kind, and nothing of them is repeated."""
    status, told = refused(path, JSON, chunks=(orjson.dumps(content),))
    assert status == 422
    assert "proto" not in told["detail"]


@pytest.mark.parametrize(
    "method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "Post", "", "GE\tT"]
)
@pytest.mark.parametrize(("path", "endpoint"), sorted({path: endpoint for path, endpoint, _ in DECLARED}.items()))
def test_another_method_is_not_allowed(path: str, endpoint: Any, method: str) -> None:
    """Methods are case-sensitive (RFC 9110, section 9.1), and the answer says which there are."""
    done = ask(operated(), path, bearer(), method=method)
    assert done.status == 405
    assert done.header(b"allow") == [", ".join(endpoint.methods).encode()]

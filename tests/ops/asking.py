"""Ask the ops endpoints of an application behind its stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

import divan_obs_asgi as obs
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import Message, Receive, Scope, Send
from tests.stacks import Observed, run_on

TOKEN = "the-token-of-the-operators"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application was called")


def bearer(token: str = TOKEN) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {token}".encode())


def operated(environ: dict[str, str] | None = None, **arguments: Any) -> Observed:
    """Return a bundle with an admin token."""
    # It wakes as often as `anyio.wait_all_tasks_blocked` looks, which then may find it awake time and again.
    quiet = {"OBS_WATCHDOG_ENABLED": "false"}
    return Observed({"OBS_ADMIN_TOKEN": TOKEN, **quiet, **(environ or {})}, **arguments)


def ask(
    observed: Observed,
    path: str,
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    body: object = b"",
    client: object = ("192.0.2.7", 51234),
    backend: str = "asyncio",
) -> Conversation:
    """Ask with exactly these headers, and the query after a `?`; a body that is no bytes is sent as JSON."""
    scope = scope_of(path, *headers, method=method, client=client)
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    incoming: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    return run_on(backend, converse, obs.build_stack(application, observed.obs), scope, incoming)


def scope_of(
    path: str, *headers: tuple[bytes, bytes], method: str = "GET", client: object = ("192.0.2.7", 51234)
) -> Scope:
    path, _, query = path.partition("?")
    return {
        **http_scope(path, method=method, headers=headers),
        "query_string": query.encode(),
        "client": client,
    }


def told(observed: Observed, path: str, **options: Any) -> Any:
    """Return what the holder of the token is told."""
    done = ask(observed, path, bearer(), **options)
    assert (done.status, done.header(b"cache-control")) == (200, [b"no-store"])
    return orjson.loads(done.body)


def detail(done: Conversation) -> tuple[int | None, str]:
    """Return the status and the sentence of a refusal."""
    return done.status, orjson.loads(done.body)["detail"]


def messages(observed: Observed, logger: str) -> Sequence[str]:
    return [line["msg"] for line in observed.lines() if line["logger"] == logger]

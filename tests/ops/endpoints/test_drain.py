"""/ops/drain, and what /health/* say meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed

TOKEN = "an-admin-token-of-this-test"
BEARER = (b"authorization", f"Bearer {TOKEN}".encode())
BODY = {"type": "http.request", "body": b"", "more_body": False}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def talk(observed: Observed, *requests: tuple[str, str]) -> list[Conversation]:
    """Make requests of a service, one after the other."""
    stack = obs.build_stack(application, observed.obs)

    async def one_after_the_other() -> list[Conversation]:
        return [
            await converse(stack, http_scope(path, method=method, headers=[BEARER]), [BODY])
            for method, path in requests
        ]

    return anyio.run(one_after_the_other)


def drained(delay_s: str = "30") -> Observed:
    return Observed({"OBS_ADMIN_TOKEN": TOKEN, "OBS_DRAIN_DELAY_S": delay_s})


def contents(answers: Sequence[Conversation]) -> list[Any]:
    return [orjson.loads(answer.body) for answer in answers]


def test_a_drain_is_started_once() -> None:
    """It ends nothing by itself, and who starts it again is told how far it is."""
    answers = talk(drained(), ("GET", "/ops/drain"), ("POST", "/ops/drain"), ("POST", "/ops/drain"))
    before, started, again = contents(answers)
    nothing = {"requests": 0, "websockets": 0}
    assert before == {"state": "serving", "cause": "", "remaining_s": 30.0, "in_flight": nothing}
    assert started["state"] == again["state"] == "draining"
    assert started["cause"] == again["cause"] == "POST /ops/drain"
    assert 10.0 < again["remaining_s"] <= started["remaining_s"] <= 30.0
    assert [answer.status for answer in answers] == [200, 200, 200]


def test_while_draining_the_service_is_alive_and_not_ready() -> None:
    """A balancer takes it out, and nothing restarts it; requests are answered, each as the last of its connection."""
    paths = ["/health/ready", "/health/live", "/anything"]
    before, _, ready, live, request = talk(
        drained(), ("GET", "/health/ready"), ("POST", "/ops/drain"), *[("GET", path) for path in paths]
    )
    assert (before.status, orjson.loads(before.body)) == (200, {"status": "ok", "checks": {}})
    assert ready.status == 503
    assert orjson.loads(ready.body) == {"status": "fail", "checks": {"drain": {"ok": False, "latency_ms": 0}}}
    assert (live.status, live.body) == (200, b'{"status":"ok"}')
    assert request.status == 204
    assert request.header(b"connection") == [b"close"]
    assert before.header(b"connection") == []


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_what_is_in_flight_is_counted(kind: str) -> None:
    """Requests and WebSockets that the application has not ended yet, and not the one that asks; at /ops as well."""
    observed = drained()
    entered, leave = anyio.Event(), anyio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        raise RuntimeError("also where it raises")

    async def main() -> tuple[Any, Any]:
        stack = obs.build_stack(waiting, observed.obs)
        scope = {**http_scope("/slow"), "type": kind}

        async def now() -> Any:
            answers = [
                await converse(stack, http_scope(path, headers=[BEARER]), [BODY]) for path in ("/ops/drain", "/ops")
            ]
            of_drain, of_ops = (orjson.loads(answer.body)["in_flight"] for answer in answers)
            assert of_drain == of_ops
            return of_ops

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(converse, stack, scope, [])
            await entered.wait()
            during = await now()
            leave.set()
        return during, await now()

    during, after = anyio.run(main)
    assert during == {"requests": int(kind == "http"), "websockets": int(kind == "websocket")}
    assert after == {"requests": 0, "websockets": 0}

"""A request with the signed debug header has a place in the console."""

from __future__ import annotations

from typing import Any

import anyio
import orjson

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.debug_header import DebugKey
from divan_obs_asgi.console.install import installed
from divan_obs_asgi.console.state import StateBuilder
from divan_obs_asgi.middlewares import AccessLogMiddleware
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed

KEY = "0123456789abcdef"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def test_a_debugged_request_is_marked() -> None:
    """And no other one; the header itself is nowhere in the state."""
    observed = Observed({"OBS_CONSOLE_ENABLED": "true", "OBS_DEBUG_KEY": KEY, "OBS_ENV": "test"})
    console = installed(observed.obs)
    # Slow enough that no request is among the slowest.
    console.requests.slow_floor_s = 1e9
    stack = build_stack(application, observed.obs, [AccessLogMiddleware])
    value = DebugKey(KEY).header()
    for headers in ([], [(b"x-divan-debug", value.encode())], [(b"x-divan-debug", b"forged")]):
        anyio.run(converse, stack, http_scope(headers=headers))
    body = StateBuilder(console).answer(None, console.collect(), console.now(), "", [], [])
    state: Any = orjson.loads(body)
    assert [row["debug"] for row in state["requests"]] == [False, True, False]
    assert value.encode() not in body

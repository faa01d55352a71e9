"""A service with the console on, and what its page would be sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

import divan_obs_asgi as obs
from divan_obs_asgi.console.install import installed
from divan_obs_asgi.console.store import Console
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import ASGIApp, Message
from tests.ops.asking import bearer
from tests.stacks import Observed

TOKEN = "the-token-of-the-operators"
FLAGS = {"OBS_CONSOLE_ENABLED": "true", "OBS_ADMIN_TOKEN": TOKEN, "OBS_WATCHDOG_ENABLED": "false"}


class Watched:
    """An application behind its stack, with the console on."""

    def __init__(self, app: ASGIApp, environ: dict[str, str] | None = None, **arguments: Any) -> None:
        self.observed = Observed({**FLAGS, **(environ or {})}, **arguments)
        self.obs = self.observed.obs
        self.stack = obs.build_stack(app, self.obs)

    @property
    def console(self) -> Console:
        return installed(self.obs)

    async def get(
        self, path: str, *headers: tuple[bytes, bytes], method: str = "GET", body: bytes = b""
    ) -> Conversation:
        path, _, query = path.partition("?")
        scope = {**http_scope(path, method=method, headers=headers), "query_string": query.encode("utf-8", "replace")}
        incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        return await converse(self.stack, scope, incoming)

    async def state(self, since: str = "") -> Any:
        done = await self.get(f"/ops/console/state?since={since}", bearer())
        assert done.status == 200, done.body
        return orjson.loads(done.body)

    async def opened(self, request_id: str) -> Any:
        done = await self.get(f"/ops/console/requests/{request_id}", bearer())
        assert done.status == 200, done.body
        return orjson.loads(done.body)

    async def everything(self) -> bytes:
        """Return all bytes that the console sends: the state, and each request opened."""
        done = await self.get("/ops/console/state", bearer())
        parts = [done.body]
        for row in orjson.loads(done.body)["requests"]:
            parts.append((await self.get(f"/ops/console/requests/{row['id']}", bearer())).body)
        return b"\n".join(parts)


def row_of(state: Any, name: str, is_meant: Callable[[Any], bool]) -> Any:
    """Return the only row of a list for which this is true."""
    (found,) = [row for row in state[name] if is_meant(row)]
    return found


__all__ = ["FLAGS", "TOKEN", "Watched", "row_of"]

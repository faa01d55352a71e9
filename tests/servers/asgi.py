"""A real uvicorn around an app of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class _Server(uvicorn.Server):
    """A uvicorn that sets an event once it has started, or failed to start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self.error: BaseException | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()

    async def main_loop(self) -> None:
        # uvicorn checks ten times a second whether to end; that is too slow for tests.
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            await asyncio.sleep(0.005)

    def serve_in_thread(self, sockets: list[socket.socket]) -> None:
        try:
            self.run(sockets)
        except BaseException as exc:
            self.error = exc
        finally:
            self.settled.set()


@dataclass(frozen=True)
class Serving:
    """Where the app is served."""

    host: str
    port: int
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host}:{self.port}"


@contextmanager
def serve(app: Any, **options: Any) -> Iterator[Serving]:
    """
    Serve an app, or the one that an import string names, by uvicorn in a thread; shut it down at the end of the block.

    `options` are those of `uvicorn.Config`. The logging of the test session is left as it is.

    Raises:
        RuntimeError: if the server does not start, as when the app's lifespan fails.
    """
    config = uvicorn.Config(app, **{"log_config": None, "timeout_graceful_shutdown": 5, **options})
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.serve_in_thread, args=([listener],), name="uvicorn", daemon=True)
        thread.start()
        try:
            if not server.settled.wait(START_TIMEOUT_S) or not server.started:
                raise RuntimeError("uvicorn did not start; see its log.") from server.error
            host, port = listener.getsockname()
            yield Serving(host, port, server)
        finally:
            server.should_exit = True
            thread.join(STOP_TIMEOUT_S)
            if thread.is_alive():
                server.force_exit = True
                thread.join(STOP_TIMEOUT_S)
    if server.error is not None:
        raise server.error

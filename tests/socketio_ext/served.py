"""
A Socket.IO service in a process of its own: `python -m tests.socketio_ext.served PORT WAY`.

WAY says how the Socket.IO server and the HTTP application stand to each other:

- over: the stack around `socketio.ASGIApp(server, other_asgi_app=http)`;
- under: `socketio.ASGIApp(server, other_asgi_app=...)` around the stack around the HTTP application;
- mount: Starlette's `Mount` of `socketio.ASGIApp(server)`, observed in place;
- fastapi: the same in FastAPI.
"""

# python-socketio is not annotated, and its methods are called on its subclasses here.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi
from divan_obs_asgi import Observability
from tests.patience import PATIENCE_S

logger = logging.getLogger("served")
doorman = asyncio.Event()


def handlers_of(server: socketio.AsyncServer) -> None:
    """Register the handlers of `/`: functions, one of them sync, and a catch-all for none."""

    async def echo(sid: str, *args: object) -> tuple[object, ...]:
        logger.info("echoing")
        return args

    def plain(sid: str, text: str) -> str:
        logger.info("plainly")
        return text

    async def breaks(sid: str, *args: object) -> None:
        raise LookupError("on purpose")

    async def ask(sid: str, question: str) -> object:
        return await server.call("question", question, to=sid, timeout=PATIENCE_S)

    async def ask_of(sid: str, other: str, question: str) -> object:
        return await server.call("question", question, to=other, timeout=PATIENCE_S)

    async def ask_in_vain(sid: str) -> str:
        try:
            await server.call("late_question", to=sid, timeout=0.05)
        except socketio.exceptions.TimeoutError:
            return "no answer"
        return "an answer"

    async def leave(sid: str) -> None:
        await server.disconnect(sid)

    for handler in (echo, plain, breaks, ask, ask_of, ask_in_vain, leave):
        server.on(handler.__name__, handler)


class Chat(socketio.AsyncNamespace):
    """The namespace `/chat`, a class with rooms."""

    async def on_connect(self, sid: str, environ: Mapping[str, object], auth: object) -> None:
        wish = auth if isinstance(auth, dict) else {}
        if wish.get("refused"):
            raise socketio.exceptions.ConnectionRefusedError("not you")
        if wish.get("broken"):
            raise LookupError("on purpose")
        if wish.get("kept_waiting"):
            logger.warning("waiting")
            await doorman.wait()

    async def on_disconnect(self, sid: str, reason: object = None) -> None:
        logger.info("gone")

    async def on_join(self, sid: str, room: str) -> str:
        await self.enter_room(sid, room)
        return room

    async def on_leave(self, sid: str, room: str) -> str:
        await self.leave_room(sid, room)
        return room

    async def on_quit(self, sid: str) -> None:
        await self.disconnect(sid)

    async def on_say(self, sid: str, room: str, text: object) -> None:
        await self.emit("said", text, room=room)


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def admit(request: Request) -> Response:
    """Let those in who are kept waiting."""
    doorman.set()
    doorman.clear()
    return Response()


async def flush(request: Request) -> Response:
    """Send everything that is queued, so that a test may look."""
    await anyio.to_thread.run_sync(request.app.state.obs.flush)
    return PlainTextResponse(str(os.getpid()))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    logger.warning("the application has started")
    yield
    logger.warning("the application has ended")


def server_of(obs: Observability) -> Any:
    redis_url = os.environ.get("SOCKETIO_REDIS_URL")
    talkative = "SOCKETIO_LOGGERS" in os.environ
    server = divan_obs_asgi.socketio_ext.ObservedAsyncServer(
        obs=obs,
        async_mode="asgi",
        client_manager=socketio.AsyncRedisManager(redis_url) if redis_url else None,
        max_http_buffer_size=100_000,
        transports=os.environ.get("SOCKETIO_TRANSPORTS"),
        ping_interval=float(os.environ.get("SOCKETIO_PING_INTERVAL", "1")),
        ping_timeout=float(os.environ.get("SOCKETIO_PING_TIMEOUT", "1")),
        logger=talkative,
        engineio_logger=talkative,
    )
    handlers_of(server)
    server.register_namespace(Chat("/chat"))
    return server


def framework(way: str) -> Any:
    if way != "fastapi":
        return Starlette
    from fastapi import FastAPI  # A third of a second, which only one of the ways needs.

    return FastAPI


def build(way: str) -> Any:
    obs = Observability.from_env()
    server = server_of(obs)
    routes = [Route("/hello", hello), *(Route(f"/{f.__name__}", f, methods=["POST"]) for f in (admit, flush))]
    http = framework(way)(routes=routes, lifespan=lifespan)
    http.state.obs = obs
    if way == "under":
        return socketio.ASGIApp(server, other_asgi_app=divan_obs_asgi.wrap(http, obs))
    if way == "over":
        return divan_obs_asgi.wrap(socketio.ASGIApp(server, other_asgi_app=http), obs)
    http.mount("/socket.io", socketio.ASGIApp(server, socketio_path=""))
    divan_obs_asgi.init(http, obs)
    return http


def talk_at_length() -> None:
    """Let everybody log everything, as somebody does who looks for a fault."""
    for name in (
        "",
        "asyncio",
        "engineio",
        "socketio",
        "uvicorn",
        "websockets",
        *logging.getLogger().manager.loggerDict,
    ):
        logging.getLogger(name).setLevel(logging.DEBUG)


if __name__ == "__main__":
    app = build(sys.argv[2])
    config = uvicorn.Config(app, host="127.0.0.1", port=int(sys.argv[1]), timeout_graceful_shutdown=1)
    if "SOCKETIO_PATIENCE_S" in os.environ:
        # Of a client that polled and has gone Engine.IO waits for the end of its last poll.
        config.timeout_graceful_shutdown = float(os.environ["SOCKETIO_PATIENCE_S"])  # type: ignore[assignment]

    if "SOCKETIO_LOGGERS" in os.environ:
        talk_at_length()
    uvicorn.Server(config).run()

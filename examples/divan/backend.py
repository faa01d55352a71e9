"""The parts of Divan and their observability, put together."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import socketio
from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

import divan_obs_asgi as obs
from examples.divan import auth, chat, leaderboard, presence, storage
from examples.divan.leaderboard import SCOPE, Leaderboard, Period
from examples.divan.realtime import ChatServer


def create_app(environ: Mapping[str, str] | None = None) -> FastAPI:
    """
    Return the backend for one set of environment variables (default: `os.environ`).

    Those of Divan itself: DATABASE_URL, REDIS_URL, and JWT_SECRET, which signs the tokens (several workers must
    share it; without it every process makes its own). All others are flags of divan_obs_asgi.
    """
    environ = os.environ if environ is None else environ
    observability = obs.Observability.from_env(environ)
    database = storage.database_of(environ)
    redis = storage.redis_of(environ)
    tokens = auth.Tokens(environ.get("JWT_SECRET", "").encode() or secrets.token_bytes(32))
    chat_server = ChatServer(observability, tokens)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with storage.opened(database, redis):
            yield
            await chat_server.close()

    app = FastAPI(title="Divan", lifespan=lifespan, exception_handlers={RequestValidationError: unprocessable})
    app.state.tokens = tokens
    app.state.messages = chat.Messages(database)
    app.state.presence = presence.Presence(redis)
    app.state.leaderboard = Leaderboard(database, redis)
    app.state.chat_server = chat_server
    app.state.domain = observability.metrics.domain
    for part in (auth, chat, presence, leaderboard):
        app.include_router(part.router)
    # No path of its own: the mount has matched it already.
    app.mount("/socket.io", socketio.ASGIApp(chat_server, socketio_path=None))

    minimum = observability.settings.health_min_migration
    for probe in (
        obs.probes.RedisProbe(redis),
        obs.probes.SqlProbe(database),
        obs.probes.MigrationsProbe(database, minimum, query=storage.NEWEST_MIGRATION),
    ):
        observability.probes.register(probe)
    count_what_is_known(observability)
    freeze_by_job(observability, app.state.leaderboard)
    obs.init(app, observability)
    return app


def count_what_is_known(observability: obs.Observability) -> None:
    """Declare what stands in labels: anything else is told as __overflow__, whoever sends it."""
    observability.metrics.declare("campus_id", presence.CAMPUSES)
    observability.metrics.declare("reason", ["unknown_campus"])


def freeze_by_job(observability: obs.Observability, leaderboard: Leaderboard) -> None:
    """Have POST /ops/rollover, and whoever else wants to, freeze the leaderboards."""

    @observability.job("lb_snapshot")
    async def lb_snapshot() -> None:
        for period in Period:
            await leaderboard.freeze(period)
            observability.metrics.domain.leaderboard_snapshot(period, SCOPE)


async def unprocessable(request: Request, error: Exception) -> JSONResponse:
    """Name the field and the rule, but do not repeat the value: it may be a message, a place or no valid JSON."""
    assert isinstance(error, RequestValidationError)
    problems = [{name: problem[name] for name in ("loc", "msg", "type")} for problem in error.errors()]
    return JSONResponse({"detail": problems}, status.HTTP_422_UNPROCESSABLE_CONTENT)

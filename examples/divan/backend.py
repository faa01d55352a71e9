"""The parts of Divan and their observability, put together."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import socketio
from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

import divan_obs_asgi as obs
from examples.divan import (
    activities,
    auth,
    chat,
    events,
    leaderboards,
    messages,
    migrations,
    people,
    presence,
    rooms,
    storage,
    unavailable,
)
from examples.divan.realtime import ChatServer


def create_app(environ: Mapping[str, str] | None = None) -> FastAPI:
    """
    Return the backend for one set of environment variables (default: `os.environ`).

    Those of Divan itself: DATABASE_URL, REDIS_URL and the sizes of their pools (`storage`); HEARTBEAT_PAUSE_S, seconds
    between two heartbeats of one person (1); and JWT_SECRET, which signs the tokens (several workers must share it;
    without it every process makes its own). All others are flags of divan_obs_asgi.
    """
    environ = with_defaults(os.environ if environ is None else environ)
    observability = obs.Observability.from_env(environ)
    database = storage.database_of(environ)
    redis, waiting_redis = storage.redis_of(environ)

    app = FastAPI(title="Divan", exception_handlers={RequestValidationError: unprocessable})
    state = app.state
    state.domain = observability.metrics.domain
    state.tokens = auth.Tokens(environ.get("JWT_SECRET", "").encode() or secrets.token_bytes(32))
    state.database = database
    state.presence = presence.Presence(redis, pause_s=storage.number_of(environ, "HEARTBEAT_PAUSE_S", 1))
    state.messages = messages.Messages(database)
    state.events = events.Events(redis)
    state.leaderboards = leaderboards.Leaderboards(database, redis)
    state.chat_server = ChatServer(
        observability, state.tokens, partial(rooms.has_member, database), environ.get("REDIS_URL")
    )
    consumer = events.EventConsumer(waiting_redis, state.leaderboards.score, state.domain)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            async with database:
                await migrations.migrate(database)
                async with consumer.running():
                    yield
                    await state.chat_server.close()
        finally:
            await waiting_redis.aclose()
            await redis.aclose()

    app.router.lifespan_context = lifespan
    for kind in unavailable.STORE_ERRORS:
        app.add_exception_handler(kind, unavailable.unavailable)
    for part in (auth, presence, people, chat, rooms, activities, leaderboards):
        app.include_router(part.router)
    # No path of its own: the mount has matched it already.
    app.mount("/socket.io", socketio.ASGIApp(state.chat_server, socketio_path=None))

    minimum = observability.settings.health_min_migration
    for probe in (
        obs.probes.RedisProbe(redis),
        obs.probes.SqlProbe(database),
        obs.probes.MigrationsProbe(database, minimum, query=migrations.NEWEST_MIGRATION),
    ):
        observability.probes.register(probe)
    declare_labels(observability)
    leaderboards.freeze_by_job(observability, state.leaderboards)
    obs.init(app, observability)
    return app


def with_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with the flags of divan_obs_asgi that this backend has a use for, where they are not set."""
    wanted = {"OBS_SOCKETIO_EMIT_SPANS": "true"}
    if environ.get("REDIS_URL"):  # The lag of a Redis inside this process is nobody's concern.
        wanted["OBS_REDIS_STREAMS"] = events.STREAM
    return {**wanted, **environ}


def declare_labels(observability: obs.Observability) -> None:
    """Declare what stands in labels: anything else is told as __overflow__, whoever sends it."""
    declare = observability.metrics.declare
    declare("campus_id", presence.CAMPUSES)
    declare("reason", list(presence.REASONS))
    declare("kind", list(activities.Kind))
    declare("stream", [events.STREAM, events.DEAD_LETTERS])
    declare("period", list(leaderboards.Period))
    declare("scope", list(leaderboards.Scope))


async def unprocessable(request: Request, error: Exception) -> JSONResponse:
    """Name the field and the rule, but do not repeat the value: it may be a message, a place or no valid JSON."""
    assert isinstance(error, RequestValidationError)
    problems = [{name: problem[name] for name in ("loc", "msg", "type")} for problem in error.errors()]
    return JSONResponse({"detail": problems}, status.HTTP_422_UNPROCESSABLE_CONTENT)

"""The parts of Divan and their observability, put together."""

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import get_args

import socketio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from redis.asyncio import Redis

import divan_obs_asgi as obs
from examples.divan import activities, auth, chat, events, leaderboards, pages, people, presence, rooms, storage
from examples.divan.migrations import NEWEST_MIGRATION, migrate
from examples.divan.realtime import ChatServer
from examples.divan.unavailable import STORE_ERRORS, unavailable


def create_app(environ: Mapping[str, str] | None = None) -> FastAPI:
    """
    Return the backend for one set of environment variables (default: `os.environ`).

    Those of Divan itself: DATABASE_URL, REDIS_URL and the sizes of their pools (`storage`); HEARTBEAT_PAUSE_S, seconds
    between two heartbeats of one person (1); and JWT_SECRET, which signs the tokens (several workers must share it;
    without it every process makes its own). All others are flags of divan_obs_asgi.
    """
    given = os.environ if environ is None else environ
    # Nobody needs the lag of a Redis inside this process.
    streams = {"OBS_REDIS_STREAMS": events.STREAM} if given.get("REDIS_URL") else {}
    environ = {"OBS_SOCKETIO_EMIT_SPANS": "true", **streams, **given}
    observability = obs.Observability.from_env(environ)
    database = storage.database_of(environ)
    redis, waiting_redis = storage.redis_of(environ)

    app = FastAPI(title="Divan", exception_handlers={RequestValidationError: unprocessable})
    state = app.state
    state.domain = observability.metrics.domain
    state.tokens = auth.Tokens(environ.get("JWT_SECRET", "").encode() or secrets.token_bytes(32))
    state.database, state.redis = database, redis
    state.presence = presence.Presence(redis, pause_s=storage.number_of(environ, "HEARTBEAT_PAUSE_S", 1))
    state.page = pages.page_of(observability.settings)
    is_member = partial(rooms.has_member, database)
    state.chat_server = ChatServer(observability, state.tokens, is_member, environ)
    consumer = events.EventConsumer(waiting_redis, leaderboards.score, state.domain)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            async with database:
                await migrate(database)
                async with consumer.running():
                    state.chat_server.open()
                    yield
                    await state.chat_server.close()
        finally:
            await waiting_redis.aclose()
            await redis.aclose()

    app.router.lifespan_context = lifespan
    for kind in STORE_ERRORS:
        app.add_exception_handler(kind, unavailable)
    for feature in (auth, presence, people, chat, rooms, activities, leaderboards, pages):
        app.include_router(feature.router)
    app.mount("/page", StaticFiles(directory=pages.FOLDER))
    # Without a path: the mount has matched it already.
    app.mount("/socket.io", socketio.ASGIApp(state.chat_server, socketio_path=None))
    observe(observability, database, redis)
    leaderboards.freeze_by_job(observability, database, redis)
    obs.init(app, observability)
    return app


def observe(observability: obs.Observability, database: storage.Sql, redis: Redis) -> None:
    """Register the probes and their pools, and declare the values of labels; others are counted as __overflow__."""
    minimum = observability.settings.health.min_migration
    register, declare = observability.probes.register, observability.metrics.declare
    register(obs.probes.RedisProbe(redis))
    register(obs.probes.SqlProbe(database))
    register(obs.probes.MigrationsProbe(database, minimum, query=NEWEST_MIGRATION))
    declare("campus_id", presence.CAMPUSES)
    declare("reason", list(presence.REASONS))
    declare("kind", list(get_args(activities.Kind)))
    declare("stream", [events.STREAM, events.DEAD_LETTERS])
    declare("period", list(leaderboards.PERIODS))
    declare("scope", list(leaderboards.SCOPES))


async def unprocessable(request: Request, error: Exception) -> JSONResponse:
    """Name the field and the rule, but do not repeat the value: it may be a message, a place or no valid JSON."""
    assert isinstance(error, RequestValidationError)
    problems = [{name: problem[name] for name in ("loc", "msg", "type")} for problem in error.errors()]
    return JSONResponse({"detail": problems}, 422)

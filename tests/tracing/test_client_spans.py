"""Each call of SQL and Redis is one span by the stable conventions, without any value, and each wait is timed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiosqlite
import anyio
import asyncpg
import databases
import psycopg
import pytest
import redis
import redis.asyncio
import sqlalchemy
import sqlalchemy.ext.asyncio
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

import divan_obs_asgi as obs
from divan_obs_asgi.clients.patches import LIBRARIES, WaitTiming, patched
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.connection.wait_times import WaitTimes
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.tracing.clients import ClientInstrumentation
from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.stacks import Observed
from tests.tracing.exported import Exported

CANARY = "planted@example.org"
FLAGS = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": "sqlalchemy,asyncpg,psycopg,aiosqlite,redis"}


class Traced:
    """A service whose calls are recorded."""

    def __init__(self, flags: Mapping[str, str] | None = None) -> None:
        self.exported = Exported()
        self.observed = Observed({**FLAGS, **(flags or {})}, span_exporter=self.exported)

    @contextmanager
    def instrumented(self) -> Iterator[ClientInstrumentation]:
        assert self.observed.obs.spans is not None
        clients = self.observed.obs.spans.clients
        clients.instrument()
        try:
            yield clients
        finally:
            clients.undo()

    def calls(self, work: Callable[[], Awaitable[object]]) -> list[ReadableSpan]:
        """Run `work` in a request; return the spans of its calls, in order."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await work()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        answer = anyio.run(converse, obs.build_stack(app, self.observed.obs), http_scope("/"))
        assert answer.status == 200, answer.error
        self.observed.obs.flush()
        (root,) = [span for span in self.exported.spans if span.kind is SpanKind.SERVER]
        calls = [span for span in self.exported.spans if span.kind is SpanKind.CLIENT]
        assert all(call.parent is not None and call.parent.span_id == root.context.span_id for call in calls)
        assert CANARY not in str([(span.name, dict(span.attributes or {}), span.events) for span in calls])
        return calls


@pytest.fixture
def traced() -> Iterator[Traced]:
    service = Traced()
    with service.instrumented():
        yield service


def postgres_attributes(server: PostgresServer, operation: str, text: str, **more: object) -> dict[str, object]:
    parts = urlsplit(server.url)
    return {
        "db.system.name": "postgresql",
        "db.namespace": parts.path[1:],
        "db.operation.name": operation,
        "db.query.text": text,
        "server.address": parts.hostname,
        "server.port": parts.port,
        **{name.replace("__", "."): value for name, value in more.items()},
    }


def redis_attributes(server: RedisServer, operation: str, text: str, **more: object) -> dict[str, object]:
    parts = urlsplit(server.url)
    return {
        "db.system.name": "redis",
        "db.namespace": "0",
        "db.operation.name": operation,
        "db.query.text": text,
        "server.address": parts.hostname,
        "server.port": parts.port,
        **{name.replace("__", "."): value for name, value in more.items()},
    }


def described(spans: list[ReadableSpan]) -> list[tuple[str, dict[str, object]]]:
    return [(span.name, dict(span.attributes or {})) for span in spans]


def names(spans: list[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]


TABLE = "CREATE TEMP TABLE people (id serial, name text UNIQUE)"
INSERT = "INSERT INTO people (name) VALUES ($1)"


def test_asyncpg(traced: Traced, postgres_server: PostgresServer) -> None:
    """Statements, a transaction, a batch, a prepared statement, a cursor and a pool."""

    async def work() -> None:
        pool = await asyncpg.create_pool(postgres_server.url, min_size=1, max_size=1)
        async with pool.acquire() as connection:
            await connection.execute(TABLE)
            async with connection.transaction():
                await connection.execute(INSERT, CANARY)
            await connection.executemany(INSERT, [(f"{CANARY}1",), (f"{CANARY}2",)])
            statement = await connection.prepare(f"SELECT name FROM people WHERE name <> '{CANARY}'")
            assert len(await statement.fetch()) == 2
            async with connection.transaction():
                assert [row async for row in connection.cursor("SELECT * FROM people")]
        await pool.close()

    spans = traced.calls(work)
    database = urlsplit(postgres_server.url).path[1:]
    calls = [span for span in spans if span.name.partition(" ")[0] not in ("BEGIN", "BEGIN;", "COMMIT", "COMMIT;")]
    insert = postgres_attributes(postgres_server, "INSERT", INSERT, db__collection__name="people")
    batch = postgres_attributes(
        postgres_server, "BATCH INSERT", INSERT, db__collection__name="people", db__operation__batch__size=2
    )
    select = "SELECT name FROM people WHERE name <> ?"
    found = dict(described(calls))
    assert found["INSERT people"] == insert
    assert found["BATCH INSERT people"] == batch
    assert postgres_attributes(postgres_server, "SELECT", select, db__collection__name="people") in [
        attributes for _, attributes in described(calls)
    ]
    assert names(spans).count(f"BEGIN {database}") == 2
    assert names(spans).count(f"COMMIT {database}") == 2
    assert names(spans).count("SELECT people") == 2, "one for the statement, one for the cursor"


def test_psycopg(traced: Traced, postgres_server: PostgresServer) -> None:
    """Both kinds of connections, a composed query, and a batch."""

    async def work() -> None:
        with psycopg.connect(postgres_server.url) as connection:
            connection.execute("SELECT 1 AS one, %s::text", (CANARY,))
        async with await psycopg.AsyncConnection.connect(postgres_server.url) as opened:
            await opened.execute(psycopg.sql.SQL("SELECT {}").format(psycopg.sql.Literal(CANARY)))
            async with opened.cursor() as cursor:
                await cursor.execute(TABLE)
                await cursor.executemany("INSERT INTO people (name) VALUES (%s)", [(CANARY,), (f"{CANARY}2",)])

    spans = traced.calls(work)
    database = urlsplit(postgres_server.url).path[1:]
    assert names(spans) == [f"SELECT {database}", f"SELECT {database}", f"CREATE {database}", "BATCH INSERT people"]
    first = dict(spans[0].attributes or {})
    assert first == postgres_attributes(postgres_server, "SELECT", "SELECT ? AS one, %s::text")
    assert (spans[3].attributes or {})["db.operation.batch.size"] == 2


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "aiosqlite"])
def test_sqlalchemy_over_a_patched_driver(driver: str, traced: Traced, postgres_server: PostgresServer) -> None:
    """A query is one span and not two."""
    url = postgres_server.url.replace("postgresql:", f"postgresql+{driver}:")
    url = "sqlite+aiosqlite://" if driver == "aiosqlite" else url

    async def work() -> None:
        engine = sqlalchemy.ext.asyncio.create_async_engine(url)
        async with engine.connect() as connection:
            await connection.execute(sqlalchemy.text("SELECT CAST(:p AS varchar(99)) AS mine"), {"p": CANARY})
        await engine.dispose()

    mine = [span for span in traced.calls(work) if "mine" in str((span.attributes or {})["db.query.text"])]
    assert len(mine) == 1
    assert mine[0].name.startswith("SELECT")


def test_sqlalchemy_alone(postgres_server: PostgresServer) -> None:
    """Where OBS_TRACING_CLIENTS leaves the driver out, the span is SQLAlchemy's."""
    service = Traced({"OBS_TRACING_CLIENTS": "sqlalchemy"})

    async def work() -> None:
        engine = sqlalchemy.ext.asyncio.create_async_engine(postgres_server.url.replace("sql:", "sql+asyncpg:"))
        async with engine.connect() as connection:
            await connection.execute(sqlalchemy.text("SELECT 1 AS mine"))
        await engine.dispose()

    with service.instrumented():
        spans = service.calls(work)
    assert [name for name in names(spans) if name.startswith("SELECT")] != []
    mine = [span for span in spans if "mine" in str((span.attributes or {})["db.query.text"])]
    assert len(mine) == 1


def test_sqlalchemy_over_another_driver(traced: Traced) -> None:
    """The span is SQLAlchemy's; the name of a file is not in it. A batch says how large it is."""

    async def work() -> None:
        engine = sqlalchemy.create_engine("sqlite://")
        people = sqlalchemy.Table("people", sqlalchemy.MetaData(), sqlalchemy.Column("name", sqlalchemy.String))
        with engine.begin() as connection:
            people.create(connection)
            connection.execute(people.insert(), [{"name": CANARY}, {"name": f"{CANARY}2"}])
            connection.execute(people.select().where(people.c.name == CANARY))
            with pytest.raises(sqlalchemy.exc.OperationalError):
                connection.execute(sqlalchemy.text(f"SELECT '{CANARY}' FROM nowhere"))

    *_, batch, select, failed = traced.calls(work)
    assert batch.name == "BATCH INSERT people"
    assert (batch.attributes or {})["db.operation.batch.size"] == 2
    assert described([select]) == [
        (
            "SELECT people",
            {
                "db.system.name": "sqlite",
                "db.operation.name": "SELECT",
                "db.collection.name": "people",
                "db.query.text": "SELECT people.name FROM people WHERE people.name = ?",
            },
        )
    ]
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["db.response.status_code"] == "SQLITE_ERROR"


@pytest.mark.parametrize("is_file", [True, False], ids=["sqlite", "postgresql"])
def test_databases(is_file: bool, traced: Traced, postgres_server: PostgresServer, tmp_path: Any) -> None:
    """A query of `databases` is one span: the driver's."""
    url = f"sqlite:///{tmp_path}/{CANARY}.db" if is_file else postgres_server.url

    async def work() -> None:
        async with databases.Database(url) as database:
            await database.fetch_all("SELECT CAST(:p AS varchar(99)) AS mine", {"p": CANARY})

    mine = [span for span in traced.calls(work) if "mine" in str((span.attributes or {})["db.query.text"])]
    assert len(mine) == 1
    assert (mine[0].attributes or {})["db.system.name"] == ("sqlite" if is_file else "postgresql")


def test_aiosqlite(traced: Traced) -> None:
    """Both ways to execute, which give a cursor when they are awaited and when they are entered."""

    async def work() -> None:
        async with aiosqlite.connect(":memory:") as connection:
            await connection.execute("CREATE TABLE people (name)")
            async with connection.execute("SELECT name FROM people") as cursor:
                assert [row async for row in cursor] == []
            cursor = await connection.cursor()
            await cursor.executemany("INSERT INTO people VALUES (?)", [(CANARY,), (CANARY,)])
            with pytest.raises(sqlite3.OperationalError):
                await cursor.execute(f"SELECT '{CANARY}' FROM nowhere")

    spans = traced.calls(work)
    assert names(spans) == ["CREATE", "SELECT people", "BATCH INSERT people", "SELECT nowhere"]
    assert (spans[3].attributes or {})["error.type"] == "OperationalError"
    assert spans[3].events == ()


def test_redis(traced: Traced, redis_server: RedisServer) -> None:
    """A command is one span with its name; a pipeline is one with the names of its commands."""

    async def work() -> None:
        store = redis.asyncio.from_url(redis_server.url)
        await store.set(CANARY, CANARY)
        async with store.pipeline() as pipeline:
            pipeline.get(CANARY)
            pipeline.incrby("planted", 421337)
            await pipeline.execute()
        async with store.pipeline() as pipeline:
            await pipeline.watch(CANARY)
            pipeline.multi()  # type: ignore[no-untyped-call]
            pipeline.get(CANARY)
            await pipeline.execute()
        with pytest.raises(redis.ResponseError):
            await store.incr(CANARY)
        with pytest.raises(redis.ResponseError):
            await store.execute_command(CANARY)  # type: ignore[no-untyped-call]
        await store.aclose()
        with redis.from_url(redis_server.url) as blocking:
            blocking.config_get("save")
            with blocking.pipeline() as several:
                several.get(CANARY).get(CANARY).execute()

    spans = traced.calls(work)
    assert names(spans) == ["SET", "PIPELINE", "WATCH", "PIPELINE", "INCRBY", "?", "CONFIG GET", "PIPELINE"]
    expected = redis_attributes(redis_server, "SET", "SET ? ?")
    assert dict(spans[0].attributes or {}) == expected
    expected = redis_attributes(redis_server, "PIPELINE", "GET ?\nINCRBY ? ?", db__operation__batch__size=2)
    assert dict(spans[1].attributes or {}) == expected
    assert "db.operation.batch.size" not in (spans[3].attributes or {}), "one command is not a batch"
    failed = spans[4]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description is None
    assert (failed.attributes or {})["db.response.status_code"] == "ERR"


def test_a_failed_statement(traced: Traced, postgres_server: PostgresServer) -> None:
    """The span has the class of the exception and PostgreSQL's code, and nothing of its text."""

    async def work() -> None:
        connection = await asyncpg.connect(postgres_server.url)
        with pytest.raises(asyncpg.DataError):
            await connection.fetch(f"SELECT '{CANARY}'::integer")
        await connection.close()

    (span,) = traced.calls(work)
    attributes = span.attributes or {}
    assert attributes["db.response.status_code"] == "22P02"
    assert str(attributes["error.type"]).endswith("InvalidTextRepresentationError")
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    # The next one of its kind has nothing of the failure: descriptions are shared.
    traced.exported.spans.clear()


def test_a_cancelled_statement(traced: Traced, postgres_server: PostgresServer) -> None:
    """Cancellation is not an error of the database."""

    async def work() -> None:
        connection = await asyncpg.connect(postgres_server.url)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.execute(f"SELECT pg_sleep({PATIENCE_S})")
        await connection.close()

    (span,) = traced.calls(work)
    assert (span.attributes or {})["divan.outcome"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET


def test_old_names_by_flag(redis_server: RedisServer) -> None:
    """`database/dup` adds the old names."""
    service = Traced({"OTEL_SEMCONV_STABILITY_OPT_IN": "database/dup"})

    async def work() -> None:
        async with redis.asyncio.from_url(redis_server.url) as store:
            await store.get("key")

    with service.instrumented():
        (span,) = service.calls(work)
    attributes = span.attributes or {}
    assert attributes["db.system"] == attributes["db.system.name"] == "redis"
    assert attributes["db.statement"] == attributes["db.query.text"] == "GET ?"


def test_an_application_s_provider(redis_server: RedisServer) -> None:
    """Its tracer makes the same spans."""
    exported, provider = Exported(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    observed = Observed(FLAGS, tracer_provider=provider)
    assert observed.obs.spans is not None
    observed.obs.spans.clients.instrument()
    try:
        redis.from_url(redis_server.url).ping()
    finally:
        observed.obs.spans.clients.undo()
    (span,) = exported.spans
    assert described([span]) == [("PING", redis_attributes(redis_server, "PING", "PING"))]


def test_a_library_that_is_instrumented_already_is_left_alone(redis_server: RedisServer) -> None:
    """Its calls have the spans of whoever came first, one each."""
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    service = Traced()
    provider, exported = TracerProvider(), Exported()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    RedisInstrumentor().instrument(tracer_provider=provider)
    try:
        with service.instrumented() as clients:
            assert "redis" not in clients.instrument()
            redis.from_url(redis_server.url).ping()
    finally:
        RedisInstrumentor().uninstrument()
    service.observed.obs.flush()
    assert (names(exported.spans), service.exported.spans) == (["PING"], [])


def test_a_library_that_is_instrumented_later_has_one_span_a_call(redis_server: RedisServer) -> None:
    """A call within the span of another instrumentation gets none of ours."""
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    service = Traced()
    provider, exported = TracerProvider(), Exported()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    with service.instrumented():
        RedisInstrumentor().instrument(tracer_provider=provider)
        try:
            redis.from_url(redis_server.url).ping()
        finally:
            RedisInstrumentor().uninstrument()
    service.observed.obs.flush()
    assert names(exported.spans) + names(service.exported.spans) == ["PING"]


def test_a_suppressed_call_has_no_span(traced: Traced, redis_server: RedisServer) -> None:
    """The library's own checks run this way."""
    from divan_obs_asgi.tracing.spans.internal import untraced

    with untraced():
        redis.from_url(redis_server.url).ping()
    traced.observed.obs.flush()
    assert traced.exported.spans == []


def test_waits_are_timed_without_tracing(redis_server: RedisServer, postgres_server: PostgresServer) -> None:
    """A record with `waited` gets counts and times by cause; afterwards the libraries are as before."""
    before = redis.Redis.execute_command, asyncpg.Connection.fetch, asyncpg.pool.Pool._acquire
    observed = Observed({})
    found: list[WaitTimes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        record = current_record.get()
        assert record is not None
        record.waited = WaitTimes()
        found.append(record.waited)
        async with redis.asyncio.from_url(redis_server.url) as store:
            await store.ping()
        async with asyncpg.create_pool(postgres_server.url, min_size=1, max_size=1) as pool:
            await pool.fetchval("SELECT 1")
            with pytest.raises(asyncpg.exceptions.DivisionByZeroError):
                await pool.fetch("SELECT 1/0")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    timing = WaitTiming()
    assert set(timing.start()) <= set(LIBRARIES)
    try:
        assert anyio.run(converse, obs.build_stack(app, observed.obs), http_scope("/")).status == 200
    finally:
        timing.stop()
    assert found[0].counts == {"redis": 1, "pool": 3, "sql": 4}, "each release to asyncpg's pool resets the connection"
    assert all(seconds > 0 for seconds in found[0].seconds.values())
    assert (redis.Redis.execute_command, asyncpg.Connection.fetch, asyncpg.pool.Pool._acquire) == before


def test_tracing_and_timing_share_one_patch(redis_server: RedisServer) -> None:
    """Whoever ends first leaves the other working."""
    service, timing = Traced(), WaitTiming(["redis"])
    before = redis.Redis.execute_command
    timing.start()
    with service.instrumented():
        patch = redis.Redis.execute_command
        timing.stop()
        assert redis.Redis.execute_command is patch
        redis.from_url(redis_server.url).ping()
    service.observed.obs.flush()
    assert names(service.exported.spans) == ["PING"]
    assert redis.Redis.execute_command is before
    assert not patched("redis").is_traced

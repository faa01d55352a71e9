"""What databases' libraries log, as a reader of the log sees it: real ones, slow and unreachable."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
import requests
import sqlalchemy
from databases import Database

from divan_obs_asgi import build_stack
from divan_obs_asgi.middlewares import AccessLogMiddleware
from divan_obs_asgi.testing import assert_no_secret, converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.logs.test_libraries import SECRETS, Uvicorn, by, shop
from tests.servers.asgi import serve
from tests.servers.postgres import PostgresServer
from tests.stacks import Observed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TEXT = SECRETS["frame"]


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


def installed(**environ: str) -> Observed:
    observed = Observed({"LOG_SAMPLING_BUDGET": "1000000", **environ})
    observed.obs.log.install()
    return observed


async def write_a_message(folder: Path) -> None:
    """Write a message with a parameter, one with a literal, one in double quotes, and one that is refused."""
    async with Database(f"sqlite:///{folder / 'notes.sqlite3'}") as database:
        await database.execute("CREATE TABLE notes (room TEXT, text TEXT UNIQUE)")
        await database.execute("INSERT INTO notes VALUES (:room, :text)", {"room": "lobby", "text": TEXT})
        await database.execute(f"INSERT INTO notes VALUES ('lobby', '{TEXT} 2')")
        await database.fetch_all(f'SELECT "notes"."text" FROM "notes" WHERE room = "{TEXT}"')
        with pytest.raises(sqlite3.IntegrityError):
            await database.execute("INSERT INTO notes VALUES (:room, :text)", {"room": "lobby", "text": TEXT})


def test_databases_logs_statements(tmp_path: Path) -> None:
    """Without parameters and without literals, at LOG_LEVEL=DEBUG; so does aiosqlite, whose thread runs them."""
    observed = installed(LOG_LEVEL="DEBUG")
    asyncio.run(write_a_message(tmp_path))
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    redacted = by(observed, "databases")
    assert "INSERT INTO notes VALUES (?, ?)" in redacted
    assert 'SELECT "notes"."text" FROM "notes" WHERE room = ?' in redacted
    assert "execute INSERT INTO notes VALUES (?, ?)" in by(observed, "aiosqlite")


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_sqlalchemys_echo_logs_statements(tmp_path: Path, level: str) -> None:
    """Neither the line with the parameters nor the rows."""
    observed = installed(LOG_LEVEL=level)
    logging.getLogger("sqlalchemy.engine").setLevel(level)
    try:
        engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'notes.sqlite3'}")
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE notes (room TEXT, text TEXT)"))
            insert = sqlalchemy.text("INSERT INTO notes VALUES (:room, :text)")
            connection.execute(insert, [{"room": "lobby", "text": TEXT}, {"room": "lobby", "text": TEXT}])
            connection.execute(sqlalchemy.text(f"SELECT text, '{TEXT * 200}' FROM notes")).all()
        engine.dispose()
    finally:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    redacted = by(observed, "sqlalchemy.engine")
    assert "INSERT INTO notes VALUES (?, ?)" in redacted
    assert redacted[0] == "BEGIN (implicit)"
    assert redacted[-1] == "COMMIT"


def test_requests_logs_method_host_and_status() -> None:
    """By urllib3, at DEBUG."""
    observed = installed(LOG_LEVEL="DEBUG")
    with serve(shop, lifespan="off") as serving:
        url = f"{serving.url}/{SECRETS['path']}?sweet={SECRETS['query']}"
        assert requests.get(url, headers={"x-kitchen": SECRETS["header"]}, timeout=30).status_code == 418
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    assert f"HTTP request: GET {serving.url} 418 2" in by(observed, "urllib3")


def test_a_failed_request_shows_no_line_of_a_library(tmp_path: Path) -> None:
    """The flight recorder keeps what the application says, and of a library's nothing below the written level."""
    observed = installed()
    assert fail_with(observed, write_a_message, tmp_path) == ["about to fail"]


def test_a_failed_request_shows_the_lines_of_a_named_library(tmp_path: Path) -> None:
    """LOG_RECORDER_LOGGERS names it; its lines are reduced as ever."""
    observed = installed(LOG_RECORDER_LOGGERS="databases")
    assert "INSERT INTO notes VALUES (?, ?)" in fail_with(observed, write_a_message, tmp_path)
    assert_no_secret(observed.stream.getvalue(), SECRETS)


def fail_with(observed: Observed, work: Callable[[Path], Awaitable[None]], folder: Path) -> list[str]:
    """Have a request do `work` and fail, and return what was recorded of it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await work(folder)
        logging.getLogger("chat").debug("about to fail")
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body"})

    asyncio.run(converse(build_stack(app, observed.obs, [AccessLogMiddleware]), http_scope()))
    return [line["msg"] for line in observed.lines() if line.get("recorded")]


# The reference backend in an incident, with all defaults.


class Divan(Uvicorn):
    """`uvicorn examples.divan.app:app`, in production."""

    options: ClassVar[tuple[str, ...]] = ("--log-level", "info")

    def command(self) -> Sequence[str]:
        where = ["--app-dir", str(ROOT), "--host", self.host, "--port", str(self.port)]
        return [sys.executable, "-m", "uvicorn", "examples.divan.app:app", *where, *self.options]


@pytest.fixture
def divan(request: pytest.FixtureRequest) -> Iterator[Callable[[Mapping[str, str]], Divan]]:
    made: list[Divan] = []

    def start(environ: Mapping[str, str]) -> Divan:
        defaults = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": "an-admin-token-for-tests", "JWT_SECRET": "j" * 40}
        made.append(Divan({**defaults, "PYTHONPATH": str(ROOT), **environ}))
        return made[-1].start()

    yield start
    for server in made:
        server.close()


def say(divan: Divan, token: str | None = None) -> tuple[int, str]:
    """Send a message, and return the status with the token."""
    with httpx.Client(base_url=f"http://{divan.host}:{divan.port}", timeout=60) as client:
        is_new = token is None
        token = token or client.post("/auth/demo", json={"name": "ada"}).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        if is_new:
            client.post("/rooms", json={"name": "lobby"}, headers=headers)
        return client.post("/rooms/lobby/messages", json={"text": TEXT}, headers=headers).status_code, token


def test_a_locked_sqlite_shows_no_message(tmp_path: Path, divan: Callable[[Mapping[str, str]], Divan]) -> None:
    """A request that waits for the lock until it fails is an incident, and writes what it has kept."""
    file = tmp_path / "divan.sqlite3"
    server = divan({"DATABASE_URL": f"sqlite:///{file}"})
    status, token = say(server)
    assert status == 201
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert say(server, token)[0] == 503
    server.stop()
    assert any(line["status"] == 503 for line in server.lines())
    assert_no_secret(list(server.log), SECRETS)


def test_a_stopped_postgres_shows_no_message(
    postgres_server: PostgresServer, divan: Callable[[Mapping[str, str]], Divan]
) -> None:
    """So is one whose database has gone."""
    database_url = postgres_server.new_database()
    server = divan({"DATABASE_URL": database_url})
    status, token = say(server)
    assert status == 201
    postgres_server.stop()
    try:
        assert say(server, token)[0] == 503
    finally:
        postgres_server.start()
    server.stop()
    assert any(line["status"] == 503 for line in server.lines())
    assert_no_secret(list(server.log), SECRETS)
    postgres_server.drop(database_url)

"""GET /ops/console/state and /ops/console/requests/{id}: what the page is sent."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

import anyio
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.console import limits
from tests.console.consoles import Watched, row_of
from tests.logs.root_logger import root_logger_kept
from tests.ops.asking import bearer
from tests.stacks import BACKENDS, run_on

log = logging.getLogger(__name__)


async def fine(request: Request) -> Response:
    log.debug("dropped with the request")
    return PlainTextResponse("fine")


async def fails(request: Request) -> Response:
    log.debug("before it failed, for %s", request.path_params["word"])
    obs.logger(__name__).info("said", extra={"colour": "green"})
    raise LookupError(f"no {request.path_params['word']}")


def application() -> Starlette:
    return Starlette(routes=[Route("/fine/{word}", fine), Route("/fails/{word}", fails)])


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Put the root logger back as it was."""
    with root_logger_kept():
        yield


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_request_is_shown_with_its_template_and_outcome(backend: str) -> None:
    """Never with the path that was requested."""

    async def main() -> None:
        watched = Watched(application())
        await watched.get("/fine/secret-word")
        state = await watched.state()
        (row,) = state["requests"]
        assert (row["method"], row["route"], row["status"], row["outcome"]) == ("GET", "/fine/{word}", 200, "ok")
        assert (row["kind"], row["bytes"], row["error"], row["calls"]) == ("http", 4, "", 0)
        assert row["ms"] > 0
        assert "secret-word" not in orjson.dumps(state).decode()
        opened = await watched.opened(row["id"])
        assert opened["request"]["first_byte_ms"] > 0
        assert opened["curl"] == "curl 'http://HOST/fine/{word}'"
        assert (opened["calls"], opened["lines"], opened["error"]) == ([], [], None)

    run_on(backend, main)


def test_a_failed_request_opens_with_its_lines_and_its_error() -> None:
    """The DEBUG lines that the flight recorder has kept, the group, and the request in it."""

    async def main() -> None:
        watched = Watched(application())
        watched.obs.log.install(application=__name__)
        for _ in range(3):
            await watched.get("/fails/ada@example.org")
        state = await watched.state()
        group = row_of(state, "errors", lambda row: row["type"] == "LookupError")
        assert (group["count"], group["new"], group["routes"]) == (3, True, ["/fails/{word}"])
        assert group["at"].endswith(f"test_state.py:{fails.__code__.co_firstlineno + 3} fails")
        assert group["traceback"][-1] == group["at"]
        assert group["message"] == "no [redacted:email]"
        newest = state["requests"][0]
        assert newest["id"] in group["requests"]
        assert newest["error"] == group["id"]
        assert newest["classes"][:2] == ["latest", "failed"]
        opened = await watched.opened(newest["id"])
        assert opened["error"] == group
        lines = {line["level"]: line for line in opened["lines"]}
        assert lines["DEBUG"]["msg"] == "before it failed, for [redacted:email]"
        assert (lines["INFO"]["msg"], lines["INFO"]["fields"]) == ("said", {"colour": "green"})

    anyio.run(main)


def test_with_a_cursor_only_what_is_new_is_sent() -> None:
    """Requests, errors and changes; a cursor of another start gives everything again, and says so."""

    async def main() -> None:
        watched = Watched(application())
        await watched.get("/fine/1")
        first = await watched.state()
        assert (first["full"], first["restarted"]) == (True, False)
        await watched.get("/fails/2")
        second = await watched.state(first["cursor"])
        assert second["full"] is False
        assert [row["route"] for row in second["requests"]] == ["/fails/{word}"]
        assert len(second["errors"]) == 1
        third = await watched.state(second["cursor"])
        assert (third["requests"], third["errors"], third["changes"]) == ([], [], [])
        for foreign in ("0000-1", "nonsense", "%00", first["cursor"].partition("-")[0]):
            again = await watched.state(foreign)
            assert (again["full"], again["restarted"], len(again["requests"])) == (True, True, 2)

    anyio.run(main)


def test_polls_of_the_page_are_no_requests_of_the_service() -> None:
    """They are neither listed nor counted nor logged; opening a request is logged."""

    async def main() -> None:
        watched = Watched(application())
        await watched.get("/fine/1")
        for path in ("state", "console.js"):
            await watched.get(f"/ops/console/{path}", bearer())
        state = await watched.state()
        assert [row["route"] for row in state["requests"]] == ["/fine/{word}"]
        assert [line["route"] for line in watched.observed.lines()] == ["/fine/{word}"]
        await watched.opened(state["requests"][0]["id"])
        assert watched.observed.lines()[-1]["route"] == "/ops/console/requests/{id}"

    anyio.run(main)


@pytest.mark.slow
def test_a_statement_that_repeats_is_one_bar() -> None:
    """The N+1 query, without its values, in the order of the first calls; also where nothing is traced."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: sqlite3.connect(":memory:", check_same_thread=False))

    async def query(request: Request) -> Response:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 'ada@example.org' AS all_of_them"))
            for number in range(7):
                connection.execute(sqlalchemy.text(f"SELECT {number} AS one WHERE 'x' = :name"), {"name": "hunter2"})
            with pytest.raises(sqlalchemy.exc.OperationalError):
                connection.execute(sqlalchemy.text("SELECT * FROM nowhere"))
        return PlainTextResponse("x")

    async def main() -> None:
        watched = Watched(Starlette(routes=[Route("/q", query)]))
        try:
            await watched.get("/q")
            state = await watched.state()
            (row,) = state["requests"]
            assert row["calls"] == 9
            calls = (await watched.opened(row["id"]))["calls"]
        finally:
            watched.console.timing.stop()
        assert [(call["kind"], call["n"], call["ok"]) for call in calls] == [
            ("sql", 1, True),
            ("sql", 7, True),
            ("sql", 1, False),
        ]
        assert [call["name"] for call in calls] == ["SELECT", "SELECT", "SELECT nowhere"]
        assert calls[1]["text"] == "SELECT ? AS one WHERE ? = ?"
        assert all(call["ms"] > 0 and call["start_ms"] >= 0 for call in calls)

    anyio.run(main)


def test_a_call_over_http_is_a_bar_without_its_path() -> None:
    """The host says which service it was; a path has ids."""
    httpx = pytest.importorskip("httpx")
    transport = httpx.MockTransport(lambda request: httpx.Response(200))

    async def asks(request: Request) -> Response:
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get("https://rates.example/users/hunter2?token=hunter2")
        return PlainTextResponse("x")

    async def main() -> None:
        watched = Watched(Starlette(routes=[Route("/asks", asks)]))
        try:
            await watched.get("/asks")
            (row,) = (await watched.state())["requests"]
            (call,) = (await watched.opened(row["id"]))["calls"]
        finally:
            watched.console.timing.stop()
        assert (call["kind"], call["name"], call["text"], call["n"]) == ("http", "GET rates.example", "", 1)

    anyio.run(main)


def test_an_unknown_request_is_forgotten() -> None:
    """Whatever a client writes as its id."""

    async def main() -> None:
        watched = Watched(application())
        for name in ("1-1", "x", "-", f"{watched.console.pid}-7", f"{watched.console.pid}-{'9' * 30}", "²-²"):
            done = await watched.get(f"/ops/console/requests/{name}", bearer())
            assert (done.status, orjson.loads(done.body)) == (404, {"detail": "This request is forgotten."})

    anyio.run(main)


@pytest.mark.slow
def test_an_answer_with_a_cursor_is_small() -> None:
    """However many routes, errors and requests are new."""
    routes = [Route(f"/r{number}/{'x' * 80}", fine) for number in range(400)]
    routes += [Route(f"/e{number}", _failing(number)) for number in range(60)]

    async def main() -> None:
        watched = Watched(Starlette(routes=routes))
        cursor = (await watched.state())["cursor"]
        for number in range(400):
            await watched.get(f"/r{number}/{'x' * 80}")
        for number in range(60):
            await watched.get(f"/e{number}")
        watched.console._stepped = float("-inf")
        done = await watched.get(f"/ops/console/state?since={cursor}", bearer())
        assert len(done.body) <= limits.STATE_BYTES
        state = orjson.loads(done.body)
        assert state["requests"]
        assert state["errors"]
        assert state["forgotten"]["requests"] > 0

    anyio.run(main)


def test_a_failed_request_is_sent_before_all_others() -> None:
    """It is older than what fits into an answer with a cursor; how many others are left out is in the answer."""
    routes = [Route(f"/r{number}", fine) for number in range(5)]

    async def main() -> None:
        watched = Watched(Starlette(routes=[*routes, Route("/fails/{word}", fails)]))
        cursor = (await watched.state())["cursor"]
        # None of them is among the slowest.
        watched.console.requests.slow_floor_s = 1e9
        await watched.get("/fails/1")
        for number in range(100):
            await watched.get(f"/r{number % 5}")
        state = await watched.state(cursor)
        assert [row["status"] for row in state["requests"]].count(500) == 1
        assert len(state["requests"]) + state["left_out"]["requests"] == 101
        assert state["left_out"]["requests"] > 0
        assert (await watched.state())["left_out"] == {"requests": 0, "errors": 0, "changes": 0}

    anyio.run(main)


def _failing(number: int) -> Any:
    async def fail(request: Request) -> Response:
        raise type(f"Error{number}", (Exception,), {})("x" * 500)

    return fail


def test_rates_and_percentiles_come_from_the_cells_of_the_metrics() -> None:
    """So that the page and /metrics never disagree."""

    async def main() -> None:
        watched = Watched(application())
        console = watched.console
        await watched.state()
        for number in range(6):
            await watched.get(f"/fine/{number}")
        await watched.get("/fails/1")
        console._stepped = console.now() - limits.SERIES_STEP_S
        state = await watched.state()
        fine_row = row_of(state, "routes", lambda row: row["route"] == "/fine/{word}")
        failed = row_of(state, "routes", lambda row: row["route"] == "/fails/{word}")
        assert fine_row["id"] == "GET /fine/{word}"
        assert (fine_row["m1"]["error_share"], failed["m5"]["error_share"]) == (0.0, 1.0)
        assert 0 < fine_row["m1"]["p50"] <= fine_row["m1"]["p95"] <= fine_row["m1"]["p99"]
        assert sum(fine_row["line"]) * 15 == pytest.approx(6, abs=0.1)
        assert state["numbers"]["requests_per_s"]["now"] > 0
        assert state["numbers"]["error_share"]["now"] == pytest.approx(1 / 7, abs=1e-3)

    anyio.run(main)


def test_the_page_is_told_what_the_caller_may_do() -> None:
    """With OBS_METRICS_PUBLIC everybody reads, and only the token changes something."""

    async def main() -> None:
        watched = Watched(application(), {"OBS_METRICS_PUBLIC": "true"})
        actions = {row["id"]: row for row in (await watched.state())["actions"]}
        assert actions["drain"]["allowed"]
        assert actions["level"]["path"] == "/ops/loggers"
        assert actions["job"]["why_not"] == "No job is declared."
        assert actions["debug_header"]["why_not"] == "OBS_DEBUG_KEY is not set."
        assert not actions["debug_header"]["allowed"]
        assert actions["trace_test"]["why_not"] == "OBS_TRACING_ENABLED is false."
        done = await watched.get("/ops/console/state")
        assert done.status == 200
        assert {row["why_not"] for row in orjson.loads(done.body)["actions"]} == {"Only with the admin token."}
        watched = Watched(application(), {"OBS_DEBUG_KEY": "0123456789abcdef-of-debug"})
        actions = {row["id"]: row for row in (await watched.state())["actions"]}
        assert actions["debug_header"]["allowed"]
        assert actions["debug_header"]["path"] == "/ops/console/debug-header"

    anyio.run(main)

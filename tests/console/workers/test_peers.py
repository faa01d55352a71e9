"""Several workers: whichever answers shows what all of them have kept."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson
import pytest

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.console.install import installed
from divan_obs_asgi.console.state import StateBuilder
from divan_obs_asgi.console.workers.peers import RingPeers
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.middlewares import MetricsMiddleware
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.console.workers.rings import Ring, Seconds
from tests.patience import PATIENCE_S
from tests.servers.command import Command
from tests.stacks import Observed

pytestmark = pytest.mark.slow

TOKEN = "correct-horse-battery-41"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/fail":
        raise LookupError("no such room")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def finished(route: str) -> RequestRecord:
    record = RequestRecord(http_scope("/"), RouteTemplates(application), InternalErrors(lambda component: None))
    record.route, record.status, record.outcome = route, 200, "ok"
    return record


class Worker:
    """A worker of the service; all of a test have one process id."""

    def __init__(self, directory: Path | None) -> None:
        # Each question is asked so late that nothing of the last answer is used.
        self.clock = Seconds()
        flags = {"OBS_CONSOLE_ENABLED": "true", "OBS_CONSOLE_BYTES": "1048576"}
        if directory is not None:
            flags["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
        self.observed = Observed(flags)
        self.console = installed(self.observed.obs)
        self.stack = build_stack(application, self.observed.obs, [MetricsMiddleware])
        self.builder = StateBuilder(self.console, self.clock)
        if directory is not None:
            self.peers._clock = self.clock

    @property
    def peers(self) -> RingPeers:
        assert isinstance(self.console.peers, RingPeers)
        return self.console.peers

    def ask(self, *paths: str) -> None:
        for path in paths:
            anyio.run(converse, self.stack, http_scope(path))

    def write(self) -> None:
        self.peers.write(self.console.collect())

    def state(self, since: str = "") -> Any:
        self.clock.now += 60
        return orjson.loads(self.builder.answer(None, self.console.collect(), self.console.now(), since, [], []))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Worker, Worker]:
    return Worker(tmp_path), Worker(tmp_path)


def test_a_worker_shows_what_all_have_kept(pair: tuple[Worker, Worker]) -> None:
    """Requests by time, errors summed by fingerprint, and both workers."""
    one, other = pair
    one.ask("/fail", "/")
    other.ask("/fail")
    other.write()
    state = one.state()
    assert len({row["id"] for row in state["requests"]}) == 3
    assert [row["status"] for row in state["requests"]] == [500, 200, 500]
    (error,) = state["errors"]
    assert (error["type"], error["count"]) == ("LookupError", 2)
    assert len(set(error["requests"])) == 2
    assert [worker["alive"] for worker in state["workers"]["list"]] == [True, True]
    assert (state["workers"]["known"], state["workers"]["skipped_files"]) == (True, 0)


def test_a_request_of_another_worker_can_be_opened(pair: tuple[Worker, Worker]) -> None:
    """With its error; also where both workers have had the same process id."""
    one, other = pair
    other.ask("/fail")
    other.write()
    (row,) = one.state()["requests"]
    opened = one.peers.details(row["id"])
    assert opened is not None
    assert opened["request"]["id"] == row["id"]
    assert opened["error"] is not None
    assert opened["error"]["type"] == "LookupError"
    assert one.peers.details("1-1") is None


def test_a_cursor_holds_for_all_workers(pair: tuple[Worker, Worker]) -> None:
    """A page that reaches another worker goes on, and is shown only what is new."""
    one, other = pair
    other.ask("/", "/fail")
    other.write()
    first = one.state()
    assert other.state(first["cursor"])["restarted"] is False
    assert one.state("abcdefgh-5")["restarted"] is True


def on_one_clock(*workers: Worker) -> Seconds:
    """Let a test move the time of all that these workers keep."""
    clock = workers[0].clock
    for worker in workers:
        worker.clock = worker.builder._clock = clock
        for part in (worker.console, worker.console.requests, worker.console.errors):
            part._clock = clock
    return clock


def test_an_error_is_counted_in_all_workers_whichever_has_changed(pair: tuple[Worker, Worker]) -> None:
    """A page with a cursor gets the sum of all workers when it happens again in one of them."""
    one, other = pair
    clock = on_one_clock(one, other)
    other.ask("/fail")
    other.write()
    cursor = one.state()["cursor"]
    clock.now += 60
    one.ask("/fail")
    (error,) = one.state(cursor)["errors"]
    assert (error["count"], len(error["requests"])) == (2, 2)


def test_pages_share_what_was_made_for_one_of_them() -> None:
    """For a second; a page that has it already gets something newer."""
    worker = Worker(None)
    clock = on_one_clock(worker)
    first = worker.state()["cursor"]
    worker.ask("/")
    second = worker.state(first)
    moment = worker.builder.kept(first)
    assert orjson.loads(worker.builder.answer(moment, None, 0.0, first, [], [])) == second
    assert worker.builder.kept(second["cursor"]) is None
    assert worker.builder.kept("") is None
    clock.now += 1
    assert worker.builder.kept(first) is None


def test_the_next_start_is_another_instance(tmp_path: Path) -> None:
    """When all workers have ended."""
    workers = [Worker(tmp_path), Worker(tmp_path)]
    instances = {worker.peers.instance for worker in workers}
    assert len(instances) == 1
    for worker in workers:
        worker.peers._instance._release()
    assert Worker(tmp_path).peers.instance not in instances


def test_only_changes_are_written(pair: tuple[Worker, Worker]) -> None:
    """A worker that serves nothing writes its numbers only."""
    one = pair[0]
    one.ask("/fail")
    one.write()
    written: list[str] = []
    append = one.peers.ring.append

    def noting(kind: str, entry: bytes) -> None:
        written.append(kind)
        append(kind, entry)

    one.peers.ring.append = noting  # type: ignore[method-assign]
    one.write()
    assert written == ["state"]
    one.ask("/")
    one.write()
    assert written == ["state", "slow", "state"]


def test_a_burst_is_written_in_parts(pair: tuple[Worker, Worker]) -> None:
    """So many requests a write, failed ones besides; the others follow, and a page with a cursor gets them too."""
    one, other = pair
    # No request is among the slowest.
    other.console.requests.slow_floor_s = 1e9
    other.ask("/fail")
    for number in range(24):
        other.console.feed.finish(finished(f"/r{number}"))
    cursor = one.state()["cursor"]
    shown: list[int] = []
    failed: list[int] = []
    for _ in range(4):
        other.peers.write(other.console.collect(), 10)
        state = one.state(cursor)
        full = one.state()["requests"]
        shown.append(len(full))
        failed.append(sum(row["status"] == 500 for row in full))
        assert {row["id"] for row in state["requests"]} == {row["id"] for row in full}
    assert failed == [1] * 4
    assert shown == [11, 21, 25, 25]


@pytest.mark.parametrize("damage", ["truncated", "removed", "directory"])
def test_damage_to_files_changes_no_response(tmp_path: Path, damage: str) -> None:
    """It is counted, and the others see the worker again soon."""
    one, other = Worker(tmp_path / "w"), Worker(tmp_path / "w")
    other.ask("/fail")
    other.write()
    path = tmp_path / "w" / other.peers.ring.name
    if damage == "truncated":
        os.truncate(path, 0)
    elif damage == "removed":
        path.unlink()
    else:
        shutil.rmtree(path.parent)
    assert one.state()["requests"] == []
    other.ask("/fail")
    other.write()
    other.write()
    assert [row["status"] for row in one.state()["requests"]][:1] == [500]
    assert other.observed.value("divan_obs_errors_total", component="console") >= 1


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff", b"{}", b'{"changed": 1}', b'{"changed": 1, "details": {"request": {"id": {}}}}',
     b'{"changed": [], "row": {}}', b'{"changed": 1, "row": []}', b'{"numbers": 7, "stalls": 1, "forgotten": []}'],
)  # fmt: skip
def test_entries_of_another_shape_are_left_out(pair: tuple[Worker, Worker], tmp_path: Path, data: bytes) -> None:
    one, other = pair
    other.ask("/fail")
    other.write()
    for kind in ("request", "failed", "error", "change", "state", "of tomorrow"):
        other.peers.ring.append(kind, data)
    other.peers.ring.flush()
    assert [row["status"] for row in one.state()["requests"]] == [500]
    assert one.observed.value("divan_obs_errors_total", component="console") == 0


def test_a_directory_that_cannot_be_made_leaves_this_worker(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    worker = Worker(tmp_path / "file" / "w")
    worker.ask("/fail")
    worker.write()
    assert [row["status"] for row in worker.state()["requests"]] == [500]


def test_without_a_directory_the_others_are_unknown() -> None:
    worker = Worker(None)
    assert worker.state()["workers"]["known"] is False


def test_a_foreign_file_is_counted(pair: tuple[Worker, Worker], tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.write("request", "1")
    (tmp_path / "divan-1-x.ring").write_bytes(b"x" * 5000)
    assert pair[0].state()["workers"]["skipped_files"] == 1


# Real workers.

SHOP = """
import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import divan_obs_asgi as obs


def fail(request):
    raise LookupError(os.getpid())


app = Starlette(routes=[Route("/fail", fail), Route("/pid", lambda request: PlainTextResponse(str(os.getpid())))])
obs.init(app)
"""


def test_a_killed_worker_has_reported_its_failures(tmp_path: Path) -> None:
    """Two workers of uvicorn: one is killed, and the other one shows the requests that have failed there."""
    env = {
        "OBS_CONSOLE_ENABLED": "true",
        "OBS_ADMIN_TOKEN": TOKEN,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "OBS_TRACING_ENABLED": "false",
    }
    command = Command(SHOP, "uvicorn", "app", "--workers", "2", env=env)
    try:
        command.start()

        def state() -> Any:
            # A connection of its own, so that any worker may answer.
            found = httpx.get(f"{command.url}/ops/console/state", headers={"authorization": f"Bearer {TOKEN}"})
            assert found.status_code == 200, found.text
            return found.json()

        def until(condition: Callable[[], bool]) -> None:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                # Workers that start or are killed refuse connections.
                with suppress(httpx.TransportError):
                    if condition():
                        return
                assert time.monotonic() < deadline, "\n".join(command.log)
                time.sleep(0.1)

        until(lambda: len(state()["workers"]["list"]) == 2)

        def failed_in() -> set[int]:
            httpx.get(f"{command.url}/fail")
            return {row["worker"] for row in state()["requests"] if row["status"] == 500}

        until(lambda: len(failed_in()) == 2)
        victim = state()["workers"]["answering"]
        until(lambda: any(f"-{victim}-" in path.name for path in tmp_path.glob("*.ring")))
        until(
            lambda: (
                state()["workers"]["answering"] != victim
                and victim in {row["worker"] for row in state()["requests"] if row["status"] == 500}
            )
        )
        os.kill(victim, signal.SIGKILL)
        until(lambda: {"alive": False, "pid": victim}.items() <= _listed(state(), victim).items())
        # The survivor, or the worker that uvicorn has started instead.
        until(lambda: victim in {row["worker"] for row in state()["requests"] if row["status"] == 500})
        until(lambda: sum(error["count"] for error in state()["errors"]) >= 2)
    finally:
        command.close()


def _listed(state: Any, pid: int) -> dict[str, Any]:
    return next((one for one in state["workers"]["list"] if one["pid"] == pid), {})

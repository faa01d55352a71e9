"""Ops on a port of its own, as an operator, a client and another process see it."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import anyio
import httpx
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.ops import own_port
from divan_obs_asgi.ops.own_port import OwnPort
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.ops.asking import TOKEN, application, operated
from tests.patience import PATIENCE_S
from tests.servers.asgi import Serving, serve
from tests.servers.process import ServerProcess, free_port
from tests.stacks import Observed

pytestmark = pytest.mark.slow

OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Say which path was asked for, and leave the lifespan to the stack."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the application at " + scope["path"].encode()})


class Served:
    """A service whose ops have a port of their own."""

    def __init__(self, observed: Observed, public: Serving, port: int) -> None:
        self.observed = observed
        self.url = public.url
        self.own_url = f"http://127.0.0.1:{port}"

    def until(self, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    def serves(self) -> bool:
        ready: dict[str, dict[str, dict[str, bool]]] = httpx.get(f"{self.url}/health/ready").json()
        return ready["checks"]["ops_port"]["ok"]


@contextmanager
def served(port: int, **environ: str) -> Iterator[Served]:
    observed = operated({"OBS_OPS_PORT": str(port), "OBS_DRAIN_ENABLED": "false", **environ})
    with serve(obs.build_stack(echo, observed.obs), lifespan="on") as public:
        yield Served(observed, public, port)


def test_nothing_of_ops_is_on_the_public_port() -> None:
    """What a balancer asks is on both; the rest is the application's there, and on the own port it is never called."""
    with served(free_port()) as service:
        service.until(service.serves)
        for path in ("/metrics", "/ops", "/ops/drain", "//metrics", "/health/ready/ops_port"):
            assert httpx.get(service.url + path, headers=OPERATOR).text == f"the application at {path}"
        for path in ("/health/live", "/health/ready", "/health/startup"):
            assert httpx.get(service.url + path).json()["status"] == "ok"
            assert httpx.get(service.own_url + path).json()["status"] == "ok"
        for path in ("/metrics", "/ops", "/ops/drain", "/health/ready/ops_port"):
            assert httpx.get(service.own_url + path, headers=OPERATOR).status_code == 200
            assert httpx.get(service.own_url + path).status_code == 401
        for path in ("/", "/anything", "//metrics", "/metrics/"):
            answer = httpx.get(service.own_url + path, headers=OPERATOR)
            assert (answer.status_code, answer.json()) == (404, {"detail": "There is no such endpoint."})


def test_endpoints_of_the_service_are_on_the_own_port() -> None:
    """As those of the library: with the token there, and on the public port only what everybody may use."""
    port = free_port()
    observed = operated({"OBS_OPS_PORT": str(port), "OBS_DRAIN_ENABLED": "false"})
    observed.obs.endpoint("/ops/cache", summary="Guarded.")(lambda request: {"entries": 3})
    observed.obs.endpoint("/ops/open/{name}", summary="Open.", guarded=False)(lambda request: {"open": True})
    with serve(obs.build_stack(echo, observed.obs), lifespan="on") as public:
        service = Served(observed, public, port)
        service.until(service.serves)
        assert httpx.get(f"{service.own_url}/ops/cache", headers=OPERATOR).json() == {"entries": 3}
        assert httpx.get(f"{service.own_url}/ops/cache").status_code == 401
        assert httpx.get(f"{service.url}/ops/cache", headers=OPERATOR).text == "the application at /ops/cache"
        for url in (service.own_url, service.url):
            assert httpx.get(f"{url}/ops/open/door").json() == {"open": True}


def test_the_token_is_of_no_use_on_the_public_port() -> None:
    """Nobody can find out there whether a token is the right one."""
    with served(free_port()) as service:
        service.until(service.serves)
        plain = httpx.get(f"{service.url}/health/ready?verbose", headers=OPERATOR).json()
        detailed = httpx.get(f"{service.own_url}/health/ready?verbose", headers=OPERATOR).json()
        assert "history" not in plain["checks"]["ops_port"]
        assert "history" in detailed["checks"]["ops_port"]


def test_what_fails_on_the_own_port_is_told_as_well() -> None:
    """A wrong token is logged and counted, with the id that the client got."""
    with served(free_port()) as service:
        service.until(service.serves)
        counted = {"route": "/metrics", "method": "GET", "status": "401"}
        refused = httpx.get(f"{service.own_url}/metrics", headers={"Authorization": "Bearer wrong"})
        assert refused.status_code == 401
        # The client has its answer before the line is written.
        service.until(lambda: service.observed.value("divan_http_requests_total", **counted) == 1)
        lines = [line for line in service.observed.lines() if line.get("route") == "/metrics"]
        assert [line["request_id"] for line in lines] == [refused.headers["x-request-id"]]
        # The one that asks is not in flight.
        told = httpx.get(f"{service.own_url}/ops", headers=OPERATOR).json()
        assert told["in_flight"] == {"requests": 0, "websockets": 0}


def test_a_websocket_finds_nothing_there() -> None:
    """The handshake is a request like any other."""
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "x" * 22,
        "Sec-WebSocket-Version": "13",
    }
    with served(free_port()) as service:
        service.until(service.serves)
        assert httpx.get(f"{service.own_url}/chat", headers=handshake).status_code == 404


def test_it_ends_with_the_application() -> None:
    """Also where a scraper keeps its connection, and nobody listens afterwards."""
    with served(free_port()) as service:
        service.until(service.serves)
        with httpx.Client() as scraper:
            assert scraper.get(f"{service.own_url}/metrics", headers=OPERATOR).status_code == 200
            address = service.own_url.removeprefix("http://").split(":")
            service.observed.obs.drain.start("test")
        started = time.monotonic()
    assert time.monotonic() - started < 10
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address[0], int(address[1])))


def test_a_port_that_is_taken_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service works, says once in the log what is wrong, and in its health; and it tries again."""
    monkeypatch.setattr(own_port, "RETRY_S", 0.01)
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as taken, caught() as messages, served(port) as service:
        assert httpx.get(f"{service.url}/anything").text == "the application at /anything"
        service.until(lambda: messages)
        ready = httpx.get(f"{service.url}/health/ready")
        assert (ready.status_code, ready.json()["checks"]["ops_port"]["ok"]) == (200, False)
        assert messages == [
            f"Cannot listen on 127.0.0.1:{port} (OBS_OPS_PORT): Address already in use.",
        ]
        assert service.observed.value("divan_obs_errors_total", component="ops_port") == 1
        taken.close()
        service.until(service.serves)
        assert httpx.get(f"{service.own_url}/health/live").status_code == 200
    assert len(messages) == 1


@contextmanager
def caught() -> Iterator[list[str]]:
    """Yield what the ops endpoints log of what goes wrong."""
    messages: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler = logging.getLogger("divan_obs_asgi.ops"), Keeping(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_without_what_it_needs_it_says_so(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvicorn, or on another event loop than asyncio's; once, and it is at rest then."""
    if backend == "asyncio":
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        monkeypatch.delitem(sys.modules, "divan_obs_asgi.ops.own_server", raising=False)
    observed = operated()
    own = OwnPort(application, observed.obs, 9464)
    with caught() as messages:
        anyio.run(own.run, backend=backend)
    assert messages == [
        "Cannot listen on 127.0.0.1:9464 (OBS_OPS_PORT): asyncio and uvicorn are required (pip install uvicorn)."
    ]
    assert observed.value("divan_obs_errors_total", component="ops_port") == 1


def test_without_a_lifespan_its_health_says_so() -> None:
    """Nothing runs beside the application then."""
    observed = operated({"OBS_OPS_PORT": "9464"})
    stack = obs.build_stack(echo, observed.obs)
    ready = anyio.run(converse, stack, http_scope("/health/ready"))
    assert (ready.status, b'"ops_port":{"ok":false' in ready.body) == (200, True)


def test_with_the_ops_endpoints_off_the_port_is_closed() -> None:
    """`OBS_OPS_ENABLED=false` is all of them."""
    observed = operated({"OBS_OPS_PORT": "9464", "OBS_OPS_ENABLED": "false"})
    obs.build_stack(echo, observed.obs)
    assert observed.obs.probes.names("ready") == []


APP = """
import divan_obs_asgi as obs

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})

app = obs.wrap(app)
"""


class Workers(ServerProcess):
    """A service of two worker processes."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Application startup complete")

    def __init__(self) -> None:
        super().__init__()
        self.own_port = free_port()
        (self.directory / "service.py").write_text(APP)

    def command(self) -> Sequence[str]:
        options = ["--workers", "2", "--port", str(self.port), "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", *options, "service:app"]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        flags = {"OBS_OPS_PORT": str(self.own_port), "OBS_ADMIN_TOKEN": TOKEN, "OBS_DRAIN_DELAY_S": "0"}
        return super().popen(command, env=flags)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="the system has no SO_REUSEPORT")
def test_several_workers_share_the_port() -> None:
    """Any of them answers, as on the service's own port; and SIGTERM still ends them all."""
    workers = Workers().start()
    try:
        pids: set[int] = set()
        deadline = time.monotonic() + PATIENCE_S
        while len(pids) < 2 and time.monotonic() < deadline:
            try:
                pids.add(httpx.get(f"http://127.0.0.1:{workers.own_port}/ops", headers=OPERATOR).json()["pid"])
            except httpx.ConnectError:
                time.sleep(0.05)
        assert len(pids) == 2
        started = time.monotonic()
        workers.stop()
        assert time.monotonic() - started < 10
    finally:
        workers.close()


def test_the_loggers_of_the_server_stay_as_they_are() -> None:
    """A second uvicorn in the process takes no handlers off the first one's access log."""
    from divan_obs_asgi.ops.own_server import OwnServer

    access = logging.getLogger("uvicorn.access")
    handler = logging.NullHandler()
    access.addHandler(handler)
    try:
        before = (list(access.handlers), access.propagate, access.level)
        OwnServer(application)
        assert (list(access.handlers), access.propagate, access.level) == before
    finally:
        access.removeHandler(handler)


def test_no_task_is_left() -> None:
    """After the application has ended nothing of it runs or listens."""

    async def main() -> set[str]:
        observed = operated({"OBS_OPS_PORT": str(free_port())})
        own = OwnPort(application, observed.obs, free_port())
        before = asyncio.all_tasks()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own.run)
            while not own.serves:  # noqa: ASYNC110 - nobody sets an event
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        assert not own.serves
        return {task.get_name() for task in asyncio.all_tasks() - before}

    assert anyio.run(main) == set()

"""
What a service reports while its Redis or its PostgreSQL is killed, hangs, is slow, restarts or rejects its password.

`python -m tests.probes.faults` prints the table of docs/health.md, measured with the default flags.
"""

# redis-py is only partly annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from typing import Any

import anyio
import asyncpg
import redis
import redis.asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.probes import RedisProbe, SqlProbe
from divan_obs_asgi.probes.connections.dedicated import RENEW_S
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerProcess, sockets
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.stacks import Observed

# A pause between two requests of one client.
PAUSE_S = 0.01
# Longer than any probe's timeout.
SLOW_S = 1.0


@dataclass
class Dependency(ABC):
    """A server of this run, and its probe."""

    server: ServerProcess
    name: str
    #: The default of the probe.
    timeout_s: float

    @abstractmethod
    def probe(self, port: int, renew_s: float) -> AbstractAsyncContextManager[RedisProbe | SqlProbe]:
        """Yield a probe of the server at `port`, while its client is open."""

    @abstractmethod
    def connections(self) -> int:
        """Return the number of connections at the server, without the one of this query."""

    @abstractmethod
    def lock(self, *, locked: bool) -> None:
        """Change the password, or change it back."""


class RedisDependency(Dependency):
    def __init__(self) -> None:
        super().__init__(RedisServer().start(), "redis", 0.2)
        self._admin = redis.Redis(host=self.server.host, port=self.server.port)
        self._locked = False

    @asynccontextmanager
    async def probe(self, port: int, renew_s: float) -> AsyncIterator[RedisProbe | SqlProbe]:
        async with redis.asyncio.Redis(host=self.server.host, port=port) as client:
            yield RedisProbe(client, renew_s=renew_s)

    def connections(self) -> int:
        return len(self._admin.client_list()) - 1

    def lock(self, *, locked: bool) -> None:
        # This connection stays authenticated.
        self._admin.config_set("requirepass", "another" if locked else "")


class PostgresDependency(Dependency):
    server: PostgresServer

    def __init__(self) -> None:
        super().__init__(PostgresServer().start(), "postgres", 0.3)
        self._password = self.server.password

    def _url(self, port: int, password: str) -> str:
        server = self.server
        return f"postgresql://{server.role}:{password}@{server.host}:{port}/{server.database}"

    @asynccontextmanager
    async def probe(self, port: int, renew_s: float) -> AsyncIterator[RedisProbe | SqlProbe]:
        async with asyncpg.create_pool(self._url(port, self.server.password), min_size=0) as pool:
            yield SqlProbe(pool, renew_s=renew_s)

    def _ask(self, query: str) -> Any:
        async def ask() -> Any:
            connection = await asyncpg.connect(self._url(self.server.port, self._password))
            try:
                return await connection.fetchval(query)
            finally:
                await connection.close()

        return anyio.run(ask)

    def connections(self) -> int:
        backends = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        found: int = self._ask(f"{backends} AND pid <> pg_backend_pid()")
        return found

    def lock(self, *, locked: bool) -> None:
        password = "another" if locked else self.server.password
        self._ask(f"ALTER ROLE {self.server.role} PASSWORD '{password}'")
        self._password = password


@contextmanager
def locked(dependency: Dependency) -> Iterator[None]:
    """Run the block with a password that the service does not know."""
    dependency.lock(locked=True)
    try:
        yield
    finally:
        dependency.lock(locked=False)


@contextmanager
def restarted(server: ServerProcess) -> Iterator[None]:
    """Run the block without the server, which has shut down cleanly."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@dataclass(frozen=True)
class Fault:
    """
    A way to break a dependency.

    Attributes:
        reason: the reason that the probe reports.
        by_proxy: whether the service must connect through the proxy.
    """

    reason: str
    breaks: Callable[[Dependency, Proxy], AbstractContextManager[None]]
    by_proxy: bool = False


FAULTS: Mapping[str, Fault] = {
    "killed": Fault("refused", lambda dependency, _: dependency.server.down()),
    "stopped, and started again": Fault("refused", lambda dependency, _: restarted(dependency.server)),
    "hanging (SIGSTOP)": Fault("timeout", lambda dependency, _: dependency.server.paused()),
    "slow, answers a second late": Fault("timeout", lambda _, proxy: proxy.slow(SLOW_S), by_proxy=True),
    "another password": Fault("auth", lambda dependency, _: locked(dependency)),
}


@dataclass(frozen=True)
class TimedResponse:
    """A response, with the time of its request and its latency."""

    asked_at: float
    took_s: float
    status: int
    body: bytes

    @property
    def ended_at(self) -> float:
        return self.asked_at + self.took_s

    def reason(self, name: str) -> str | None:
        reason: str | None = json.loads(self.body)["checks"].get(name, {}).get("reason")
        return reason


def response_of(client: HTTPConnection, path: str) -> TimedResponse:
    asked_at = time.monotonic()
    client.request("GET", path)
    response = client.getresponse()
    body = response.read()
    return TimedResponse(asked_at, time.monotonic() - asked_at, response.status, body)


@dataclass
class PollingClient:
    """A client that sends requests all the time, and keeps the responses in order."""

    path: str
    responses: list[TimedResponse] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def run(self, port: int, end: threading.Event) -> None:
        client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        while not end.is_set():
            try:
                self.responses.append(response_of(client, self.path))
            except Exception as error:
                self.failures.append(error)
            end.wait(PAUSE_S)
        client.close()

    def since(self, at: float) -> Sequence[TimedResponse]:
        return [answer for answer in self.responses if answer.asked_at >= at]


@dataclass
class PolledService:
    """A served application whose only dependency has a probe, and three clients that poll it."""

    port: int
    name: str
    probe: RedisProbe | SqlProbe
    live: PollingClient = field(default_factory=lambda: PollingClient("/health/live"))
    ready: PollingClient = field(default_factory=lambda: PollingClient("/health/ready?verbose"))
    work: PollingClient = field(default_factory=lambda: PollingClient("/work"))

    @property
    def clients(self) -> Sequence[PollingClient]:
        return self.live, self.ready, self.work

    def first(self, status: int, since: float, patience_s: float) -> TimedResponse:
        """Wait for the first readiness response with `status` to a request after `since`, and return it."""
        while time.monotonic() - since < patience_s:
            for answer in list(self.ready.responses):
                if answer.asked_at >= since and answer.status == status:
                    return answer
            time.sleep(PAUSE_S)
        raise TimeoutError(f"/health/ready did not return {status} in {patience_s} s but {self.ready.responses[-1]}.")

    def until_responses(self, times: int, patience_s: float) -> None:
        """Wait until each client has this many more responses."""
        awaited = {client.path: len(client.responses) + times for client in self.clients}
        until = time.monotonic() + patience_s
        while late := [client.path for client in self.clients if len(client.responses) < awaited[client.path]]:
            if time.monotonic() > until:
                raise TimeoutError(f"{late} did not get {times} responses in {patience_s} s.")
            time.sleep(PAUSE_S)

    def left_open(self) -> Mapping[str, int]:
        """Return the application's tasks, without those of requests, and its sockets."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        found: dict[str, int] = json.loads(response_of(client, "/open").body)
        client.close()
        return found


@contextmanager
def polled_service(
    dependency: Dependency,
    port: int,
    flags: Mapping[str, str],
    renew_s: float = RENEW_S,
    timeout_s: float | None = None,
) -> Iterator[PolledService]:
    """
    Serve an application with a probe of `dependency`, and poll it all the time.

    Args:
        timeout_s: of the probe; None for its default.
    """
    # Public, so that reasons are shown. All tests share the root logger, so logging is off.
    ours = {"OBS_METRICS_PUBLIC": "true", "OBS_DRAIN_DELAY_S": "0", "OBS_LOGGING_ENABLED": "false"}
    observed = Observed({"HEALTH_FAIL_AFTER": "2", **ours, **flags})
    registered: list[RedisProbe | SqlProbe] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with dependency.probe(port, renew_s) as probe:
            probe.timeout = timeout_s or dependency.timeout_s
            observed.obs.probes.register(probe)
            registered.append(probe)
            yield

    routes = [Route("/work", work), Route("/open", open_resources)]
    app = obs.wrap(Starlette(routes=routes, lifespan=lifespan), observed.obs)
    end = threading.Event()
    with serve(app) as serving, ExitStack() as stack:
        service = PolledService(serving.port, dependency.name, registered[0])
        for client in service.clients:
            thread = threading.Thread(target=client.run, args=(serving.port, end), daemon=True)
            thread.start()
            stack.callback(thread.join, 10.0)
        stack.callback(end.set)
        service.first(200, time.monotonic(), PATIENCE_S)
        yield service


async def work(request: Request) -> Response:
    """TimedResponse an ordinary request, which takes a millisecond of the event loop's time."""
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass
    return PlainTextResponse("done")


async def open_resources(request: Request) -> Response:
    names = Counter(map(name_of, asyncio.all_tasks()))
    # Without the tasks of requests in flight.
    tasks = {name: count for name, count in names.items() if not name.endswith(("run_asgi", "check_for_request"))}
    return JSONResponse({**tasks, "sockets": sockets()})


def name_of(task: asyncio.Task[Any]) -> str:
    """Return a task's name, or the name of its coroutine."""
    return task.get_coro().__qualname__ if task.get_name().startswith("Task-") else task.get_name()  # type: ignore[union-attr]


@dataclass
class Course:
    """
    The course of one fault.

    Attributes:
        broken_at: when it began.
        failed_s, recovered_s: seconds until the service was not ready, and until it was ready again.
        grown: the tasks and sockets that the application has gained during the fault.
    """

    broken_at: float
    reason: str | None
    failed_s: float
    recovered_s: float
    grown: Mapping[str, int]


def course_of(
    service: PolledService, breaks: AbstractContextManager[None], lasts: Callable[[], object], patience_s: float
) -> Course:
    """Break the dependency until readiness fails and `lasts` has returned, and repair it."""
    with breaks:
        broken_at = time.monotonic()
        broken = service.first(503, broken_at, patience_s)
        before = service.left_open()
        lasts()
        grown = grown_since(before, service)
    mended_at = time.monotonic()
    mended = service.first(200, mended_at, patience_s)
    return Course(
        broken_at, broken.reason(service.name), broken.ended_at - broken_at, mended.ended_at - mended_at, grown
    )


def grown_since(before: Mapping[str, int], service: PolledService) -> Mapping[str, int]:
    """Return what has grown in every one of several samples, because a running check shows up in some only."""
    looks = []
    for _ in range(5):
        looks.append(service.left_open())
        time.sleep(0.03)
    return {name: min(look.get(name, 0) for look in looks) - before.get(name, 0) for name in looks[0]}


DEPENDENCIES: Sequence[Callable[[], Dependency]] = (RedisDependency, PostgresDependency)


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    show("| fault | dependency | reason | not ready after | ready again after | 99 % of requests in |")
    show("|---|---|---|--:|--:|--:|")
    for make in DEPENDENCIES:
        dependency = make()
        for name, fault in FAULTS.items():
            with Proxy(dependency.server.port) as proxy:
                port = proxy.port if fault.by_proxy else dependency.server.port
                with polled_service(dependency, port, {"HEALTH_INTERVAL_S": "2"}) as service:
                    course = course_of(service, fault.breaks(dependency, proxy), partial(time.sleep, 10.0), 60.0)
                    took = sorted(answer.took_s for answer in service.work.since(course.broken_at))
            seconds = f"{course.failed_s:.1f} s | {course.recovered_s:.1f} s"
            p99_ms = 1e3 * took[len(took) * 99 // 100]
            show(f"| {name} | {dependency.name} | `{course.reason}` | {seconds} | {p99_ms:.0f} ms |")
        dependency.server.close()


if __name__ == "__main__":
    main()

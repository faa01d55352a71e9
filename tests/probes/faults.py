"""
What a service says of itself while its Redis or its PostgreSQL is killed, hangs, is slow, restarts or locks it out.

`python -m tests.probes.faults` prints the table of docs/health.md, measured with the default flags.
"""

# redis-py is annotated in part.
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

# A pause between two questions of the same asker.
PAUSE_S = 0.01
# Longer than any probe's timeout: what is this slow does not answer.
SLOW_S = 1.0


@dataclass
class Dependency(ABC):
    """A server of this run, and the probe that asks it."""

    server: ServerProcess
    name: str
    #: What the probe's is by default.
    timeout_s: float

    @abstractmethod
    def probe(self, port: int, renew_s: float) -> AbstractAsyncContextManager[RedisProbe | SqlProbe]:
        """Give a probe of the server, asked at `port`, as long as its client is open."""

    @abstractmethod
    def connections(self) -> int:
        """Return how many connections the server has, this question's own left out."""

    @abstractmethod
    def lock(self, *, locked: bool) -> None:
        """Change the password to another one, or back."""


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
        # This connection stays, and may go on.
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
    """With a password that the service does not know."""
    dependency.lock(locked=True)
    try:
        yield
    finally:
        dependency.lock(locked=False)


@contextmanager
def restarted(server: ServerProcess) -> Iterator[None]:
    """Without the server, which has ended in order."""
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
        reason: why the probe says that it fails.
        by_proxy: whether the service has to reach the server through the proxy.
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
class Answer:
    """What was answered, when it was asked and how long that took."""

    asked_at: float
    took_s: float
    status: int
    body: bytes

    @property
    def told_at(self) -> float:
        return self.asked_at + self.took_s

    def reason(self, name: str) -> str | None:
        reason: str | None = json.loads(self.body)["checks"].get(name, {}).get("reason")
        return reason


def answer_of(client: HTTPConnection, path: str) -> Answer:
    asked_at = time.monotonic()
    client.request("GET", path)
    response = client.getresponse()
    body = response.read()
    return Answer(asked_at, time.monotonic() - asked_at, response.status, body)


@dataclass
class Answers:
    """What one asker was told, in order."""

    path: str
    told: list[Answer] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def ask(self, port: int, end: threading.Event) -> None:
        client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        while not end.is_set():
            try:
                self.told.append(answer_of(client, self.path))
            except Exception as error:
                self.failures.append(error)
            end.wait(PAUSE_S)
        client.close()

    def since(self, at: float) -> Sequence[Answer]:
        return [answer for answer in self.told if answer.asked_at >= at]


@dataclass
class Watched:
    """A served application whose only dependency has a probe, and three who ask it all the time."""

    port: int
    name: str
    probe: RedisProbe | SqlProbe
    live: Answers = field(default_factory=lambda: Answers("/health/live"))
    ready: Answers = field(default_factory=lambda: Answers("/health/ready?verbose"))
    work: Answers = field(default_factory=lambda: Answers("/work"))

    @property
    def askers(self) -> Sequence[Answers]:
        return self.live, self.ready, self.work

    def first(self, status: int, since: float, patience_s: float) -> Answer:
        """Return the first answer of readiness with `status` to a question after `since`, as soon as there is one."""
        while time.monotonic() - since < patience_s:
            for answer in list(self.ready.told):
                if answer.asked_at >= since and answer.status == status:
                    return answer
            time.sleep(PAUSE_S)
        raise TimeoutError(f"/health/ready did not say {status} in {patience_s} s but {self.ready.told[-1]}.")

    def until_answered(self, times: int, patience_s: float) -> None:
        """Wait until each asker has had so many answers more."""
        awaited = {asker.path: len(asker.told) + times for asker in self.askers}
        until = time.monotonic() + patience_s
        while late := [asker.path for asker in self.askers if len(asker.told) < awaited[asker.path]]:
            if time.monotonic() > until:
                raise TimeoutError(f"{late} had not {times} answers in {patience_s} s.")
            time.sleep(PAUSE_S)

    def left_open(self) -> Mapping[str, int]:
        """Return the application's tasks, but for those that answer requests, and its sockets."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        found: dict[str, int] = json.loads(answer_of(client, "/open").body)
        client.close()
        return found


@contextmanager
def watched(
    dependency: Dependency,
    port: int,
    flags: Mapping[str, str],
    renew_s: float = RENEW_S,
    timeout_s: float | None = None,
) -> Iterator[Watched]:
    """
    Serve an application with a probe of `dependency`, and have it asked all the time.

    Args:
        timeout_s: the probe's; None for what it is by default.
    """
    # Public, so that the reasons are told; the root logger is that of all tests.
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

    routes = [Route("/work", work), Route("/open", what_is_open)]
    app = obs.wrap(Starlette(routes=routes, lifespan=lifespan), observed.obs)
    end = threading.Event()
    with serve(app) as serving, ExitStack() as stack:
        service = Watched(serving.port, dependency.name, registered[0])
        for asker in service.askers:
            thread = threading.Thread(target=asker.ask, args=(serving.port, end), daemon=True)
            thread.start()
            stack.callback(thread.join, 10.0)
        stack.callback(end.set)
        service.first(200, time.monotonic(), PATIENCE_S)
        yield service


async def work(request: Request) -> Response:
    """Answer an ordinary request, which takes a millisecond of the event loop's time."""
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass
    return PlainTextResponse("done")


async def what_is_open(request: Request) -> Response:
    names = Counter(map(name_of, asyncio.all_tasks()))
    # Those of the questions that are being answered.
    tasks = {name: count for name, count in names.items() if not name.endswith(("run_asgi", "_check_for_an_asker"))}
    return JSONResponse({**tasks, "sockets": sockets()})


def name_of(task: asyncio.Task[Any]) -> str:
    """Return a task's name, or that of what it runs."""
    return task.get_coro().__qualname__ if task.get_name().startswith("Task-") else task.get_name()  # type: ignore[union-attr]


@dataclass
class Course:
    """
    How one fault went.

    Attributes:
        broken_at: when it began.
        told_s, recovered_s: until readiness said so, and until it was ready again.
        grown: what the application has open more at the end of the fault than when it was told: tasks, sockets.
    """

    broken_at: float
    reason: str | None
    told_s: float
    recovered_s: float
    grown: Mapping[str, int]


def course_of(
    service: Watched, breaks: AbstractContextManager[None], lasts: Callable[[], object], patience_s: float
) -> Course:
    """Break the dependency until readiness says so and `lasts` has returned, and mend it."""
    with breaks:
        broken_at = time.monotonic()
        broken = service.first(503, broken_at, patience_s)
        before = service.left_open()
        lasts()
        grown = grown_since(before, service)
    mended_at = time.monotonic()
    mended = service.first(200, mended_at, patience_s)
    return Course(broken_at, broken.reason(service.name), broken.told_at - broken_at, mended.told_at - mended_at, grown)


def grown_since(before: Mapping[str, int], service: Watched) -> Mapping[str, int]:
    """Return what is more than before whenever one looks: a check that is under way is over at another look."""
    looks = []
    for _ in range(5):
        looks.append(service.left_open())
        time.sleep(0.03)
    return {name: min(look.get(name, 0) for look in looks) - before.get(name, 0) for name in looks[0]}


DEPENDENCIES: Sequence[Callable[[], Dependency]] = (RedisDependency, PostgresDependency)


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    tell("| fault | dependency | reason | told after | ready again after | 99 % of requests in |")
    tell("|---|---|---|--:|--:|--:|")
    for make in DEPENDENCIES:
        dependency = make()
        for name, fault in FAULTS.items():
            with Proxy(dependency.server.port) as proxy:
                port = proxy.port if fault.by_proxy else dependency.server.port
                with watched(dependency, port, {"HEALTH_INTERVAL_S": "2"}) as service:
                    course = course_of(service, fault.breaks(dependency, proxy), partial(time.sleep, 10.0), 60.0)
                    took = sorted(answer.took_s for answer in service.work.since(course.broken_at))
            seconds = f"{course.told_s:.1f} s | {course.recovered_s:.1f} s"
            p99_ms = 1e3 * took[len(took) * 99 // 100]
            tell(f"| {name} | {dependency.name} | `{course.reason}` | {seconds} | {p99_ms:.0f} ms |")
        dependency.server.close()


if __name__ == "__main__":
    main()

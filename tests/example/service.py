"""The reference backend in a test: run, served or started, and what people do with it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import socketio
from asgi_lifespan import LifespanManager
from prometheus_client.parser import text_string_to_metric_families

import examples.divan
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.metrics.family import APPLICATION
from examples.divan.backend import create_app
from examples.divan.realtime import NAMESPACE
from examples.divan.storage import redis_of
from tests.patience import PATIENCE_S
from tests.servers.asgi import Serving, serve

ADMIN = {"Authorization": "Bearer an-admin-token-for-tests"}
DOMAIN = [family.name for family in FAMILIES if family.by == APPLICATION]
SAMPLES = tuple(f"divan_{name}" for name in DOMAIN)


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


async def empty_redis(url: str) -> None:
    client, _ = redis_of({"REDIS_URL": url})
    await client.flushdb()
    await client.aclose()


@asynccontextmanager
async def running(environ: Mapping[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Run a backend in this process and yield a client of it."""
    app = create_app(environ)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with LifespanManager(app), httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client


@asynccontextmanager
async def served(environ: Mapping[str, str]) -> AsyncIterator[tuple[httpx.AsyncClient, Serving]]:
    """Serve a backend by uvicorn and yield a client of it."""
    with serve(create_app(environ)) as serving:
        async with httpx.AsyncClient(base_url=serving.url) as divan:
            yield divan, serving


async def readiness(divan: httpx.AsyncClient, *unwell: str) -> httpx.Response:
    """Ask for the readiness until all checks but these are well, because a store of a busy machine may answer late."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            ready = await divan.get("/health/ready")
            checks = ready.json()["checks"].items()
            if all(check["ok"] or name in unwell for name, check in checks):
                return ready
            await asyncio.sleep(0.1)


@contextmanager
def started(directory: Path, **flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `python -m examples.divan` on a free port and yield it with what it has printed up to the banner's end."""
    folder = Path(examples.divan.__file__).parents[2]
    kept = {name: value for name, value in os.environ.items() if name not in ("HOST", "DATABASE_URL", "REDIS_URL")}
    environ = {
        **{name: value for name, value in kept.items() if not name.startswith(("OBS_", "OTEL_", "LOG_"))},
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
        "PORT": "0",
        **flags,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "examples.divan"],
        cwd=directory,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if "examples.divan.listen" in line:
                    break
            yield process, printed
        finally:
            process.kill()


async def sign_in(divan: httpx.AsyncClient, name: str) -> dict[str, str]:
    """Sign in and return the headers that say so."""
    answer = await divan.post("/auth/demo", json={"name": name})
    assert answer.status_code == 200
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def enter(divan: httpx.AsyncClient, who: Mapping[str, str], room: str = "lobby") -> None:
    """Make a room where there is none, and join it."""
    assert (await divan.post("/rooms", json={"name": room}, headers=who)).status_code in (201, 409)
    assert (await divan.post(f"/rooms/{room}/join", headers=who)).status_code == 200


async def say(divan: httpx.AsyncClient, who: Mapping[str, str], text: str, room: str = "lobby") -> int:
    """Send a message to a room, as one of its members, and return its id."""
    await enter(divan, who, room)
    answer = await divan.post(f"/rooms/{room}/messages", json={"text": text}, headers=who)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["id"]
    return number


async def befriend(divan: httpx.AsyncClient, one: str, other: str) -> tuple[dict[str, str], dict[str, str]]:
    """Sign in two people who become friends."""
    headers = await sign_in(divan, one), await sign_in(divan, other)
    number = (await divan.post("/invites", json={"to": other}, headers=headers[0])).json()["id"]
    assert (await divan.post(f"/invites/{number}/accept", headers=headers[1])).status_code == 200
    return headers


async def domain_series(divan: httpx.AsyncClient) -> dict[str, float]:
    """Return what the page of metrics has of what the application counts, but for zeros."""
    page = (await divan.get("/metrics", headers=ADMIN)).text
    # The parser takes 20 ms for a whole page.
    wanted = "".join(f"{line}\n" for line in page.splitlines() if line.startswith(SAMPLES))
    found = {}
    for family in text_string_to_metric_families(wanted):
        for sample in family.samples:
            if sample.name.removeprefix("divan_") in DOMAIN and sample.value:
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found[sample.name.removeprefix("divan_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


@asynccontextmanager
async def moves(divan: httpx.AsyncClient, **by: float) -> AsyncIterator[None]:
    """Assert by how much the domain's series move in the block: these, and no others."""
    async with moves_series(divan, by):
        yield


@asynccontextmanager
async def moves_series(divan: httpx.AsyncClient, by: Mapping[str, float]) -> AsyncIterator[None]:
    """The same for series with labels."""
    before = await domain_series(divan)
    yield
    expected = {**before, **{name: before.get(name, 0.0) + more for name, more in by.items()}}
    # Acknowledgements of clients and events of the stream come in a moment later.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        after = await domain_series(divan)
        if after == expected or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.02)
    assert after == expected


class Backend:
    """A backend whose stores can be taken down."""

    def __init__(self, divan: httpx.AsyncClient, environ: Mapping[str, str], request: pytest.FixtureRequest) -> None:
        self.divan = divan
        self._request = request
        self._is_real = "REDIS_URL" in environ
        self._folder = Path(environ["DATABASE_URL"].removeprefix("sqlite://")).parent

    @contextmanager
    def down(self, store: str) -> Iterator[None]:
        """Have `sql` or `redis` stopped during the block."""
        if self._is_real:
            server = self._request.getfixturevalue({"sql": "postgres_server", "redis": "redis_server"}[store])
            server.stop()
            try:
                yield
            finally:
                server.start()
        elif store == "sql":
            # Every statement opens the file anew.
            away = self._folder.with_name("away")
            self._folder.rename(away)
            yield
            away.rename(self._folder)
        else:
            app = self.divan._transport.app  # type: ignore[attr-defined]
            server = app.state.presence._redis.connection_pool.connection_kwargs["server"]
            server.connected = False
            yield
            server.connected = True

    async def fails(self, store: str, method: str, path: str, who: Mapping[str, str], **body: Any) -> None:
        """Assert that a request is answered 503 while a store is down, and that nothing is counted."""
        async with moves(self.divan):
            with self.down(store):
                answer = await self.divan.request(method, path, headers=who, json=body or None)
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1"), answer.text
        assert answer.json() == {"detail": "A store of Divan is out of reach or busy; try again in a second."}


class Address(Protocol):
    """A server that a client can connect to."""

    @property
    def url(self) -> str: ...


class Listener:
    """A Socket.IO client that keeps what it is sent, and acknowledges it while `acknowledging` is set."""

    def __init__(self, server: Address, transports: list[str] | None = None) -> None:
        self._url, self._transports = server.url, transports
        self.acknowledging = asyncio.Event()
        self.acknowledging.set()
        self._client = socketio.AsyncClient(reconnection=False)
        self._heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        for event in ("message", "read"):
            self._client.on(event, self._keeper_of(event), namespace=NAMESPACE)

    def _keeper_of(self, event: str) -> Any:
        async def keep(data: Any) -> None:
            self._heard.put_nowait((event, data))
            await self.acknowledging.wait()

        return keep

    async def connect(self, auth: object) -> None:
        # A second by default, in which a busy server has not answered.
        await self._client.connect(
            self._url, namespaces=[NAMESPACE], auth=auth, transports=self._transports, wait_timeout=PATIENCE_S
        )

    async def connect_as(self, who: Mapping[str, str]) -> None:
        await self.connect({"token": who["Authorization"].removeprefix("Bearer ")})

    async def call(self, event: str, data: object, timeout_s: float = 60) -> Any:
        return await self._client.call(event, data, namespace=NAMESPACE, timeout=timeout_s)

    async def next(self) -> tuple[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            return await self._heard.get()

    @property
    def connected(self) -> bool:
        return self._client.connected

    async def disconnect(self) -> None:
        await self._client.disconnect()

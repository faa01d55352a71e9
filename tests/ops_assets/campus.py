"""Two workers of the reference backend, and users who use all its features."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Sequence
from contextlib import suppress

import httpx
import pytest
import socketio

from benchmarks.load.stage import BackendServer
from tests.example.service import ADMIN, Listener, befriend, enter
from tests.patience import PATIENCE_S

TOKEN = ADMIN["Authorization"].removeprefix("Bearer ")
WORKERS = 2
# Pairs of friends; SocketClientDrop and its panel ask for at least 20 clients.
PAIRS = 11
# Of the page whose vitals are counted.
_ORIGIN = "http://localhost:3000"


class Backend(BackendServer):
    """Two workers of the reference backend, with faulty routes and every part that has metrics."""

    ready_line = re.compile("Application startup complete")
    # Two processes import everything at once: 51 s where 20 others want the same two cores.
    start_timeout_s = 6 * PATIENCE_S

    def __init__(self, **flags: str) -> None:
        super().__init__(
            {
                "OBS_ENV": "dev",
                "OBS_ADMIN_TOKEN": TOKEN,
                "JWT_SECRET": "s" * 32,
                "HEALTH_MIN_MIGRATION": "0008",
                "HEALTH_INTERVAL_S": "0.5",
                "OBS_REDIS_STREAMS_INTERVAL_S": "0.5",
                "OBS_SOCKETIO_ROOM_SIZES": "true",
                "OBS_TRACING_ENABLED": "true",
                "OBS_VITALS_ENABLED": "true",
                "OBS_VITALS_ORIGINS": _ORIGIN,
                "OBS_VITALS_ROUTES": "/,/rooms/[id]",
                "OBS_VITALS_ADDRESS_LIMIT": "3000",
                **flags,
            }
        )
        metrics = self.directory / "metrics"
        metrics.mkdir()
        self._environ = {**self._environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}

    def command(self) -> Sequence[str]:
        *python, _, _ = super().command()
        served = ["-m", "uvicorn", "tests.ops_assets.troubled:app", f"--port={self.port}", f"--workers={WORKERS}"]
        return [*python, *served, "--timeout-graceful-shutdown=3", "--timeout-worker-healthcheck=30"]


class Campus:
    """Users who use all features of the backend, in pairs of connected friends."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._pairs: list[tuple[dict[str, str], dict[str, str]]] = []
        self._listeners: list[Listener] = []
        self._numbers = itertools.count()
        limits = httpx.Limits(max_keepalive_connections=0)  # any worker
        self.divan = httpx.AsyncClient(base_url=backend.url, limits=limits, timeout=2 * PATIENCE_S)

    async def __aenter__(self) -> Campus:
        pids: set[int] = set()
        async with asyncio.timeout(2 * PATIENCE_S):
            while len(pids) < WORKERS:
                pids.add((await self.divan.get("/ops", headers=ADMIN)).json()["pid"])
        for number in range(PAIRS):
            pair = await befriend(self.divan, f"ada-{number}", f"bob-{number}")
            for who in pair:
                await enter(self.divan, who)
                self._listeners.append(await self.listen(who))
            self._pairs.append(pair)
        return self

    async def __aexit__(self, *_: object) -> None:
        for listener in self._listeners:
            await listener.disconnect()
        await self.divan.aclose()

    async def listen(self, who: dict[str, str]) -> Listener:
        listener = Listener(self._backend, ["websocket"])
        await listener.connect_as(who)
        await listener.call("join", {"room": "lobby"})
        return listener

    async def live(self, number: int) -> None:
        """Do one thing after the other, as a pair; what is answered is not looked at, stores may be down."""
        one, other = self._pairs[number]
        place = {"lat": 41.085, "lon": 29.044 + number / 1e4}
        for who in (one, other):
            await self.divan.post("/presence/heartbeat", json={**place, "campus_id": "south"}, headers=who)
            await self.divan.get("/proximity/nearby", params={"radius": 500}, headers=who)
            await self.divan.post("/rooms/lobby/messages", json={"text": "Hello"}, headers=who)
        await self.divan.post("/presence/heartbeat", json={**place, "lat": 91}, headers=one)
        sent = await self.divan.post(f"/chat/bob-{number}/messages", json={"text": "Hello"}, headers=one)
        if sent.status_code == 201:
            await self.divan.post(f"/chat/ada-{number}/read", json={"message_id": sent.json()["id"]}, headers=other)
        await self.divan.post("/rooms", json={"name": f"room-{next(self._numbers)}"}, headers=one)
        made = await self.divan.post("/activities", json={"kind": "study"}, headers=one)
        if made.status_code == 201:
            await self.divan.post(f"/activities/{made.json()['id']}/complete", headers=one)
        await self.divan.get("/leaderboards/day", headers=one)

    async def meet(self) -> None:
        """Have new people become friends, somebody come and go, and somebody be refused; freeze the leaderboards."""
        number = next(self._numbers)
        who, _ = await befriend(self.divan, f"eve-{number}", f"kim-{number}")
        await enter(self.divan, who)
        visitor = await self.listen(who)
        with suppress(socketio.exceptions.TimeoutError):
            await visitor.call("trouble", {}, timeout_s=1)
        await visitor.disconnect()
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Listener(self._backend, ["websocket"]).connect({"token": "invented"})
        await self.freeze()

    async def browse(self) -> None:
        """Have a browser measure pages, and a page that is not listed try."""
        times = {"LCP": 1900, "INP": 120, "FCP": 900, "TTFB": 200}
        vitals = [
            {"name": name, "value": value, "rating": "good", "navigation": "navigate", "route": route}
            for route, shift in (("/", 0.02), ("/rooms/[id]", 0.2))
            for name, value in {**times, "CLS": shift}.items()
        ]
        for origin in (_ORIGIN, "http://elsewhere.example"):
            await self.divan.post("/ops/ingest", json={"vitals": vitals}, headers={"Origin": origin})

    async def freeze(self) -> None:
        await self.divan.post("/ops/rollover", headers=ADMIN)

    async def block(self) -> None:
        await self.divan.post("/trouble/block")

    async def fail(self) -> None:
        await self.divan.post("/trouble/fail")

    async def wait(self) -> None:
        await self.divan.post("/trouble/wait")


__all__ = ["PAIRS", "TOKEN", "Backend", "Campus"]

"""Real servers, ended and started again under load: no request is lost."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import ClassVar

import anyio
import anyio.to_thread
import httpx
import pytest

from tests.patience import PATIENCE_S
from tests.servers.process import ServerProcess

pytestmark = pytest.mark.slow

APP = """
import asyncio, os

import divan_obs_asgi as obs
from tests.patience import PATIENCE_S

ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    number = scope["query_string"]
    # Some take longer than it takes a balancer to notice.
    await asyncio.sleep(0.3 if number.endswith(b"7") else 0.01)
    # Before the answer: who has it may look at once.
    os.write(ledger, number + b"\\n")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": number})

app = obs.wrap(app)
"""
DELAY_S = 2.0


class Instance(ServerProcess):
    """One instance of a service, which notes in a ledger which requests it answers."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Application startup complete|Running on")

    def __init__(self, server: str, delay_s: float) -> None:
        super().__init__()
        (self.directory / "service.py").write_text(APP)
        self._server = server
        self._delay_s = delay_s

    def command(self) -> Sequence[str]:
        if self._server == "hypercorn":
            options = ["hypercorn", "--workers", "0", "--bind", f"{self.host}:{self.port}"]
        else:
            options = ["uvicorn", "--no-access-log", "--port", str(self.port), "--loop", self._server]
        return [sys.executable, "-m", *options, "service:app"]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return super().popen(command, env={"OBS_DRAIN_DELAY_S": str(self._delay_s), "LOG_LEVEL": "WARNING"})

    def answered(self) -> list[int]:
        ledger = self.directory / "ledger"
        return [int(line) for line in ledger.read_text().split()] if ledger.exists() else []


class Balancer:
    """Sends requests to those instances that were ready when it asked last."""

    def __init__(self, instances: Sequence[Instance], asked_every_s: float) -> None:
        self._asked_every_s = asked_every_s
        self.urls = {instance: f"http://127.0.0.1:{instance.port}" for instance in instances}
        self.ready: set[Instance] = set()
        self.said: list[object] = []
        self.answered: list[int] = []
        self.lost: list[str] = []
        self._numbers = itertools.count()
        self._stopped = False

    async def watch(self, instance: Instance) -> None:
        """Ask one instance again and again whether it is ready."""
        async with httpx.AsyncClient(timeout=2.0) as client:
            while not self._stopped:
                try:
                    answer = await client.get(f"{self.urls[instance]}/health/ready")
                except httpx.TransportError:
                    self.ready.discard(instance)
                else:
                    self.said.append(answer.json())
                    (self.ready.add if answer.status_code == 200 else self.ready.discard)(instance)
                await anyio.sleep(self._asked_every_s)

    async def send(self, *, keep_alive: bool) -> None:
        """Send one request after the other."""
        limits = httpx.Limits(max_keepalive_connections=4 if keep_alive else 0)
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE_S) as client:
            while not self._stopped:
                if not self.ready:
                    await anyio.sleep(0.01)
                    continue
                number = next(self._numbers)
                ready = sorted(self.ready, key=lambda instance: instance.port)
                await self._send_one(client, number, self.urls[ready[number % len(ready)]])

    async def _send_one(self, client: httpx.AsyncClient, number: int, url: str) -> None:
        try:
            answer = await client.get(f"{url}/buy?{number}")
        except httpx.TransportError as error:
            self.lost.append(f"{number}: {error!r}")
            return
        if answer.status_code == 200 and answer.text == str(number):
            self.answered.append(number)
        else:
            self.lost.append(f"{number}: {answer.status_code}")

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            for instance in self.urls:
                tasks.start_soon(self.watch, instance)
            for client in range(8):
                tasks.start_soon(lambda keep_alive: self.send(keep_alive=keep_alive), client % 2 == 0)
            yield
            self._stopped = True

    async def until_ready(self, count: int) -> None:
        with anyio.fail_after(PATIENCE_S):
            while len(self.ready) < count:  # noqa: ASYNC110 - it waits for another process
                await anyio.sleep(0.02)


@contextmanager
def two_instances(server: str, delay_s: float) -> Iterator[list[Instance]]:
    instances = [Instance(server, delay_s), Instance(server, delay_s)]
    try:
        yield [instance.start() for instance in instances]
    finally:
        for instance in instances:
            instance.kill()
            instance.close()


async def end_under_load(instances: Sequence[Instance], asked_every_s: float, *, restart: bool) -> Balancer:
    """End one of two instances while requests come in, and start it again on the same port."""
    balancer = Balancer(instances, asked_every_s)
    async with balancer.under_load():
        await balancer.until_ready(2)
        await anyio.sleep(0.3)
        await anyio.to_thread.run_sync(instances[0].stop)
        if restart:
            await anyio.to_thread.run_sync(instances[0].start)
            await balancer.until_ready(2)
        await anyio.sleep(0.3)
    return balancer


@pytest.mark.parametrize("server", ["asyncio", "uvloop", "hypercorn"])
def test_a_restart_under_load_loses_no_request(server: str) -> None:
    """Behind a balancer that asks whether an instance is ready, each request is answered, and answered once."""
    with two_instances(server, DELAY_S) as instances:
        balancer = anyio.run(partial(end_under_load, instances, 0.1, restart=True))
        answered = [number for instance in instances for number in instance.answered()]
    assert balancer.lost == []
    assert len(balancer.answered) > 50
    assert Counter(answered) == Counter(balancer.answered)
    assert {"status": "fail", "checks": {"drain": {"ok": False, "latency_ms": 0}}} in balancer.said


def test_without_a_delay_requests_are_lost() -> None:
    """The same, and the server closes its listeners before the balancer can know: this is what the delay is for."""
    with two_instances("asyncio", 0.0) as instances:
        balancer = anyio.run(partial(end_under_load, instances, 1.0, restart=False))
    assert balancer.lost != []

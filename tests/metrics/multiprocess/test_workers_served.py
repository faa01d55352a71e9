"""Several workers at one address, one of them killed: what a real Prometheus scrapes are the requests sent."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import ClassVar

import httpx
import pytest

from tests.metrics.worker_pages import files
from tests.patience import PATIENCE_S
from tests.servers.process import ServerProcess, missing
from tests.servers.prometheus import PrometheusServer

pytestmark = pytest.mark.slow

APP = """
import asyncio, os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import divan_obs_asgi as obs
from tests.patience import PATIENCE_S

async def buy(request):
    return PlainTextResponse(str(os.getpid()))

async def endless():
    yield str(os.getpid())
    await asyncio.sleep(3600)

app = Starlette(routes=[
    Route("/buy", buy, methods=["POST"]),
    Route("/endless", lambda request: StreamingResponse(endless())),
])
observability = obs.init(app)

@observability.probes.probe("redis")
async def redis():
    return {}

# A page that costs some milliseconds.
for name in ("sizes", "times"):
    for zone in range(400):
        observability.metrics.histogram(name, "Many.", ["zone"]).labels(str(zone)).observe(1)
"""
TOKEN = "a-token-for-scrapers"
WORKERS = 2
COUNT = 'divan_http_requests_total{route="/buy",method="POST",status="200"}'
IN_FLIGHT = "divan_http_requests_in_flight"


# The command of each server with two workers. Preloaded, the application is created in gunicorn's master, and forked.
GUNICORN = ["gunicorn", "--worker-class", "uvicorn_worker.UvicornWorker", "--bind", "127.0.0.1:{port}"]
SERVERS = {
    "uvicorn": ["uvicorn", "--no-access-log", "--port", "{port}"],
    "gunicorn": GUNICORN,
    "gunicorn, preloaded": [*GUNICORN, "--preload"],
}


class Service(ServerProcess):
    """A service of two workers, which its supervisor starts again when they die."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Application startup complete")

    def __init__(self, server: str) -> None:
        super().__init__()
        self.server = server
        (self.directory / "service.py").write_text(APP)
        self.metrics = self.directory / "metrics"
        self.metrics.mkdir()
        # The page of any worker.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=f"http://{self.host}:{self.port}", limits=limits, timeout=PATIENCE_S)

    def command(self) -> Sequence[str]:
        options = [option.format(port=self.port) for option in SERVERS[self.server]]
        return [sys.executable, "-m", *options, "--workers", str(WORKERS), "service:app"]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        flags = {
            "PROMETHEUS_MULTIPROC_DIR": str(self.metrics),
            "OBS_ADMIN_TOKEN": TOKEN,
            "OBS_DRAIN_ENABLED": "false",
            "LOG_LEVEL": "WARNING",
            # Where gunicorn puts its control socket.
            "HOME": str(self.directory),
        }
        return super().popen(command, env=flags)

    def close(self) -> None:
        self.client.close()
        super().close()

    def buy(self) -> int:
        """Send a request on a connection of its own, for any worker to take; returns its process id."""
        with closing(HTTPConnection(self.host, self.port, timeout=PATIENCE_S)) as connection:
            connection.request("POST", "/buy")
            answer = connection.getresponse()
            assert answer.status == 200
            return int(answer.read())

    def buy_of_all(self, *, without: int = 0) -> Counter[int]:
        """Send requests until every worker has answered some; returns how many each has."""
        answers: Counter[int] = Counter()
        end = time.monotonic() + PATIENCE_S
        with ThreadPoolExecutor(8) as threads:
            while len(answers) < WORKERS or min(answers.values()) < 5:
                assert time.monotonic() < end, f"only {dict(answers)} answered"
                answers.update(threads.map(lambda _: self.buy(), range(16)))
                time.sleep(0.02)  # For the worker that is being started.
        assert without not in answers
        return answers

    def wait_until(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < end, "\n".join(self.log)
            time.sleep(0.05)

    @contextmanager
    def request_under_way(self) -> Iterator[int]:
        """Have a request that does not end; gives the process id of its worker."""
        with self.client.stream("GET", "/endless") as answer:
            chunks = answer.iter_text()  # Where nobody has it any more, httpx closes the connection.
            yield int(next(chunks))

    def has_files_of_the_living(self) -> None:
        """Assert that there are no others; gunicorn's master is one of them where it has loaded the application."""
        masters = ["worker"] if self.server == "gunicorn, preloaded" else []
        assert files(self.metrics) == ["archive", "lock", *masters, "worker", "worker"]

    def page(self) -> str:
        """Return the page of some worker."""
        return self.client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).raise_for_status().text

    def counted(self) -> float:
        """Return the number of requests on the page of some worker."""
        page = self.page()
        found = re.search(r'^divan_http_requests_total\{.*route="/buy",status="200"\} (\S+)$', page, re.MULTILINE)
        return float(found[1]) if found else 0.0


class Load:
    """Clients that send one request after the other, each on a connection of its own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = threading.Event()
        self._sent: Counter[int] = Counter()
        self._answered: Counter[int] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(4) as threads:
            for client in range(4):
                threads.submit(self._send, client)
            try:
                yield
            finally:
                self._stopped.set()

    @property
    def sent(self) -> int:
        return self._sent.total()

    @property
    def answered(self) -> int:
        return self._answered.total()

    def _send(self, client: int) -> None:
        # More requests than pages, and a processor that is free for the workers.
        while not self._stopped.wait(0.005):
            self._sent[client] += 1
            with suppress(OSError, HTTPException):
                self._service.buy()
                self._answered[client] += 1


@pytest.fixture(params=list(SERVERS))
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    if request.param != "uvicorn" and not all(map(find_spec, ("gunicorn", "uvicorn_worker"))):
        missing("gunicorn and uvicorn-worker are not installed")
    with closing(Service(request.param)) as service:
        yield service.start()


@pytest.fixture
def prometheus(service: Service) -> Iterator[PrometheusServer]:
    with closing(PrometheusServer(f"{service.host}:{service.port}", TOKEN)) as server:
        yield server.start()


def end(pid: int, how: signal.Signals) -> None:
    """End a process; returns when it is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, how)
        assert select.select([descriptor], [], [], PATIENCE_S)[0]
    finally:
        os.close(descriptor)


def test_a_killed_worker_loses_no_count(service: Service, prometheus: PrometheusServer) -> None:
    """Prometheus counts the requests that were sent, before and after one of two workers is killed and replaced."""
    sent = service.buy_of_all().total()
    prometheus.wait_for(COUNT, [sent])
    # Redis is asked by every worker, and is one series.
    prometheus.wait_for("divan_redis_up", [1])
    with service.request_under_way() as victim, httpx.Client(base_url=service.client.base_url) as idle:
        prometheus.wait_for(IN_FLIGHT, [1])
        idle.post("/buy").raise_for_status()
        sent += 1
        # It is counted when the server has the answer: the client may have it a moment before.
        prometheus.wait_for(COUNT, [sent])
        end(victim, signal.SIGKILL)
    sent += service.buy_of_all(without=victim).total()
    prometheus.wait_for(COUNT, [sent])
    prometheus.wait_for(IN_FLIGHT, [0])
    # It never went back, whichever worker was asked.
    assert prometheus.ask(f"resets({COUNT}[1m])") == [0]
    assert prometheus.ask("count(divan_redis_up)") == [1]
    service.has_files_of_the_living()


@pytest.mark.parametrize("service", ["uvicorn"], indirect=True)
def test_every_response_is_counted_under_load(service: Service) -> None:
    """One worker is recycled, then one is killed: what had been answered is counted, and nothing twice."""
    load = Load(service)
    others = []
    with load.running():
        for how in (signal.SIGTERM, signal.SIGKILL):
            with service.request_under_way() as victim:
                pass
            end(victim, how)
            others.append(service.buy_of_all(without=victim).total())
    # The one that was killed may have been about to count one more: the client had its answer a moment before.
    assert load.answered - 1 <= service.counted() - sum(others) <= load.sent
    service.has_files_of_the_living()


COUNTER = re.compile(r"(\S+(?:_total|_count|_sum|_bucket)(?:\{[^}]*\})?) (\S+)")


def counters(lines: set[str]) -> dict[str, float]:
    """Return the counters that these lines of a page are."""
    return {found[1]: float(found[2]) for found in map(COUNTER.fullmatch, lines) if found}


def test_no_counter_decreases_between_scrapes(service: Service) -> None:
    """Whichever worker answers, and however soon: no counter of any family is smaller than on a page before."""
    load = Load(service)
    before: set[str] = set()
    with load.running():
        for _ in range(60):
            page = set(service.page().splitlines())
            # Most of its thousands of lines are on both pages.
            gone, new = counters(before - page), counters(page - before)
            went_back = {name: (value, new.get(name)) for name, value in gone.items() if new.get(name, -1.0) < value}
            assert went_back == {}
            before = page
    assert load.answered > 0


@pytest.mark.parametrize("service", ["uvicorn", "gunicorn"], indirect=True)
def test_a_running_service_serves_without_its_directory(service: Service) -> None:
    """A worker that is started meanwhile serves, too; the metrics are shared again when there can be a directory."""
    shutil.rmtree(service.metrics)
    service.metrics.touch()
    with service.request_under_way() as victim:
        pass
    end(victim, signal.SIGKILL)
    service.buy_of_all(without=victim)
    service.page()
    alone = "Cannot create a metrics file in"
    service.wait_until(lambda: any(alone in line for line in service.log))
    service.metrics.unlink()
    service.wait_until(lambda: service.metrics.is_dir() and files(service.metrics).count("worker") == WORKERS)
    before = service.counted()
    sent = service.buy_of_all().total()
    service.wait_until(lambda: service.counted() == before + sent)

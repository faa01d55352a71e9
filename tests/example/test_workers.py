"""`make run WORKERS=2`: two workers of the reference backend on a real Redis and PostgreSQL are one service."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import socketio
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from benchmarks.load.stage import BackendServer
from examples.divan.__main__ import complaint, demo_environment
from examples.divan.events import DEAD_LETTERS, GROUP, STREAM
from examples.divan.storage import redis_of
from tests.example.service import ADMIN, Listener, befriend, empty_redis, enter, sign_in, started
from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer
from tests.servers.process import START_TIMEOUT_S, children
from tests.servers.redis import RedisServer

WORKERS = 2
CLIENTS = 12
MESSAGES = 20
# Series that are the same on the pages of all workers once nothing happens any more.
COUNTED = ("divan_rooms_", "divan_chat_", "divan_lb_", "divan_socketio_")
ON_CHAT = "[('namespace', '/chat')]"

pytestmark = pytest.mark.slow


class Service(BackendServer):
    """The backend with two workers, and a folder of its own for temporary files."""

    def __init__(self, stores: Mapping[str, str], **flags: str) -> None:
        token = ADMIN["Authorization"].removeprefix("Bearer ")
        super().__init__({"WORKERS": str(WORKERS), "OBS_ADMIN_TOKEN": token, "LOG_LEVEL": "WARNING", **stores, **flags})
        self.stores = stores
        self.temporary = self.directory / "temporary"
        self.temporary.mkdir()
        self._environ = {**self._environ, "TMPDIR": str(self.temporary)}

    def ended(self, process: subprocess.Popen[str]) -> int:
        """Return the exit code of a command that ends; nothing temporary is left."""
        with process:
            output, _ = process.communicate(timeout=2 * START_TIMEOUT_S)
        self.log.extend(output.splitlines())
        assert list(self.temporary.iterdir()) == []
        return process.returncode

    async def until(self, happened: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    if await happened():
                        break
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError("\n".join(self.log)) from None

    def connections(self, pids: Sequence[int]) -> Counter[int]:
        """Return how many clients each worker has (Linux)."""
        found: Counter[int] = Counter()
        for pid in pids:
            table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
            ours = {f"socket:[{row[9]}]" for row in table if row[1].endswith(f":{self.port:04X}") and row[3] == "01"}
            found[pid] = sum(os.readlink(name) in ours for name in Path(f"/proc/{pid}/fd").iterdir())
        return found


@pytest.fixture
def anyio_backend() -> str:
    """`databases` and redis-py are made for asyncio."""
    return "asyncio"


@contextmanager
def empty_stores(redis: RedisServer, postgres: PostgresServer, number: int) -> Iterator[dict[str, str]]:
    """Yield the flags of a new database of PostgreSQL and of the one of Redis with this number; empty them."""
    redis_url = f"{redis.url.removesuffix('/0')}/{number}"
    database_url = postgres.new_database()
    yield {"REDIS_URL": redis_url, "DATABASE_URL": database_url}
    postgres.drop(database_url)
    asyncio.run(empty_redis(redis_url))


@contextmanager
def serving(stores: Mapping[str, str]) -> Iterator[Service]:
    """Run the service, of which nothing temporary is left."""
    with closing(Service(stores)) as service:
        yield service.start()
        service.stop()
        assert list(service.temporary.iterdir()) == []


@pytest.fixture
def stores(redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[dict[str, str]]:
    with empty_stores(redis_server, postgres_server, 10) as stores:
        yield stores


@pytest.fixture(scope="module")
def shared_service(redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[Service]:
    """The service of the tests that need no fresh one: its start takes 8 s of a processor."""
    with empty_stores(redis_server, postgres_server, 9) as stores, serving(stores) as service:
        yield service


@pytest.fixture
async def service(shared_service: Service) -> Service:
    """The service, once the clients of the test before are gone."""

    async def alone() -> bool:
        return not shared_service.connections(children(shared_service.pid)).total()

    await shared_service.until(alone)
    return shared_service


@pytest.fixture
def fresh_service(stores: dict[str, str]) -> Iterator[Service]:
    """A service whose workers have had no client."""
    with serving(stores) as service:
        yield service


@asynccontextmanager
async def redis_client(service: Service) -> AsyncIterator[Redis]:
    redis, waiting_redis = redis_of(service.stores)
    yield redis
    await redis.aclose()
    await waiting_redis.aclose()


@pytest.fixture
async def redis(shared_service: Service) -> AsyncIterator[Redis]:
    async with redis_client(shared_service) as redis:
        yield redis


Clients = dict[int, httpx.AsyncClient]


@asynccontextmanager
async def each_worker(service: Service, without: int = 0) -> AsyncIterator[Clients]:
    """Yield a client of each worker, by process id: a connection stays with the worker that has accepted it."""
    found: Clients = {}
    limits = httpx.Limits(max_connections=1, keepalive_expiry=None)

    async def all_found() -> bool:
        client = httpx.AsyncClient(base_url=service.url, limits=limits)
        try:
            pid = (await client.get("/ops", headers=ADMIN)).json()["pid"]
        except httpx.TransportError:  # A connection that the killed worker had not yet accepted.
            pid = without
        if pid in found or pid == without:
            await client.aclose()
        else:
            found[pid] = client
        return len(found) == WORKERS

    try:
        await service.until(all_found)
        yield found
    finally:
        for client in found.values():
            await client.aclose()


async def sums(client: httpx.AsyncClient) -> dict[str, float]:
    """Return what a page has of what happened in rooms, but for zeros."""
    page = (await client.get("/metrics", headers=ADMIN)).text
    wanted = "\n".join(line for line in page.splitlines() if line.startswith(COUNTED))
    return {
        sample.name.removeprefix("divan_") + (str(sorted(sample.labels.items())) if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(f"{wanted}\n")
        for sample in family.samples
        if sample.value
    }


async def sums_on_all_pages(service: Service, workers: Clients, expected: Mapping[str, float]) -> dict[str, float]:
    """Return the sums, once the pages of all workers have the same and among them these."""
    pages: list[dict[str, float]] = []

    async def same() -> bool:
        pages[:] = [await sums(client) for client in workers.values()]
        return all(page == pages[0] for page in pages) and expected.items() <= pages[0].items()

    with suppress(AssertionError):
        await service.until(same)
    for page in pages:
        assert {name: page.get(name, 0) for name in expected} == expected, "\n".join(service.log)
        assert page == pages[0]
    return pages[0]


def more(sums: Mapping[str, float], by: Mapping[str, float]) -> dict[str, float]:
    """Return what the sums are when these have grown."""
    return {name: sums.get(name, 0) + growth for name, growth in by.items()}


async def both_hear(service: Service) -> None:
    """Return when both workers hear what is said by Redis."""
    async with redis_client(service) as redis:

        async def subscribed() -> bool:
            # By database: the channel is one for all of them, and another service may hear it, too.
            hearing = [client["db"] for client in await redis.client_list() if client["sub"] != "0"]
            return hearing.count(service.stores["REDIS_URL"].rpartition("/")[2]) == WORKERS

        await service.until(subscribed)


class Room:
    """People in one room, who listen, some of them at each worker."""

    def __init__(self, service: Service, workers: Clients, name: str) -> None:
        self._service, self._workers, self._name = service, workers, name
        self._idle = service.connections(list(workers))
        self.people: list[dict[str, str]] = []
        self.listeners: list[Listener] = []

    async def fill(self) -> None:
        anybody = next(iter(self._workers.values()))
        for number in range(CLIENTS):
            who = await sign_in(anybody, f"listener-{number}")
            await enter(anybody, who, self._name)
            self.people.append(who)
            self.listeners.append(await self.listen(who))
        await self._service.until(self._is_spread)

    async def listen(self, who: Mapping[str, str]) -> Listener:
        listener = Listener(self._service, ["websocket"])
        await listener.connect_as(who)
        assert await listener.call("join", {"room": self._name}) == {"ok": True}
        return listener

    async def _is_spread(self) -> bool:
        if all(self.at(pid) for pid in self._workers):
            return True
        await self.listeners.pop(0).disconnect()
        self.people.append(self.people.pop(0))
        self.listeners.append(await self.listen(self.people[-1]))
        return False

    def at(self, pid: int) -> int:
        """Return how many listen at a worker."""
        return self._service.connections([pid])[pid] - self._idle[pid]

    async def say(self, pid: int, text: str) -> None:
        """Have somebody's message taken by a worker."""
        path = f"/rooms/{self._name}/messages"
        answer = await self._workers[pid].post(path, json={"text": text}, headers=self.people[0])
        assert answer.status_code == 201, answer.text

    async def close(self) -> None:
        for listener in self.listeners:
            await listener.disconnect()


@asynccontextmanager
async def room(service: Service, workers: Clients, name: str) -> AsyncIterator[Room]:
    made = Room(service, workers, name)
    try:
        await made.fill()
        yield made
    finally:
        await made.close()


async def heard(listener: Listener, ends: set[str]) -> list[str]:
    """Return the texts that a client gets, up to the last of `ends`."""
    texts, missing = [], set(ends)
    while missing:
        _, message = await listener.next()
        missing.discard(message["text"])
        texts.append(message["text"])
    return texts


@pytest.mark.anyio
async def test_each_message_reaches_each_client_once(service: Service) -> None:
    """Whichever worker takes it and whichever the client is connected to; the page of either has all counts."""
    await both_hear(service)
    async with each_worker(service) as workers:
        before = await sums_on_all_pages(service, workers, {})
        async with room(service, workers, "lobby") as lobby:
            sent = [f"message {number}" for number in range(MESSAGES)]
            for number, text in enumerate(sent):
                await lobby.say(list(workers)[number % WORKERS], text)
            # A worker's messages arrive in order, so that a second copy of one would come before its last.
            ends = {f"the end of {pid}" for pid in workers}
            for pid in workers:
                await lobby.say(pid, f"the end of {pid}")
            for listener in lobby.listeners:
                assert sorted(await heard(listener, ends)) == sorted([*sent, *ends])
            totals = await sums_on_all_pages(
                service,
                workers,
                {
                    **more(
                        before,
                        {
                            "rooms_created_total": 1,
                            "rooms_join_total": CLIENTS - 1,  # Who has made it is in.
                            "rooms_send_total": MESSAGES + WORKERS,
                            f"lb_events_processed_total[('stream', '{STREAM}')]": MESSAGES + WORKERS,
                            f"socketio_emits_total{ON_CHAT}": MESSAGES + WORKERS,
                        },
                    ),
                    f"socketio_clients{ON_CHAT}": CLIENTS,
                    "socketio_transports[('transport', 'websocket')]": CLIENTS,
                },
            )
            assert not [name for name in totals if name.startswith("socketio_corrections") or DEAD_LETTERS in name]


@pytest.mark.anyio
async def test_a_killed_worker_takes_no_count_along_and_leaves_no_client(service: Service, redis: Redis) -> None:
    """SIGKILL: counters stand, clients are those that are there, and what it was about to score is scored."""
    await both_hear(service)
    scored = f"lb_events_processed_total[('stream', '{STREAM}')]"
    async with each_worker(service) as workers, room(service, workers, "cellar") as lobby:
        idle = await sums_on_all_pages(service, workers, {f"socketio_clients{ON_CHAT}": CLIENTS})
        for pid in workers:
            await lobby.say(pid, "Hello")
        said = more(idle, {"rooms_send_total": WORKERS, scored: WORKERS})
        before = await sums_on_all_pages(service, workers, {**said, f"socketio_clients{ON_CHAT}": CLIENTS})
        victim = next(iter(workers))
        staying = CLIENTS - lobby.at(victim)
        assert 0 < staying < CLIENTS
        consumers = [consumer["name"] for consumer in await redis.xinfo_consumers(STREAM, GROUP)]
        assert len(consumers) == WORKERS
        (its_name,) = [name for name in consumers if name.endswith(f"-{victim}")]
        os.kill(victim, signal.SIGKILL)
        async with each_worker(service, without=victim) as replaced:
            # The connections that break are those of the killed worker, which counts them no more.
            counted = {name: value for name, value in before.items() if "_clients" not in name}
            del counted["socketio_transports[('transport', 'websocket')]"]
            totals = await sums_on_all_pages(service, replaced, {**counted, f"socketio_clients{ON_CHAT}": staying})
            assert sum(listener.connected for listener in lobby.listeners) == staying
            assert not [name for name in totals if name.startswith("socketio_corrections")]
            # Clients that come back are counted once.
            for place, listener in enumerate(lobby.listeners):
                if not listener.connected:
                    lobby.listeners[place] = await lobby.listen(lobby.people[place])
            await sums_on_all_pages(service, replaced, {f"socketio_clients{ON_CHAT}": CLIENTS})
            # An event that the dead worker was given and has not acknowledged, as of a minute ago.
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.xadd(STREAM, {"event": '{"name": "ada", "at_ms": 1}'})
                pipeline.xreadgroup(GROUP, its_name, {STREAM: ">"})
                number, given = await pipeline.execute()
            assert given[0][1][0][0] == number
            await redis.xclaim(STREAM, GROUP, its_name, 0, [number], idle=60_000, justid=True)
            await sums_on_all_pages(service, replaced, more(before, {scored: 1}))
            assert (await redis.xpending(STREAM, GROUP))["pending"] == 0


@pytest.mark.anyio
async def test_a_delivery_is_noted_by_a_worker_that_has_no_client(fresh_service: Service) -> None:
    """The acknowledgement comes to the other worker, which has not had a client either."""
    await both_hear(fresh_service)
    async with each_worker(fresh_service) as workers:
        one, *_ = workers.values()
        ada, bob = await befriend(one, "ada", "bob")
        idle = fresh_service.connections(list(workers))
        listener = Listener(fresh_service, ["websocket"])
        await listener.connect_as(bob)
        (other,) = [pid for pid in workers if fresh_service.connections([pid])[pid] == idle[pid]]
        sent = await workers[other].post("/chat/bob/messages", json={"text": "Hello"}, headers=ada)
        assert sent.status_code == 201
        await sums_on_all_pages(fresh_service, workers, {"chat_send_total": 1, "chat_delivered_updates_total": 1})
        await listener.disconnect()


@pytest.mark.anyio
async def test_a_client_that_polls_is_refused_at_once(service: Service) -> None:
    """By either worker, in words: the requests of one long poll would reach both."""
    async with each_worker(service) as workers:
        for client in workers.values():
            answer = await client.get("/socket.io/", params={"EIO": "4", "transport": "polling"})
            assert (answer.status_code, answer.json()) == (400, "Invalid transport")
        who = await sign_in(client, "ada")
        # aiohttp may have seen the end of the connection before Engine.IO's client reads the reason.
        refused = (socketio.exceptions.ConnectionError, RuntimeError)
        with pytest.raises(refused, match=r"Unexpected status code 400|Connection closed\."):
            await Listener(service, ["polling"]).connect_as(who)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_temporary_is_left(stores: dict[str, str], number: signal.Signals) -> None:
    """After Ctrl-C, which every process hears, and SIGTERM; while it serves, and while it starts."""
    with closing(Service(stores)) as service:
        process = service.popen(service.command())
        assert process.stdout is not None
        while "Divan is up" not in process.stdout.readline():
            assert process.poll() is None
        assert len(list(service.temporary.iterdir())) == 1
        signalled(process, number)
        assert service.ended(process) == 0, "\n".join(service.log)
        process = service.popen(service.command())
        while not list(service.temporary.iterdir()):
            assert process.poll() is None
            time.sleep(0.02)
        signalled(process, number)
        service.ended(process)


def signalled(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal as a terminal does, or as a supervisor."""
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        ({"DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:9/nowhere"}, 3, "Application startup failed"),
        ({"LOG_LEVEL": "loud"}, 1, "LOG_LEVEL is 'loud'; expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    ],
)
def test_a_failing_start_ends_the_command(
    stores: dict[str, str], flags: dict[str, str], code: int, expected: str
) -> None:
    """It says why, leaves nothing and does not try for ever."""
    with closing(Service(stores, **flags)) as service:
        assert service.ended(service.popen(service.command())) == code
        assert expected in "\n".join(service.log)
        assert code == 3 or len(service.log) == 1


SHARED = {"REDIS_URL": "redis://127.0.0.1:9/0", "DATABASE_URL": "postgresql://127.0.0.1:9/divan"}


def said(**flags: str) -> str | None:
    """Return what the command says before it serves anything."""
    return complaint({**demo_environment({}), "PORT": "0", **flags})


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "REDIS_URL and DATABASE_URL"),
        ({"REDIS_URL": SHARED["REDIS_URL"]}, "DATABASE_URL"),
        ({**SHARED, "DATABASE_URL": "sqlite:///divan.sqlite3"}, "DATABASE_URL"),
        ({**SHARED, "REDIS_URL": ""}, "REDIS_URL"),
    ],
)
def test_stores_that_workers_cannot_share_are_one_line(flags: dict[str, str], expected: str) -> None:
    """It names what to set."""
    expected = f"WORKERS=2 needs a Redis and a PostgreSQL, which all workers share; set {expected}."
    assert said(WORKERS="2", **flags) == expected


@pytest.mark.parametrize("workers", ["0", "-1", "two", "1000", "2 "])
def test_a_bad_number_of_workers_is_one_line(workers: str) -> None:
    """As with every flag."""
    assert said(WORKERS=workers, **SHARED) == f"WORKERS is {workers!r}; expected a number from 1 to 99."


def test_the_command_fails_with_that_line(tmp_path: Path) -> None:
    """And with nothing else."""
    with started(tmp_path, WORKERS="2") as (process, printed):
        assert process.wait(PATIENCE_S) == 1
    assert printed == f"{said(WORKERS='2')}\n"

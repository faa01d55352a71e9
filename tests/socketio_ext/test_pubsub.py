"""What a process misses of the others, with a real Redis."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import redis
import socketio

import divan_obs_asgi as obs
from divan_obs_asgi.probes import SocketIoProbe
from divan_obs_asgi.socketio_ext.pubsub import PubSubLosses
from tests.patience import PATIENCE_S
from tests.probes.test_socketio import until_well
from tests.servers.redis import RedisServer
from tests.socketio_ext.sockets import connected, server_of
from tests.stacks import Observed

pytestmark = pytest.mark.slow


class ClosableManager(socketio.AsyncRedisManager):
    """Remembers its clients: python-socketio leaves those open that it has given up."""

    def _redis_connect(self) -> None:
        super()._redis_connect()
        self.opened: list[Any] = [*getattr(self, "opened", ()), self.pubsub, self.redis]

    async def close(self) -> None:
        self.thread.cancel()
        await asyncio.wait([self.thread])
        for client in self.opened:
            await client.aclose()


class Process:
    """One process of a service, as far as Redis knows it."""

    def __init__(self, url: str) -> None:
        self.observed = Observed()
        self.server: Any = server_of(self.observed, client_manager=ClosableManager(url), namespaces=["/"])

    def lost(self, direction: str) -> float:
        return self.observed.value("divan_socketio_pubsub_lost_total", direction=direction)

    @property
    def interruptions(self) -> float:
        return self.observed.value("divan_socketio_pubsub_interruptions_total")

    @property
    def heard(self) -> float:
        return sum(self.observed.samples("divan_socketio_pubsub_messages_total").values())


async def until(happened: Callable[[], object]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not happened():  # noqa: ASYNC110  # Nobody sets an event when it happens.
            await anyio.sleep(0.01)


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[Process, Process]]:
    """Give two processes that hear each other."""
    both = Process(url), Process(url)
    with redis.Redis.from_url(url) as asking:
        for one in both:
            await connected(one.server)
        # Subscriptions of an earlier test may not have ended yet.
        await until(lambda: all(one.server.manager.pubsub and one.server.manager.pubsub.channels for one in both))
        await until(lambda: dict(asking.pubsub_numsub("socketio"))[b"socketio"] >= 2)
        try:
            yield both
        finally:
            for one in both:
                await one.server.manager.close()


async def subscribe_again(*processes: Process) -> None:
    """Return when all of them listen again; redis-py may subscribe for a listener that python-socketio has given up."""
    await until(lambda: not any(one.server.manager.divan_losses.is_interrupted for one in processes))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divan_obs_asgi.socketio_ext.pubsub._LATE_S", 0.0)


def test_a_message_that_kills_the_subscriptions_is_counted(redis_server: RedisServer) -> None:
    """Redis ends subscriptions whose output buffer overflows: the message is lost, and each process counts it."""

    async def check() -> None:
        with redis.Redis.from_url(redis_server.url) as asking:
            asking.config_set("client-output-buffer-limit", "pubsub 1mb 1mb 1")
        async with two(redis_server.url) as (one, other):
            await one.server.emit("said", "hello")
            await until(lambda: other.heard)
            await one.server.emit("said", "x" * 8_000_000)
            await until(lambda: one.interruptions and other.interruptions)
            await subscribe_again(one, other)
            assert other.heard == 1
            await one.server.emit("said", "short")
            await until(lambda: other.heard == 2)
            other.server._losses.settle()
            assert (one.interruptions, other.interruptions) == (1, 1)
            assert (other.lost("in"), one.lost("in"), one.lost("out")) == (1, 0, 0)

    anyio.run(check)


@pytest.mark.parametrize("end", ["killed", "restarted"])
def test_an_interruption_is_counted_once_and_reported_for_a_while(redis_server: RedisServer, end: str) -> None:
    """However many attempts it takes to subscribe again."""

    async def check() -> None:
        async with two(redis_server.url) as (one, other):
            probe = SocketIoProbe(one.server)
            assert await probe.check() == {"subscribed": True}
            if end == "killed":
                with redis.Redis.from_url(redis_server.url) as asking:
                    asking.client_kill_filter(_type="pubsub")
            else:
                with redis_server.down():
                    await until(lambda: one.interruptions)
            await until(lambda: one.interruptions and other.interruptions)
            await subscribe_again(one, other)
            await until(lambda: one.server.manager.pubsub.connection is not None)
            reasons = set()
            with anyio.fail_after(PATIENCE_S):
                while "interrupted" not in reasons:
                    with pytest.raises(obs.ProbeFailed) as failed:
                        await probe.check()
                    reasons.add(str(failed.value))
                    await anyio.sleep(0.01)
            assert reasons <= {"refused", "stale", "interrupted", "timeout"}
            one.server.manager.divan_losses.interrupted_at -= 31
            await until_well(probe, PATIENCE_S)
            assert one.interruptions == 1
            await probe.aclose()

    anyio.run(check)


def test_what_cannot_be_published_is_counted(redis_server: RedisServer) -> None:
    """python-socketio gives it up after two attempts, and raises nothing."""

    async def check() -> None:
        async with two(redis_server.url) as (one, _):
            with redis_server.down():
                await one.server.emit("said", "nobody hears it")
            assert one.lost("out") == 1

    anyio.run(check)


def test_what_cannot_be_read_is_counted(redis_server: RedisServer) -> None:
    """python-socketio skips what it cannot decode, and logs what it cannot deliver."""

    async def check() -> None:
        async with two(redis_server.url) as (one, other):
            if not hasattr(one.server.manager, "json"):
                pytest.skip("Its messages are pickled.")
            with redis.Redis.from_url(redis_server.url) as asking:
                asking.publish("socketio", b"\xff")
                asking.publish("socketio", b'{"method":"emit","host_id":"x"}')
            await until(lambda: other.lost("in") == 2)
            assert one.lost("in") == 2

    anyio.run(check)


def test_numbers_that_overtake_each_other_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two emits at once may take two connections to Redis."""
    monkeypatch.setattr("divan_obs_asgi.socketio_ext.pubsub._LATE_S", 10.0)
    observed = Observed()
    now = [0.0]
    losses = PubSubLosses(observed.obs.metrics, lambda: now[0])

    def lost() -> float:
        return observed.value("divan_socketio_pubsub_lost_total", direction="in")

    for number in (7, 9, 8, 12):  # The first one that is heard is a beginning.
        losses.heard("host", number)
    now[0] = 9.0
    losses.settle()
    assert lost() == 0
    now[0] = 11.0
    losses.settle()
    assert lost() == 2
    losses.heard("host", 5_000)
    assert lost() == 2 + 4_987
    for number in range(3_000):  # Processes come and go.
        losses.heard(f"host-{number}", 1)
    assert len(losses._expected) <= 1_000


@pytest.mark.parametrize(
    ("listening_s", "age_s", "lost"),
    [(60.0, 30.0, 4), (30.0, 60.0, 0), (35.0, 30.0, 0), (None, 30.0, 0), (60.0, None, 0), (60.0, "30", 0)],
)
def test_messages_before_the_first_one_that_is_heard_are_lost(
    monkeypatch: pytest.MonkeyPatch, listening_s: float | None, age_s: object, lost: int
) -> None:
    """If this process had subscribed 10 s before the other one sent its first message, and not otherwise."""
    monkeypatch.setattr("divan_obs_asgi.socketio_ext.pubsub._LATE_S", 10.0)
    observed = Observed()
    now = [0.0]
    losses = PubSubLosses(observed.obs.metrics, lambda: now[0])
    if listening_s is not None:
        losses.subscribed()
        now[0] = listening_s
    losses.heard("host", 5, age_s)
    losses.heard("host", 6, age_s)
    now[0] += 11.0
    losses.settle()
    assert observed.value("divan_socketio_pubsub_lost_total", direction="in") == lost


def test_a_process_that_was_forgotten_is_not_heard_for_the_first_time() -> None:
    """Of thousands of processes, the first ones are."""
    observed = Observed()
    now = [0.0]
    losses = PubSubLosses(observed.obs.metrics, lambda: now[0])
    losses.subscribed()
    now[0] = 60.0
    for number in range(1_001):
        losses.heard(f"host-{number}", 1, 1.0)
    losses.heard("host-0", 9, 1.0)
    assert observed.value("divan_socketio_pubsub_lost_total", direction="in") == 0


def test_a_process_sends_the_age_of_its_numbers() -> None:
    """Of its first message it is zero."""
    now = [100.0]
    losses = PubSubLosses(Observed().obs.metrics, lambda: now[0])
    assert (losses.next_number(), losses.age_s()) == (1, 0.0)
    now[0] = 107.25
    assert (losses.next_number(), losses.age_s()) == (2, 7.2)


def test_what_is_no_number_is_ignored() -> None:
    """Other managers do not number their messages."""
    losses = PubSubLosses(Observed().obs.metrics)
    for host, number in ((None, 1), ("host", None), ("host", True), ("host", "1")):
        losses.heard(host, number)
    assert not losses._expected

"""Lag of the consumer groups of Redis Streams, with a real Redis 7."""

# redis-py is only partly annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

import divan_obs_asgi as obs
from divan_obs_asgi.runtime.redis_streams import RedisStreams, client_factory
from tests.patience import PATIENCE_S
from tests.servers.redis import RedisServer
from tests.stacks import Observed, run_on

STREAM, GROUP = "lb:events", "snapshots"
LAG, PENDING, AGE = (f"divan_redis_stream_{name}" for name in ("lag", "pending", "oldest_pending_seconds"))
KEY = (("group", GROUP), ("stream", STREAM))
# redis-py needs asyncio.
LOOPS = ("asyncio", "uvloop")


class ObservedStreams(Observed):
    """An `Observability` with `RedisStreams`."""

    def __init__(self, server: RedisServer, *streams: str) -> None:
        super().__init__()
        self.connect = client_factory(server.url)
        self.streams = RedisStreams(self.obs.metrics, self.obs.faults, streams or (STREAM,), self.connect)

    def exposed(self) -> dict[str, float]:
        """Return the exposed values of the one group."""
        return {name: samples[KEY] for name in (LAG, PENDING, AGE) if KEY in (samples := self.samples(name))}

    def faults(self) -> float:
        return self.value("divan_obs_errors_total", component="redis_streams")


def with_redis(observed: ObservedStreams, act: Callable[[Redis], Awaitable[None]], loop: str = "asyncio") -> None:
    """Run `act` with a client of an empty Redis."""

    async def run() -> None:
        redis = observed.connect()
        try:
            await redis.flushall()
            await act(redis)
        finally:
            await redis.aclose()

    run_on(loop, run)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the condition depends on Redis
            await anyio.sleep(0.01)


@pytest.mark.parametrize("loop", LOOPS)
def test_lag_pending_and_age_are_exposed(redis_server: RedisServer, loop: str) -> None:
    """Of five entries three were delivered to a consumer, which has acknowledged the first."""
    observed = ObservedStreams(redis_server)

    async def act(redis: Redis) -> None:
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        added_ms = int(time.time() * 1000) - 60_000
        ids = [await redis.xadd(STREAM, {"n": n}, id=f"{added_ms + n * 1000}-0") for n in range(5)]
        await redis.xreadgroup(GROUP, "consumer", {STREAM: ">"}, count=3)
        await redis.xack(STREAM, GROUP, ids[0])
        await observed.streams.read(redis)
        values = observed.exposed()
        assert (values[LAG], values[PENDING]) == (2, 2)
        # The oldest pending entry was added 59 s ago.
        assert 58.9 < values[AGE] < 80
        await redis.xack(STREAM, GROUP, *ids[1:])
        await observed.streams.read(redis)
        assert observed.exposed() == {LAG: 2, PENDING: 0, AGE: 0}

    with_redis(observed, act, loop)
    assert observed.faults() == 0


def test_a_lag_that_redis_cannot_compute_is_missing(redis_server: RedisServer) -> None:
    """After a deletion Redis returns nil, and zero would be wrong. The known values stay."""
    observed = ObservedStreams(redis_server)

    async def act(redis: Redis) -> None:
        ids = [await redis.xadd(STREAM, {"n": n}) for n in range(5)]
        await redis.xgroup_create(STREAM, GROUP, id="0")
        await redis.xreadgroup(GROUP, "consumer", {STREAM: ">"}, count=1)
        await observed.streams.read(redis)
        assert observed.exposed()[LAG] == 4
        await redis.xdel(STREAM, ids[3])
        (group,) = await redis.xinfo_groups(STREAM)
        assert group["lag"] is None
        await observed.streams.read(redis)
        assert set(observed.exposed()) == {PENDING, AGE}

    with_redis(observed, act)


def test_the_age_of_an_id_without_a_time_is_missing(redis_server: RedisServer) -> None:
    """The application may number its entries from 1."""
    observed = ObservedStreams(redis_server)

    async def act(redis: Redis) -> None:
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        await redis.xadd(STREAM, {"n": 1}, id="1-1")
        await redis.xreadgroup(GROUP, "consumer", {STREAM: ">"})
        await observed.streams.read(redis)
        assert observed.exposed() == {LAG: 0, PENDING: 1}

    with_redis(observed, act)


def test_a_deleted_group_or_stream_loses_its_series(redis_server: RedisServer) -> None:
    """The others stay."""
    observed = ObservedStreams(redis_server, STREAM, "chat")

    async def act(redis: Redis) -> None:
        for stream in (STREAM, "chat"):
            for group in (GROUP, "second"):
                await redis.xgroup_create(stream, group, mkstream=True)
        await observed.streams.read(redis)
        assert len(observed.samples(PENDING)) == 4
        await redis.xgroup_destroy(STREAM, GROUP)
        await observed.streams.read(redis)
        assert len(observed.samples(PENDING)) == len(observed.samples(AGE)) == 3
        assert observed.exposed() == {}
        await redis.delete("chat")
        await observed.streams.read(redis)
        assert set(observed.samples(PENDING)) == {(("group", "second"), ("stream", STREAM))}

    with_redis(observed, act)
    assert observed.faults() == 0


def test_a_key_of_another_type_hides_no_stream(redis_server: RedisServer) -> None:
    """The flag is wrong, and the error is reported."""
    observed = ObservedStreams(redis_server, "text", STREAM)

    async def act(redis: Redis) -> None:
        await redis.set("text", "no stream")
        await redis.xgroup_create(STREAM, GROUP, mkstream=True)
        await observed.streams.read(redis)
        assert observed.exposed()[PENDING] == 0

    with_redis(observed, act)
    assert observed.faults() == 1


def test_a_name_that_is_not_text_hides_no_group(redis_server: RedisServer) -> None:
    """Redis accepts any bytes as the name of a group."""
    observed = ObservedStreams(redis_server)

    async def act(redis: Redis) -> None:
        await redis.xgroup_create(STREAM, b"\xff\xfe", mkstream=True)
        await redis.xgroup_create(STREAM, GROUP)
        await observed.streams.read(redis)
        assert observed.exposed()[PENDING] == 0
        observed.obs.metrics.render()

    with_redis(observed, act)


class Answering:
    """A client of a Redis replacement, or of an early version."""

    def __init__(self, groups: object, pending: object, time: object = (1_700_000_000, 0)) -> None:
        self.groups, self.pending, self.now = groups, pending, time

    async def time(self) -> object:
        return self.now

    async def xinfo_groups(self, stream: str) -> object:
        return self.groups if stream == STREAM else [{"name": GROUP, "pending": 0, "lag": 3}]

    async def xpending(self, stream: str, group: str) -> object:
        return self.pending


def read_of(observed: Observed, *streams: str) -> Callable[[Any], Awaitable[None]]:
    def connect() -> Redis:
        raise AssertionError("not asked")

    return RedisStreams(observed.obs.metrics, observed.obs.faults, streams, connect).read


ODD: list[tuple[object, object]] = [
    (None, None),
    ("OK", None),
    ([None], None),
    ([["name", GROUP]], None),
    ([{}], None),
    ([{"name": GROUP}], None),
    ([{"name": GROUP, "pending": None}], None),
    ([{"name": GROUP, "pending": "many"}], None),
    ([{"name": [GROUP], "pending": 0}], None),
    ([{"name": GROUP, "pending": 0, "lag": "much"}], None),
    ([{"name": GROUP, "pending": 0, "lag": float("nan")}], None),
    ([{"name": GROUP, "pending": 0, "lag": [1]}], None),
    ([{"name": GROUP, "pending": 1}], None),
    ([{"name": GROUP, "pending": 1}], []),
    ([{"name": GROUP, "pending": 1}], {}),
    ([{"name": GROUP, "pending": 1}], {"min": "tomorrow"}),
    ([{"name": GROUP, "pending": 10**400}], {"min": None}),
]


@pytest.mark.parametrize(("groups", "pending"), ODD)
def test_an_unexpected_response_hides_no_other_stream(groups: object, pending: object) -> None:
    """It is reported, its values are missing, and the task continues."""
    observed = Observed()
    look = read_of(observed, STREAM, "chat")
    for looks in (1, 2):
        anyio.run(look, Answering(groups, pending))
        assert observed.samples(LAG) == {(("group", GROUP), ("stream", "chat")): 3}
        assert observed.value("divan_obs_errors_total", component="redis_streams") >= looks


def test_an_unexpected_group_hides_no_other_group() -> None:
    """Each group is read on its own."""
    observed = Observed()
    anyio.run(read_of(observed, STREAM), Answering([{"name": "odd"}, {"name": GROUP, "pending": 0, "lag": 7}], None))
    assert observed.samples(LAG) == {KEY: 7}
    assert observed.value("divan_obs_errors_total", component="redis_streams") == 1


@pytest.mark.parametrize("now", [None, 5, ("soon", 0), ()])
def test_an_unexpected_time_hides_ages_only(now: object) -> None:
    """Without the time of Redis the ages are not known. Lag and pending entries are."""
    observed = Observed()
    answering = Answering([{"name": GROUP, "pending": 2, "lag": 7}], {"min": "1700000000000-0"}, now)
    anyio.run(read_of(observed, STREAM), answering)
    assert (observed.samples(LAG), observed.samples(PENDING)) == ({KEY: 7}, {KEY: 2})
    assert observed.samples(AGE) == {}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_restart_of_redis_is_survived(redis_server: RedisServer, loop: str) -> None:
    """Without Redis all values are missing; when it is back, they return."""
    observed = ObservedStreams(redis_server)
    streams = RedisStreams(observed.obs.metrics, observed.obs.faults, [STREAM], observed.connect, interval_s=0.02)

    async def act(redis: Redis) -> None:
        await redis.xgroup_create(STREAM, GROUP, mkstream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            await until(lambda: PENDING in observed.exposed())
            with redis_server.down():
                await until(lambda: observed.exposed() == {})
                assert observed.faults() >= 1
            await redis.connection_pool.disconnect()
            await redis.xgroup_create(STREAM, GROUP, mkstream=True)
            await until(lambda: PENDING in observed.exposed())
            tasks.cancel_scope.cancel()
        # The series end with the task.
        assert observed.exposed() == {}

    with_redis(observed, act, loop)


def test_the_flags_start_it_with_the_application(redis_server: RedisServer) -> None:
    """OBS_REDIS_STREAMS names the streams, REDIS_URL the server. It runs as long as the application does."""
    flags = {"OBS_REDIS_STREAMS": STREAM, "REDIS_URL": redis_server.url, "OBS_REDIS_STREAMS_INTERVAL_S": "0.02"}
    observed = Observed(flags)

    async def act(redis: Redis) -> None:
        await redis.xgroup_create(STREAM, GROUP, mkstream=True)
        async with observed.obs.running():
            await until(lambda: KEY in observed.samples(LAG))
        assert observed.samples(LAG) == {}

    with_redis(ObservedStreams(redis_server), act)


def test_streams_without_a_url_are_a_start_up_error() -> None:
    """The message says what to do."""
    with pytest.raises(obs.ImproperlyConfigured) as caught:
        Observed({"OBS_REDIS_STREAMS": STREAM})
    assert str(caught.value) == (
        "OBS_REDIS_STREAMS is set, but REDIS_URL is not; set it to the Redis that has the streams."
    )


@pytest.mark.parametrize("url", ["http://hunter2@redis", "hunter2", "redis://host:hunter2"])
def test_an_invalid_url_is_a_start_up_error(url: str) -> None:
    """The message does not contain it, because it can have a password."""
    with pytest.raises(obs.ImproperlyConfigured) as caught:
        Observed({"OBS_REDIS_STREAMS": STREAM, "REDIS_URL": url})
    assert str(caught.value) == "REDIS_URL is invalid; expected redis://host:port/0."

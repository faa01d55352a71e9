"""RedisProbe with a real Redis in many states."""

# redis-py is only partly annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

import divan_obs_asgi as obs
from divan_obs_asgi.probes import RedisProbe
from tests.patience import PATIENCE_S
from tests.probes.leftovers import Open
from tests.servers.redis import RedisServer
from tests.stacks import Observed, run_on

# redis-py needs asyncio.
LOOPS = ("asyncio", "uvloop")


@asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[Redis]:
    client = Redis.from_url(url, **options)
    try:
        yield client
    finally:
        await client.aclose()


async def answer_of(observed: Observed) -> Mapping[str, object]:
    return (await observed.obs.probes.ask("ready")).checks["redis"]


@pytest.mark.parametrize("backend", LOOPS)
def test_a_redis_that_answers_is_up(redis_server: RedisServer, backend: str) -> None:
    """It answers PING, and the response shows the latency."""
    observed = Observed()

    async def check() -> Mapping[str, object]:
        async with client_of(redis_server.url) as redis:
            observed.obs.probes.register(RedisProbe(redis, timeout=PATIENCE_S))
            return await answer_of(observed)

    answer = run_on(backend, check)

    assert answer["ok"] is True
    assert set(answer) == {"ok", "latency_ms"}
    assert isinstance(answer["latency_ms"], int)
    assert answer["latency_ms"] < PATIENCE_S * 1e3
    assert observed.value("divan_redis_up") == 1.0
    assert observed.value("divan_redis_latency_seconds_count") == 1.0
    assert 0.0 < observed.value("divan_redis_latency_seconds_sum") < PATIENCE_S


@pytest.mark.slow
@pytest.mark.parametrize("backend", LOOPS)
def test_a_stopped_redis_is_refused_until_it_is_back(redis_server: RedisServer, backend: str) -> None:
    """With the same client and its connections."""
    observed = Observed()

    async def check() -> None:
        async with client_of(redis_server.url) as redis:
            observed.obs.probes.register(RedisProbe(redis, timeout=PATIENCE_S))
            assert (await answer_of(observed))["ok"] is True
            with redis_server.down():
                answer = await answer_of(observed)
                assert (answer["ok"], answer["reason"]) == (False, "refused")
                assert observed.value("divan_redis_up") == 0.0
            assert (await answer_of(observed))["ok"] is True
            assert observed.value("divan_redis_up") == 1.0

    run_on(backend, check)


@pytest.mark.parametrize("backend", LOOPS)
def test_a_paused_redis_is_a_timeout(redis_server: RedisServer, backend: str) -> None:
    """A server that accepts and does not answer costs 200 ms, and not the client's own timeout."""
    observed = Observed()

    async def check() -> None:
        async with client_of(redis_server.url) as redis:
            probe = RedisProbe(redis, timeout=PATIENCE_S)
            observed.obs.probes.register(probe)
            assert (await answer_of(observed))["ok"] is True
            probe.timeout = RedisProbe.timeout
            with redis_server.paused():
                answer = await answer_of(observed)
            assert (answer["ok"], answer["reason"]) == (False, "timeout")
            assert isinstance(answer["latency_ms"], int)
            assert 190 <= answer["latency_ms"] < PATIENCE_S * 1e3
            probe.timeout = PATIENCE_S
            # The late PONG of the abandoned check does not count for the next one.
            assert (await answer_of(observed))["ok"] is True

    run_on(backend, check)


def test_the_timeout_of_the_client_is_a_timeout_too(redis_server: RedisServer) -> None:
    """redis-py's own timeout is shorter here than the probe's."""

    async def check() -> None:
        async with client_of(redis_server.url, socket_timeout=0.02) as redis:
            with redis_server.paused(), pytest.raises(obs.ProbeFailed, match=r"^timeout$"):
                await RedisProbe(redis).check()

    anyio.run(check)


@pytest.mark.parametrize("credentials", ["", ":hunter2@", "nobody:hunter2@"], ids=["none", "password", "user"])
def test_wrong_credentials_are_an_auth_failure(redis_server: RedisServer, credentials: str) -> None:
    """A missing password, a wrong one, and an unknown user."""
    observed = Observed()
    url = redis_server.url.replace("redis://", f"redis://{credentials}")

    async def check() -> Mapping[str, object]:
        async with client_of(url) as redis, password_of(redis_server, "not-a-secret"):
            observed.obs.probes.register(RedisProbe(redis, timeout=PATIENCE_S))
            return await answer_of(observed)

    answer = anyio.run(check)
    assert (answer["ok"], answer["reason"]) == (False, "auth")
    assert "hunter2" not in str(answer)


def test_a_user_who_may_not_ping_is_an_auth_failure(redis_server: RedisServer) -> None:
    """Redis has another error for its access list than for a wrong password."""

    async def check() -> None:
        async with client_of(redis_server.url) as admin:
            await admin.acl_setuser("guest", enabled=True, nopass=True, commands=["-@all", "+hello", "+client"])
            try:
                async with client_of(redis_server.url, username="guest", password="any") as guest:
                    with pytest.raises(obs.ProbeFailed, match=r"^auth$"):
                        await RedisProbe(guest).check()
            finally:
                await admin.acl_deluser("guest")

    anyio.run(check)


def test_a_redis_that_cannot_serve_is_an_error(redis_server: RedisServer) -> None:
    """A response other than PONG (loading, a replica without its master) is neither refused nor a timeout."""

    async def check() -> None:
        async with client_of(redis_server.url) as admin:
            # While a script runs longer than this, other clients get BUSY.
            await admin.config_set("busy-reply-threshold", 1)
            async with anyio.create_task_group() as tasks, client_of(redis_server.url) as redis:
                tasks.start_soon(runs_a_script, admin)
                await until_busy(redis)
                with pytest.raises(obs.ProbeFailed, match=r"^error$"):
                    await RedisProbe(redis).check()
                await redis.execute_command("SCRIPT", "KILL")
            await admin.config_set("busy-reply-threshold", 5000)

    anyio.run(check)


def test_a_second_redis_has_its_own_series(redis_server: RedisServer) -> None:
    """It does not change the series of the first one."""
    observed = Observed()

    async def check() -> None:
        async with client_of(redis_server.url) as redis, client_of("redis://127.0.0.1:1/0") as cache:
            observed.obs.probes.register(RedisProbe(redis, timeout=PATIENCE_S))
            observed.obs.probes.register(RedisProbe(cache, name="redis_cache", critical=False))
            report = await observed.obs.probes.ask("ready")
            assert report.ok
            assert report.checks["redis_cache"]["reason"] == "refused"

    anyio.run(check)
    assert observed.value("divan_redis_up") == 1.0
    assert observed.samples("divan_probe_up") == {(("name", "redis"),): 1.0, (("name", "redis_cache"),): 0.0}


@pytest.mark.parametrize("backend", LOOPS)
def test_the_connection_is_dedicated(redis_server: RedisServer, backend: str) -> None:
    """An exhausted pool does not matter, none of its connections is used, and one connection serves many checks."""

    async def check() -> None:
        async with client_of(redis_server.url) as admin, client_of(redis_server.url, max_connections=1) as redis:
            taken = await redis.client()
            before = await connections_to(admin)
            probe = RedisProbe(redis)
            for _ in range(5):
                assert await probe.check() == {}
            (own,) = await connections_to(admin) - before
            assert own not in before
            await probe.aclose()
            await until_connected(admin, before)
            await taken.aclose()

    run_on(backend, check)


def test_an_old_connection_is_replaced(redis_server: RedisServer) -> None:
    """So a changed password is noticed, although Redis does not ask open connections for it."""

    async def check() -> None:
        async with client_of(redis_server.url) as redis:
            stays, renews = RedisProbe(redis), RedisProbe(redis, renew_s=0.0)
            assert await stays.check() == await renews.check() == {}
            async with password_of(redis_server, "not-a-secret"):
                assert await stays.check() == {}
                with pytest.raises(obs.ProbeFailed, match=r"^auth$"):
                    await renews.check()
            await stays.aclose()

    anyio.run(check)


def test_a_redis_at_its_connection_limit_is_up(redis_server: RedisServer) -> None:
    """It serves the connections that it has."""

    async def check() -> None:
        async with client_of(redis_server.url) as redis, client_of(redis_server.url) as admin:
            probe = RedisProbe(redis, renew_s=0.0)
            assert await probe.check() == {}
            most = str((await admin.config_get("maxclients"))["maxclients"])
            await admin.config_set("maxclients", len(await connections_to(admin)) - 1)
            try:
                for _ in range(3):
                    assert await probe.check() == {}
            finally:
                await admin.config_set("maxclients", most)
            await probe.aclose()

    anyio.run(check)


@pytest.mark.parametrize("backend", LOOPS)
def test_a_hanging_redis_leaves_nothing_behind(redis_server: RedisServer, backend: str) -> None:
    """Thirty timeouts in a row leave no task, no open socket and no connection at the server."""

    async def check() -> None:
        async with client_of(redis_server.url) as admin, client_of(redis_server.url) as redis:
            observed = Observed()
            observed.obs.probes.register(RedisProbe(redis, timeout=0.02))
            connected, before = await connections_to(admin), Open.now()
            with redis_server.paused():
                for _ in range(30):
                    assert (await answer_of(observed))["reason"] == "timeout"
                await before.until_no_more()
            await until_connected(admin, connected)

    run_on(backend, check)


async def until_connected(client: Redis, ids: set[str]) -> None:
    """Wait until these are the server's connections: it hears of a close when it looks."""
    with anyio.fail_after(PATIENCE_S):
        while await connections_to(client) != ids:  # noqa: ASYNC110 - no event is set
            await anyio.sleep(0.01)


async def connections_to(client: Redis) -> set[str]:
    """Return the ids of the connections that the server has."""
    return {connection["id"] for connection in await client.client_list()}


def test_fakeredis_works_too() -> None:
    """It has its own class of connections."""
    fakeredis = pytest.importorskip("fakeredis")

    async def check() -> None:
        probe = RedisProbe(fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer()))
        assert await probe.check() == {}
        await probe.aclose()

    anyio.run(check)


def test_a_client_without_a_pool_is_used_directly() -> None:
    """It needs only `ping()`."""

    class Client:
        async def ping(self) -> bool:
            raise ConnectionRefusedError

    with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
        anyio.run(RedisProbe(Client()).check)


def test_without_redis_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """At construction, and not at the first check."""
    monkeypatch.setitem(sys.modules, "redis", None)
    client: Any = object()
    with pytest.raises(ImportError, match=r"^RedisProbe needs redis: pip install 'divan-obs-asgi\[redis\]'\.$"):
        RedisProbe(client)


@asynccontextmanager
async def password_of(server: RedisServer, password: str) -> AsyncIterator[None]:
    """Have the server ask for a password meanwhile."""
    async with client_of(server.url) as admin:
        await admin.config_set("requirepass", password)
        try:
            yield
        finally:
            # Open connections stay open: the password is for new ones.
            await admin.config_set("requirepass", "")


async def runs_a_script(client: Redis) -> None:
    run: Callable[..., Awaitable[Any]] = client.eval
    with pytest.raises(Exception, match="Script killed by user"):
        await run("while true do end", 0)


async def until_busy(client: Redis) -> None:
    from redis.exceptions import ResponseError

    with anyio.fail_after(PATIENCE_S):
        while True:
            try:
                await client.ping()
            except ResponseError:
                return

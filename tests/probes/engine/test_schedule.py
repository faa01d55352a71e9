"""Results between two checks, and how long they are valid. The tests run on a virtual clock."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import pytest
import trio.testing

import divan_obs_asgi as obs
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.probes import Group, ProbeRegistry, Report, Result

T = TypeVar("T")


class Dependency:
    """A probe whose dependency a test can stop, slow down or let hang."""

    timeout = 0.2

    def __init__(self, name: str = "redis", *, critical: bool = True, group: Group = "ready") -> None:
        self.name = name
        self.critical = critical
        self.group = group
        self.up = True
        self.takes_s = 0.05
        self.checks = 0
        self.closed = 0

    async def check(self) -> Mapping[str, object]:
        self.checks += 1
        await anyio.sleep(self.takes_s)
        if not self.up:
            raise obs.ProbeFailed("refused")
        return {}

    async def aclose(self) -> None:
        self.closed += 1


def registry_of(
    *probes: obs.probes.Probe, interval_s: float = 2.0, fail_after: int = 2, metrics: Metrics | None = None
) -> ProbeRegistry:
    faults = InternalErrors(count=lambda component: None)
    registry = ProbeRegistry(
        metrics or Metrics(),
        obs.RedactionPolicy(),
        faults,
        anyio.current_time,
        interval_s=interval_s,
        fail_after=fail_after,
    )
    for probe in probes:
        registry.register(probe)
    return registry


def in_virtual_time(function: Callable[[], Awaitable[T]]) -> T:
    """Run on a clock that jumps to the next event."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(function, backend="trio", backend_options={"clock": clock})


@asynccontextmanager
async def watching(registry: ProbeRegistry) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.run)
        await anyio.sleep(0.1)  # the first round
        yield
        tasks.cancel_scope.cancel()


async def seconds_until(registry: ProbeRegistry, holds: Callable[[Report], bool]) -> float:
    started = anyio.current_time()
    while not holds(await registry.ask("ready")):  # noqa: ASYNC110 - requests are what is tested
        await anyio.sleep(0.01)
    return anyio.current_time() - started


async def result_of(registry: ProbeRegistry, name: str = "redis") -> Result:
    return (await registry.ask("ready")).results[name]


def test_a_request_makes_no_check() -> None:
    """The dependency sees one check an interval, however many requests there are."""
    redis = Dependency()

    async def ask_for_a_minute() -> None:
        registry = registry_of(redis)
        async with watching(registry):
            for _ in range(600):
                asked_at = anyio.current_time()
                assert (await registry.ask("ready")).ok
                assert anyio.current_time() == asked_at
                await anyio.sleep(0.1)

    in_virtual_time(ask_for_a_minute)
    assert 27 <= redis.checks <= 34


def test_a_dead_dependency_and_its_return_are_reported_within_seconds() -> None:
    """Two checks in a row decide, and the second one does not wait for a whole interval."""
    redis = Dependency()

    async def dies_and_returns() -> None:
        registry = registry_of(redis)
        async with watching(registry):
            redis.up = False
            assert await seconds_until(registry, lambda report: not report.ok) < 3.0
            redis.up = True
            assert await seconds_until(registry, lambda report: report.ok) < 2.3

    in_virtual_time(dies_and_returns)


def test_one_failed_check_does_not_change_the_result() -> None:
    """It is in the history only."""
    redis = Dependency()

    async def blips() -> None:
        registry = registry_of(redis)
        async with watching(registry):
            redis.up = False
            while (await result_of(registry)).history[0].ok:
                assert (await registry.ask("ready")).ok
                await anyio.sleep(0.01)
            redis.up = True
            result = await result_of(registry)
            assert (result.ok, result.reason, result.history[0].reason) == (True, None, "refused")
            for _ in range(500):
                assert (await registry.ask("ready")).ok
                await anyio.sleep(0.01)

    in_virtual_time(blips)


def test_the_first_check_decides_alone() -> None:
    """A dependency that was never up does not pass until it has failed twice."""
    redis = Dependency()
    redis.up = False

    async def starts() -> None:
        registry = registry_of(redis)
        async with watching(registry):
            assert not (await registry.ask("ready")).ok

    in_virtual_time(starts)


def test_a_hanging_dependency_delays_no_response() -> None:
    """The checks time out in the background."""
    redis, postgres = Dependency(), Dependency("postgres")

    async def hangs_for_a_minute() -> None:
        registry = registry_of(redis, postgres)
        async with watching(registry):
            redis.takes_s = 60.0
            assert await seconds_until(registry, lambda report: not report.ok) < 3.2
            for _ in range(600):
                asked_at = anyio.current_time()
                report = await registry.ask("ready")
                assert anyio.current_time() == asked_at
                assert (report.results["redis"].reason, report.results["postgres"].ok) == ("timeout", True)
                await anyio.sleep(0.1)

    in_virtual_time(hangs_for_a_minute)


class Stubborn(Dependency):
    """A probe that ignores its cancellation."""

    async def check(self) -> Mapping[str, object]:
        details: Mapping[str, object] = {}
        with anyio.CancelScope(shield=True):
            details = await super().check()
        return details  # noqa: RET504 - mypy: a scope may swallow


def test_a_success_that_is_not_renewed_expires() -> None:
    """Three intervals after the last check of a stuck probe."""
    redis, postgres = Stubborn(), Dependency("postgres")

    async def gets_stuck() -> None:
        registry = registry_of(redis, postgres, metrics=metrics)
        async with watching(registry):
            redis.takes_s = 30.0
            assert 4.0 < await seconds_until(registry, lambda report: not report.ok) < 6.5
            report = await registry.ask("ready")
            assert report.checks["redis"]["reason"] == "stale"
            assert report.results["postgres"].ok
            # Alerts read the gauges, which the last check has left at 1.
            assert [value(name) for name in ("divan_redis_up", "divan_postgres_up")] == [0.0, 1.0]

    metrics = Metrics()
    value = metrics.registry.get_sample_value
    in_virtual_time(gets_stuck)


@pytest.mark.parametrize("requests", [1, 50])
def test_without_background_checks_a_request_checks(requests: int) -> None:
    """A server without lifespan: concurrent requests share one check, and nothing stays open."""
    redis = Dependency()

    async def ask_at_once() -> None:
        registry = registry_of(redis)
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for _ in range(requests):
                    tasks.start_soon(registry.ask, "ready")
        assert (redis.checks, redis.closed) == (1, 1)
        # One interval later the result is too old.
        await anyio.sleep(2.01)
        assert (await registry.ask("ready")).ok
        assert (redis.checks, redis.closed) == (2, 2)

    in_virtual_time(ask_at_once)


def test_a_cancelled_request_does_not_cancel_others() -> None:
    """Another request that waited for the same check runs its own."""
    redis = Dependency()
    reports: list[Report] = []

    async def ask_and_leave() -> None:
        registry = registry_of(redis)

        async def stay() -> None:
            reports.append(await registry.ask("ready"))

        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(0.02):
                async with anyio.create_task_group() as leaving:
                    leaving.start_soon(registry.ask, "ready")
                    await anyio.wait_all_tasks_blocked()
                    tasks.start_soon(stay)
                    await anyio.sleep_forever()

    in_virtual_time(ask_and_leave)
    assert [report.ok for report in reports] == [True]
    assert (redis.checks, redis.closed) == (2, 2)


def test_background_checks_keep_the_connection() -> None:
    """It is closed at the end, and not after each check."""
    redis = Dependency()

    async def watch_for_a_minute() -> None:
        async with watching(registry_of(redis)):
            await anyio.sleep(60.0)
            assert redis.closed == 0

    in_virtual_time(watch_for_a_minute)
    assert redis.closed == 1


def test_a_probe_may_have_its_own_interval() -> None:
    """One is checked once a minute, another on every request."""
    bucket, lock = Dependency("bucket"), Dependency("lock")
    bucket.interval = 60.0  # type: ignore[attr-defined]
    lock.interval = 0  # type: ignore[attr-defined]

    async def watch_for_ten_minutes() -> None:
        registry = registry_of(bucket, lock)
        async with watching(registry):
            checked = lock.checks
            for _ in range(100):
                await registry.ask("ready")
            assert lock.checks == checked + 100
            await anyio.sleep(600.0)

    in_virtual_time(watch_for_ten_minutes)
    assert 9 <= bucket.checks <= 12


def test_a_start_up_probe_that_passed_is_not_checked_again() -> None:
    """Start-up checks run until they pass."""
    config = Dependency("config", group="startup")
    config.up = False

    async def start() -> None:
        registry = registry_of(config)
        async with watching(registry):
            assert not (await registry.ask("startup")).ok
            config.up = True
            await anyio.sleep(5.0)
            checks = config.checks
            config.up = False
            await anyio.sleep(3600.0)
            assert (await registry.ask("startup")).ok
            assert config.checks == checks

    in_virtual_time(start)


def test_a_probe_that_is_registered_late_is_checked_too() -> None:
    """An application that connects at its start registers its probes then."""
    redis = Dependency()

    async def register_late() -> None:
        registry = registry_of()
        async with watching(registry):
            registry.register(redis)
            assert (await registry.ask("ready")).checks["redis"]["ok"] is True
            await anyio.sleep(10.0)

    in_virtual_time(register_late)
    assert 5 <= redis.checks <= 8


def test_a_failure_before_the_start_is_checked_again_after_it() -> None:
    """The first check came before the migrations; the first response does not repeat it."""
    migrations = Dependency("migrations")
    migrations.up = False

    async def start() -> None:
        registry = registry_of(migrations)
        async with watching(registry):
            assert not (await registry.ask("ready")).ok
            migrations.up = True
            registry.recheck()
            assert (await registry.ask("ready")).ok

    in_virtual_time(start)


def test_a_result_has_its_age_and_its_history() -> None:
    """When it was checked, since when `ok` holds, and what the last checks found."""
    redis = Dependency()

    results: list[Result] = []

    async def live() -> None:
        registry = registry_of(redis)
        results.append(await result_of(registry))
        async with watching(registry):
            await anyio.sleep(100.0)
            redis.up = False
            await seconds_until(registry, lambda report: not report.ok)
            results.append(await result_of(registry))

    in_virtual_time(live)
    before, after = results
    assert (before.age_s, before.since_s, len(before.history)) == (0.0, 0.0, 1)
    assert after.age_s is not None
    assert after.age_s < 0.02
    assert after.since_s == after.age_s
    assert len(after.history) == 20
    assert [past.reason for past in after.history[:3]] == ["refused", "refused", None]
    assert all(one.age_s < other.age_s for one, other in zip(after.history, after.history[1:], strict=False))


def test_a_custom_group_has_its_own_report() -> None:
    """It is in none of the three health endpoints."""
    search = Dependency("search", group="reports")
    search.up = False

    async def ask() -> tuple[bool, bool]:
        registry = registry_of(search)
        assert registry.names() == registry.names("reports") == ["search"]
        assert registry.groups() == ["reports"]
        return (await registry.ask("reports")).ok, (await registry.ask("ready")).ok

    assert in_virtual_time(ask) == (False, True)


def test_any_async_function_can_be_a_probe() -> None:
    """It passes if it returns, with details or without."""
    registry = registry_of()

    @registry.probe("search", critical=False)
    async def search_answers() -> Mapping[str, object]:
        return {"shards": 5}

    @registry.probe("queue")
    async def queue_is_short() -> None:
        raise obs.ProbeFailed("full")

    async def ask() -> Report:
        return await registry.ask("ready")

    assert in_virtual_time(ask).checks == {
        "search": {"ok": True, "shards": 5},
        "queue": {"ok": False, "reason": "full", "latency_ms": 0},
    }


def blocks() -> None:
    """Block the event loop."""


async def yields() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("function", [blocks, yields, Dependency, None])
def test_another_function_is_a_start_up_error(function: Any) -> None:
    """A plain function would block the event loop. A class and a generator are not async functions either."""
    with pytest.raises(obs.ImproperlyConfigured, match=r"^Probe 'disk' is .*; expected an async function\.$"):
        registry_of().probe("disk")(function)


def test_a_partial_of_an_async_function_can_be_a_probe() -> None:
    """With arguments, by `functools.partial`."""

    async def has_room(path: str) -> Mapping[str, object]:
        return {"path": path}

    registry = registry_of()
    registry.probe("disk")(functools.partial(has_room, "/srv"))

    async def ask() -> Report:
        return await registry.ask("ready")

    assert in_virtual_time(ask).checks == {"disk": {"ok": True, "path": "/srv"}}

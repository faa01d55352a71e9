"""`divan_health_ready` and `/health/ready` agree, in every state; the hours of these tests pass in no time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.probes import ProbeRegistry
from tests.ops.asking import ask, operated
from tests.patience import PATIENCE_S
from tests.probes.engine.test_schedule import Dependency, Stubborn, in_virtual_time, registry_of, watching
from tests.stacks import Observed


class Gauge:
    """The gauge of a registry whose probes are `redis`, which is critical, and `cache`, which is not."""

    def __init__(self, redis: Dependency | None = None, interval_s: float = 2.0) -> None:
        self._metrics = Metrics()
        self.redis = redis or Dependency()
        self.cache = Dependency("cache", critical=False)
        self.registry = registry_of(self.redis, self.cache, metrics=self._metrics, interval_s=interval_s)

    @property
    def value(self) -> float | None:
        return self._metrics.registry.get_sample_value("divan_health_ready")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[ProbeRegistry]:
        async with watching(self.registry):
            yield self.registry

    async def agrees(self, expected: float) -> None:
        """The background has told it before anybody asked, and the answer is the same."""
        assert self.value == expected
        assert (await self.registry.ask("ready")).ok == expected
        assert self.value == expected


def test_it_follows_what_is_critical() -> None:
    """Up, down, up; a check without weight changes nothing."""

    async def live() -> None:
        gauge = Gauge()
        async with gauge.watched():
            await gauge.agrees(1)
            gauge.cache.up = False
            await anyio.sleep(60)
            await gauge.agrees(1)
            gauge.redis.up = False
            await anyio.sleep(4)
            await gauge.agrees(0)
            gauge.redis.up = True
            await anyio.sleep(4)
            await gauge.agrees(1)

    in_virtual_time(live)


def test_a_blip_is_no_failure() -> None:
    """It follows the verdict, as the answer does, and not the last check."""

    async def live() -> None:
        gauge = Gauge()
        async with gauge.watched():
            gauge.redis.up = False
            failing = gauge.redis.checks + 1
            while gauge.redis.checks < failing:  # noqa: ASYNC110 - in virtual time
                await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            await gauge.agrees(1)

    in_virtual_time(live)


def test_it_is_absent_before_the_first_check() -> None:
    """A service that starts is not unready: nobody has found that out."""

    async def live() -> None:
        gauge = Gauge(Dependency())
        gauge.redis.timeout = 30.0
        gauge.redis.takes_s = 29.0
        async with gauge.watched():
            await anyio.sleep(28)
            assert gauge.value is None
            await anyio.sleep(3)
            await gauge.agrees(1)

    in_virtual_time(live)


def test_a_first_check_that_fails_is_told_at_once() -> None:
    """Also where another one has no result yet."""

    async def live() -> None:
        gauge = Gauge()
        postgres = Dependency("postgres")
        postgres.timeout = postgres.takes_s = 30.0
        gauge.redis.up = False
        gauge.registry.register(postgres)
        async with gauge.watched():
            assert gauge.value == 0

    in_virtual_time(live)


def test_a_check_that_never_ends_is_a_failure() -> None:
    """The first one too, as `/health/ready` has it, though later: its result would have expired by then."""

    async def live() -> None:
        gauge = Gauge(Stubborn())
        gauge.redis.takes_s = 60.0
        async with gauge.watched():
            assert gauge.value is None
            await anyio.sleep(8)
            await gauge.agrees(0)

    in_virtual_time(live)


def test_an_ok_that_has_expired_is_none() -> None:
    """Nobody has to ask for it."""

    async def live() -> None:
        gauge = Gauge(Stubborn())
        async with gauge.watched():
            gauge.redis.takes_s = 60.0
            await anyio.sleep(10)
            await gauge.agrees(0)

    in_virtual_time(live)


@pytest.mark.parametrize("interval_s", [0.0, 2.0])
def test_without_a_watch_it_is_what_was_answered_last(interval_s: float) -> None:
    """A server without lifespan, and HEALTH_INTERVAL_S=0."""

    async def live() -> None:
        gauge = Gauge(interval_s=interval_s)
        assert gauge.value is None
        for up in (True, False, False, True):
            gauge.redis.up = up
            answered = (await gauge.registry.ask("ready")).ok
            assert gauge.value == answered
            await anyio.sleep(3)
            gauge.registry.update_ready()
            assert gauge.value == answered

    in_virtual_time(live)


def test_without_probes_it_is_ready() -> None:
    """As the answer says."""

    async def live() -> None:
        metrics = Metrics()
        registry = registry_of(metrics=metrics)
        async with watching(registry):
            assert metrics.registry.get_sample_value("divan_health_ready") == 1
            assert (await registry.ask("ready")).ok

    in_virtual_time(live)


def test_one_that_is_checked_anew_stays_what_it_was() -> None:
    """After the start of the application, until its next check."""

    async def live() -> None:
        gauge = Gauge()
        gauge.redis.up = False
        async with gauge.watched() as registry:
            gauge.redis.up = True
            registry.recheck()
            registry.update_ready()
            assert gauge.value == 0
            await anyio.sleep(4)
            await gauge.agrees(1)

    in_virtual_time(live)


def test_a_drain_is_told_with_the_answer() -> None:
    """0 from its start on, whatever the checks say."""
    observed = operated()

    def agrees(status: int) -> None:
        assert ask(observed, "/health/ready").status == status
        assert observed.value("divan_health_ready") == (status == 200)

    observed.obs.probes.register(patient())
    agrees(200)

    async def drain() -> None:
        async with observed.obs.running():
            observed.obs.drain.start("maintenance")
            await anyio.wait_all_tasks_blocked()
            assert observed.value("divan_health_ready") == 0

    anyio.run(drain)
    agrees(503)


def test_an_application_that_could_not_start_is_not_ready() -> None:
    """The server serves on, and the background says so."""
    observed = operated({"HEALTH_INTERVAL_S": "2"})
    assert ask(observed, "/health/ready").status == 200
    assert observed.value("divan_health_ready") == 1

    async def live() -> None:
        observed.obs.started(False)
        async with observed.obs.running():
            with anyio.fail_after(30):
                while observed.value("divan_health_ready"):  # noqa: ASYNC110 - whoever reads the page asks
                    await anyio.sleep(0.02)

    anyio.run(live)
    assert ask(observed, "/health/ready").status == 503


def patient(name: str = "redis") -> Dependency:
    """Return a probe that answers in good time also where the clock is real and the machine is busy."""
    dependency = Dependency(name)
    dependency.timeout = PATIENCE_S
    return dependency


def test_what_cannot_be_counted_is_answered() -> None:
    """The series of several workers are files, and a disk may be full."""
    observed = Observed()

    def full(value: float) -> None:
        raise OSError("No space left on device")

    observed.obs.metrics.health_ready.set = full  # type: ignore[method-assign]
    observed.obs.probes.register(patient())
    assert anyio.run(observed.obs.probes.ask, "ready").ok
    assert observed.value("divan_obs_errors_total", component="probes") == 1

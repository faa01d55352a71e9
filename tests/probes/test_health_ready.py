"""`divan_health_ready` and `/health/ready` agree in every state. The tests run on a virtual clock."""

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
    """`divan_health_ready` of a registry with two probes: `redis`, which is critical, and `cache`, which is not."""

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
        """Check that the gauge is set without a request, and that the response agrees."""
        assert self.value == expected
        assert (await self.registry.ask("ready")).ok == expected
        assert self.value == expected


def test_it_follows_critical_probes() -> None:
    """Up, down, up. A probe that is not critical changes nothing."""

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


def test_one_failed_check_does_not_change_it() -> None:
    """It follows the verdict, as the response does, and not the last check."""

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


def test_it_is_missing_before_the_first_check() -> None:
    """A starting service is not reported as not ready: that is not known yet."""

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


def test_a_first_check_that_fails_sets_it_at_once() -> None:
    """Even if another probe has no result yet."""

    async def live() -> None:
        gauge = Gauge()
        postgres = Dependency("postgres")
        postgres.timeout = postgres.takes_s = 30.0
        gauge.redis.up = False
        gauge.registry.register(postgres)
        async with gauge.watched():
            assert gauge.value == 0

    in_virtual_time(live)


def test_a_check_that_never_ends_makes_it_0() -> None:
    """Even the first check, after the time in which a result expires. `/health/ready` agrees."""

    async def live() -> None:
        gauge = Gauge(Stubborn())
        gauge.redis.takes_s = 60.0
        async with gauge.watched():
            assert gauge.value is None
            await anyio.sleep(8)
            await gauge.agrees(0)

    in_virtual_time(live)


def test_an_expired_success_makes_it_0() -> None:
    """Without any request."""

    async def live() -> None:
        gauge = Gauge(Stubborn())
        async with gauge.watched():
            gauge.redis.takes_s = 60.0
            await anyio.sleep(10)
            await gauge.agrees(0)

    in_virtual_time(live)


@pytest.mark.parametrize("interval_s", [0.0, 2.0])
def test_without_background_checks_it_is_the_last_response(interval_s: float) -> None:
    """With a server without lifespan, and with HEALTH_INTERVAL_S=0."""

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


def test_without_probes_it_is_1() -> None:
    """As the response is."""

    async def live() -> None:
        metrics = Metrics()
        registry = registry_of(metrics=metrics)
        async with watching(registry):
            assert metrics.registry.get_sample_value("divan_health_ready") == 1
            assert (await registry.ask("ready")).ok

    in_virtual_time(live)


def test_a_recheck_does_not_change_it_before_the_next_check() -> None:
    """After the start of the application the old value stays until a check has ended."""

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


def test_a_drain_makes_it_0() -> None:
    """From the start of the drain on, whatever the checks find."""
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
    """The server keeps serving, and the background checks set the gauge to 0."""
    observed = operated({"HEALTH_INTERVAL_S": "2"})
    assert ask(observed, "/health/ready").status == 200
    assert observed.value("divan_health_ready") == 1

    async def live() -> None:
        observed.obs.started(False)
        async with observed.obs.running():
            with anyio.fail_after(30):
                while observed.value("divan_health_ready"):  # noqa: ASYNC110 - no event is set
                    await anyio.sleep(0.02)

    anyio.run(live)
    assert ask(observed, "/health/ready").status == 503


def patient(name: str = "redis") -> Dependency:
    """Return a probe that answers in good time also where the clock is real and the machine is busy."""
    dependency = Dependency(name)
    dependency.timeout = PATIENCE_S
    return dependency


def test_a_gauge_that_fails_does_not_affect_the_response() -> None:
    """The series of several workers are files, and a disk can be full."""
    observed = Observed()

    def full(value: float) -> None:
        raise OSError("No space left on device")

    observed.obs.metrics.health_ready.set = full  # type: ignore[method-assign]
    observed.obs.probes.register(patient())
    assert anyio.run(observed.obs.probes.ask, "ready").ok
    assert observed.value("divan_obs_errors_total", component="probes") == 1

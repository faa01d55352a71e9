"""The registry: each check has one result, whatever the probe does."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.probes import Group, ProbeRegistry
from tests.patience import PATIENCE_S
from tests.stacks import Observed, run_on

DSN = "postgresql://divan:hunter2@db.internal/divan"
# The event loops on which probes run; uvloop differs from asyncio in nothing that the registry uses.
LOOPS = ("asyncio", "trio")

Check = Callable[[], Awaitable[Mapping[str, object]]]


class FunctionalProbe:
    """A probe that calls a function of the test."""

    def __init__(
        self, name: str, check: Check, *, timeout: float = 5.0, critical: bool = True, group: Group = "ready"
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.critical = critical
        self.group: Group = group
        self._check = check

    async def check(self) -> Mapping[str, object]:
        return await self._check()


class Clock:
    """Time that passes only when a test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def fine() -> Mapping[str, object]:
    return {}


async def hangs() -> Mapping[str, object]:
    await anyio.sleep_forever()
    raise AssertionError("unreachable")


async def fails() -> Mapping[str, object]:
    raise obs.ProbeFailed("refused")


async def breaks() -> Mapping[str, object]:
    raise RuntimeError(f"could not connect to {DSN}")


def answers(observed: Observed, backend: str = "asyncio", group: Group = "ready") -> Mapping[str, Mapping[str, object]]:
    """Return the checks of a group without their latencies."""
    report = run_on(backend, observed.obs.probes.ask, group)
    return {
        name: {key: value for key, value in answer.items() if key != "latency_ms"}
        for name, answer in report.checks.items()
    }


def test_the_report_has_the_documented_shape() -> None:
    """A check shows its latency, or its details if it has any."""
    clock = Clock()

    def takes(seconds: float, details: Mapping[str, object]) -> Check:
        async def check() -> Mapping[str, object]:
            clock.now += seconds
            return details

        return check

    registry = ProbeRegistry(Metrics(), obs.RedactionPolicy(), InternalErrors(count=lambda component: None), clock)
    registry.register(FunctionalProbe("redis", takes(0.012, {})))
    registry.register(FunctionalProbe("postgres", takes(0.022, {})))
    registry.register(FunctionalProbe("migrations", takes(0.003, {"version": "0008"})))

    report = anyio.run(registry.ask, "ready")

    assert orjson.dumps(report.as_json()) == (
        b'{"status":"ok","checks":{"redis":{"ok":true,"latency_ms":12},"postgres":{"ok":true,"latency_ms":22},'
        b'"migrations":{"ok":true,"version":"0008"}}}'
    )


@pytest.mark.parametrize("backend", LOOPS)
def test_a_hang_a_failure_and_a_bug_have_three_reasons(backend: str) -> None:
    """Other probes are not affected."""
    observed = Observed()
    for probe in (
        FunctionalProbe("hanging", hangs, timeout=0.02),
        FunctionalProbe("failing", fails),
        FunctionalProbe("broken", breaks),
        FunctionalProbe("working", fine),
    ):
        observed.obs.probes.register(probe)

    assert answers(observed, backend) == {
        "hanging": {"ok": False, "reason": "timeout"},
        "failing": {"ok": False, "reason": "refused"},
        "broken": {"ok": False, "reason": "error"},
        "working": {"ok": True},
    }
    # Only the bug counts as an internal error.
    assert observed.samples("divan_obs_errors_total") == {(("component", "probes"),): 1.0}


class Odd(BaseException):
    """Some test tools and task libraries raise exceptions that are not an `Exception`."""


@pytest.mark.parametrize("backend", LOOPS)
@pytest.mark.parametrize("raised", [Odd(), BaseExceptionGroup("of a task group", [Odd()])], ids=["alone", "in a group"])
def test_no_exception_of_a_check_ends_the_service(raised: BaseException, backend: str) -> None:
    """Not even one that is not an `Exception`. It is a bug of that probe, which is checked again."""
    observed = Observed({"HEALTH_INTERVAL_S": "0.01"})
    checked: list[int] = []

    async def breaks_oddly() -> Mapping[str, object]:
        checked.append(1)
        raise raised

    async def live() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with observed.obs.running():
                while len(checked) < 3:  # noqa: ASYNC110 - no event is set
                    await anyio.sleep(0.001)
                report = await observed.obs.probes.ask("ready")
                assert report.checks["odd"]["reason"] == "error"

    observed.obs.probes.register(FunctionalProbe("odd", breaks_oddly))
    run_on(backend, live)


@pytest.mark.parametrize("order", [KeyboardInterrupt(), SystemExit(1), BaseExceptionGroup("both", [SystemExit(1)])])
def test_exits_are_not_swallowed(order: BaseException) -> None:
    """Ctrl-C may come during a check."""
    observed = Observed()

    async def is_interrupted() -> Mapping[str, object]:
        raise order

    observed.obs.probes.register(FunctionalProbe("interrupted", is_interrupted))
    with pytest.raises((type(order), BaseExceptionGroup)):
        anyio.run(observed.obs.probes.ask, "ready")


def test_the_first_check_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of OpenTelemetry would block the event loop for a tenth of a second."""
    lazily = "opentelemetry.instrumentation.utils"
    monkeypatch.delitem(sys.modules, lazily, raising=False)
    observed = Observed()
    observed.obs.probes.register(FunctionalProbe("fine", fine))
    assert anyio.run(observed.obs.probes.ask, "ready").ok
    assert lazily not in sys.modules


@pytest.mark.parametrize("details", [None, [("version", "0008")], {8: "a key that is not a text"}, "0008"])
def test_invalid_details_affect_one_probe_only(details: Any) -> None:
    """A forgotten `return {}` is a bug of that probe, with the reason "error"."""
    observed = Observed()

    async def forgets() -> Mapping[str, object]:
        return details  # type: ignore[no-any-return]

    observed.obs.probes.register(FunctionalProbe("forgetful", forgets))
    observed.obs.probes.register(FunctionalProbe("working", fine))

    assert answers(observed) == {"forgetful": {"ok": False, "reason": "error"}, "working": {"ok": True}}
    assert observed.value("divan_obs_errors_total", component="probes") == 1.0


def test_a_foreign_cancellation_affects_one_probe_only() -> None:
    """The probe awaits a task that somebody else has cancelled. The other checks continue."""
    observed = Observed()

    async def awaits_a_cancelled_task() -> Mapping[str, object]:
        shared = asyncio.ensure_future(asyncio.Event().wait())
        shared.cancel()
        await shared
        return {}

    async def takes_a_moment() -> Mapping[str, object]:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return {}

    observed.obs.probes.register(FunctionalProbe("cancelled", awaits_a_cancelled_task))
    observed.obs.probes.register(FunctionalProbe("working", takes_a_moment))

    assert answers(observed) == {"cancelled": {"ok": False, "reason": "error"}, "working": {"ok": True}}


@pytest.mark.parametrize("backend", LOOPS)
def test_all_probes_are_checked_concurrently(backend: str) -> None:
    """Each check waits here until all others have started."""
    observed = Observed()
    all_have_started = anyio.Event()
    waiting: list[None] = []

    async def waits_for_the_others() -> Mapping[str, object]:
        waiting.append(None)
        if len(waiting) == 8:
            all_have_started.set()
        await all_have_started.wait()
        return {}

    async def ask() -> obs.probes.Report:
        nonlocal all_have_started
        all_have_started = anyio.Event()
        return await observed.obs.probes.ask("ready")

    for number in range(8):
        observed.obs.probes.register(FunctionalProbe(f"probe_{number}", waits_for_the_others))
    report = run_on(backend, ask)

    assert report.ok
    assert list(report.checks) == [f"probe_{number}" for number in range(8)]


@pytest.mark.parametrize("backend", LOOPS)
def test_a_report_takes_as_long_as_the_slowest_probe(backend: str) -> None:
    """Fifty dependencies that hang for 0.2 s each take 0.2 s, and not ten seconds."""
    observed = Observed()
    for number in range(50):
        observed.obs.probes.register(FunctionalProbe(f"probe_{number}", hangs, timeout=0.2))

    started = time.perf_counter()
    report = run_on(backend, observed.obs.probes.ask, "ready")

    assert {answer["reason"] for answer in report.checks.values()} == {"timeout"}
    # The upper bound is for a busy machine.
    assert 0.2 <= time.perf_counter() - started < 5.0


@pytest.mark.parametrize("backend", LOOPS)
def test_a_cancelled_request_cancels_its_checks(backend: str) -> None:
    """An orchestrator that disconnects after its own timeout leaves no check running."""
    observed = Observed()
    ended: list[type[BaseException]] = []

    async def notes_its_end() -> Mapping[str, object]:
        try:
            return await hangs()
        except BaseException as error:
            ended.append(type(error))
            raise

    async def leaves() -> bool:
        with anyio.move_on_after(0.02) as leaving:
            await observed.obs.probes.ask("ready")
        return leaving.cancelled_caught and ended == [anyio.get_cancelled_exc_class()]

    observed.obs.probes.register(FunctionalProbe("hanging", notes_its_end))
    assert run_on(backend, leaves)


def test_the_text_of_an_exception_is_not_published(caplog: pytest.LogCaptureFixture) -> None:
    """Drivers put the DSN into their messages. Neither the response nor the log contains it."""
    observed = Observed()

    async def breaks_twice() -> Mapping[str, object]:
        try:
            return await breaks()
        except RuntimeError as error:
            raise ExceptionGroup(f"{DSN} and {DSN}", [error]) from error

    async def fails_with_a_url() -> Mapping[str, object]:
        raise obs.ProbeFailed("refused", url=DSN)

    for name, check in {"broken": breaks, "twice": breaks_twice, "fails": fails_with_a_url}.items():
        observed.obs.probes.register(FunctionalProbe(name, check))
    report = anyio.run(observed.obs.probes.ask, "ready")

    published = orjson.dumps(report.as_json()).decode()
    assert "hunter2" not in published
    assert report.checks["fails"]["url"] == "postgresql://[redacted:userinfo]@db.internal/divan"
    assert "hunter2" not in caplog.text
    assert re.fullmatch(
        r"probes failed and was left out: RuntimeError at test_registry\.py:\d+; the response is unaffected\.",
        caplog.messages[0],
    )


def test_details_cannot_replace_the_registrys_keys() -> None:
    """`ok`, `reason` and `latency_ms` are not taken from the details."""
    observed = Observed()

    async def boasts() -> Mapping[str, object]:
        raise obs.ProbeFailed("outdated", ok=True, latency_ms=0, version="0007")

    observed.obs.probes.register(FunctionalProbe("boastful", boasts))
    assert answers(observed) == {"boastful": {"ok": False, "reason": "outdated", "version": "0007"}}


def test_a_probe_that_is_not_critical_does_not_fail_the_group() -> None:
    """The response shows its failure, and the service stays ready."""
    observed = Observed()
    observed.obs.probes.register(FunctionalProbe("redis", fine))
    observed.obs.probes.register(FunctionalProbe("search", fails, critical=False))

    report = anyio.run(observed.obs.probes.ask, "ready")

    assert report.as_json()["status"] == "ok"
    assert report.checks["search"]["ok"] is False


def test_one_critical_failure_fails_the_group() -> None:
    """Ready means that every critical dependency works."""
    observed = Observed()
    observed.obs.probes.register(FunctionalProbe("redis", fine))
    observed.obs.probes.register(FunctionalProbe("postgres", fails))
    assert anyio.run(observed.obs.probes.ask, "ready").as_json()["status"] == "fail"


def test_each_group_has_its_own_probes() -> None:
    """A dependency that is down fails no liveness check, so nothing is restarted for it."""
    observed = Observed()
    observed.obs.probes.register(FunctionalProbe("redis", fails))

    assert answers(observed, group="live") == {"heartbeat": {"ok": True}}
    assert answers(observed, group="startup") == {"config": {"ok": True}, "redaction": {"ok": True}}
    assert observed.obs.probes.names("ready") == ["redis"]


def test_two_probes_of_one_name_are_a_start_up_error() -> None:
    """One would hide the other."""
    observed = Observed()
    observed.obs.probes.register(FunctionalProbe("redis", fine))
    with pytest.raises(obs.ImproperlyConfigured, match=r"^A probe named 'redis' is registered already\.$"):
        observed.obs.probes.register(FunctionalProbe("redis", fine, group="startup"))


@pytest.mark.parametrize(
    "name", ["", "Redis", "redis-main", "7up", "a b", "re\ndis", "x" * 65, "rédis", None, 5, b"redis"]
)
def test_an_invalid_name_is_a_start_up_error(name: Any) -> None:
    """A name is a JSON key and a label value."""
    observed = Observed()
    expected = f"Invalid probe name {name!r}; expected lower-case letters, digits and _, like 'redis'."
    with pytest.raises(obs.ImproperlyConfigured, match=f"^{re.escape(expected)}$"):
        observed.obs.probes.register(FunctionalProbe(name, fine))


@pytest.mark.parametrize(
    ("what", "called"), [(object(), "object"), (FunctionalProbe, "the class FunctionalProbe"), (fine, "function")]
)
def test_another_object_is_a_start_up_error(what: Any, called: str) -> None:
    """The error lists what a probe has. A class is not an instance, and a function needs the decorator."""
    expected = f"Not a probe: {called}; expected an object with name, timeout, critical, group and async check()."
    with pytest.raises(obs.ImproperlyConfigured, match=f"^{re.escape(expected)}$"):
        Observed().obs.probes.register(what)


@pytest.mark.parametrize(
    ("attribute", "values", "expected"),
    [
        ("timeout", [0, -1.0, math.inf, math.nan, "0.2", None, True], "has timeout {}; expected seconds above 0."),
        ("group", ["", "Ready", "a b", None, 5], "has group {}; expected a name like 'ready'."),
        ("interval", [-1, math.inf, math.nan, "2", True], "has interval {}; expected seconds, or 0."),
        ("fail_after", [0, -1, 1.5, "2", True], "has fail_after {}; expected an integer above 0."),
        ("recover_after", [0, 2.0], "has recover_after {}; expected an integer above 0."),
    ],
)
def test_an_invalid_attribute_is_a_start_up_error(attribute: str, values: list[Any], expected: str) -> None:
    """The error names probe, attribute and value."""
    for value in values:
        probe = FunctionalProbe("redis", fine)
        setattr(probe, attribute, value)
        message = f"Probe 'redis' {expected.format(repr(value))}"
        with pytest.raises(obs.ImproperlyConfigured, match=f"^{re.escape(message)}$"):
            Observed().obs.probes.register(probe)


@pytest.mark.parametrize("backend", LOOPS)
def test_a_success_after_the_timeout_is_a_timeout(backend: str) -> None:
    """The check ignored its cancellation and passed too late."""
    observed = Observed()

    async def stubborn() -> Mapping[str, object]:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
        return {"version": "0008"}

    observed.obs.probes.register(FunctionalProbe("stubborn", stubborn, timeout=0.01))
    assert answers(observed, backend) == {"stubborn": {"ok": False, "reason": "timeout"}}


def test_a_metric_that_fails_does_not_affect_the_result() -> None:
    """The series of several workers are files, and a disk can be full."""
    observed = Observed()

    def full(*labels: str) -> None:
        raise OSError("No space left on device")

    observed.obs.metrics.probe_up.labels = full  # type: ignore[assignment, method-assign]
    observed.obs.probes.register(FunctionalProbe("redis", fine))
    assert anyio.run(observed.obs.probes.ask, "ready").ok
    assert observed.value("divan_obs_errors_total", component="probes") == 1


def test_the_last_check_of_every_probe_is_a_series() -> None:
    """`divan_probe_up` for each probe, and the gauges of Redis and PostgreSQL."""
    observed = Observed()
    down = {"redis"}

    def depends_on(name: str) -> Check:
        async def check() -> Mapping[str, object]:
            return await fails() if name in down else await fine()

        return check

    for name in ("redis", "postgres", "search"):
        observed.obs.probes.register(FunctionalProbe(name, depends_on(name)))

    anyio.run(observed.obs.probes.ask, "ready")
    assert observed.samples("divan_probe_up") == {
        (("name", "redis"),): 0.0,
        (("name", "postgres"),): 1.0,
        (("name", "search"),): 1.0,
    }
    assert observed.value("divan_redis_up") == 0.0
    assert observed.value("divan_postgres_up") == 1.0

    down.clear()
    anyio.run(observed.obs.probes.ask, "ready")
    assert observed.samples("divan_probe_up")[(("name", "redis"),)] == 1.0
    assert observed.value("divan_redis_up") == 1.0
    # A failed check has a latency too.
    assert observed.value("divan_redis_latency_seconds_count") == 2.0
    assert observed.value("divan_postgres_latency_seconds_count") == 2.0


def test_a_reason_is_one_of_a_fixed_list() -> None:
    """A reason must not contain a text of the probe's own."""
    reason: Any = "the password hunter2 is wrong"
    reasons = ["auth", "error", "full", "interrupted", "outdated", "refused", "stale", "timeout"]
    expected = f"reason is {reason!r}; expected one of {reasons}."
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        obs.ProbeFailed(reason)

"""What the registry makes of its probes: one answer each, whatever they do."""

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


class Says:
    """A probe that does what a function of the test does."""

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
    """Time that passes only where a test says so."""

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
    """Return the checks of a group without the times they took."""
    report = run_on(backend, observed.obs.probes.ask, group)
    return {
        name: {key: value for key, value in answer.items() if key != "latency_ms"}
        for name, answer in report.checks.items()
    }


def test_the_answer_has_the_shape_of_the_specification() -> None:
    """Every check tells how long it took, or what it has found where that is more."""
    clock = Clock()

    def takes(seconds: float, details: Mapping[str, object]) -> Check:
        async def check() -> Mapping[str, object]:
            clock.now += seconds
            return details

        return check

    registry = ProbeRegistry(Metrics(), obs.RedactionPolicy(), InternalErrors(count=lambda component: None), clock)
    registry.register(Says("redis", takes(0.012, {})))
    registry.register(Says("postgres", takes(0.022, {})))
    registry.register(Says("migrations", takes(0.003, {"version": "0008"})))

    report = anyio.run(registry.ask, "ready")

    assert orjson.dumps(report.as_json()) == (
        b'{"status":"ok","checks":{"redis":{"ok":true,"latency_ms":12},"postgres":{"ok":true,"latency_ms":22},'
        b'"migrations":{"ok":true,"version":"0008"}}}'
    )


@pytest.mark.parametrize("backend", LOOPS)
def test_a_hang_a_failure_and_a_bug_are_three_answers(backend: str) -> None:
    """None of them touches another one, or a check that passes."""
    observed = Observed()
    for probe in (
        Says("hanging", hangs, timeout=0.02),
        Says("failing", fails),
        Says("broken", breaks),
        Says("working", fine),
    ):
        observed.obs.probes.register(probe)

    assert answers(observed, backend) == {
        "hanging": {"ok": False, "reason": "timeout"},
        "failing": {"ok": False, "reason": "refused"},
        "broken": {"ok": False, "reason": "error"},
        "working": {"ok": True},
    }
    # Only the bug is a failure of the observability itself.
    assert observed.samples("divan_obs_errors_total") == {(("component", "probes"),): 1.0}


class Odd(BaseException):
    """What some test tools and task libraries raise: no `Exception`, and no order to end either."""


@pytest.mark.parametrize("backend", LOOPS)
@pytest.mark.parametrize("raised", [Odd(), BaseExceptionGroup("of a task group", [Odd()])], ids=["alone", "in a group"])
def test_whatever_a_check_raises_the_service_lives_on(raised: BaseException, backend: str) -> None:
    """Also what is no `Exception`: it is a bug of that probe, which is checked again."""
    observed = Observed({"HEALTH_INTERVAL_S": "0.01"})
    checked: list[int] = []

    async def breaks_oddly() -> Mapping[str, object]:
        checked.append(1)
        raise raised

    async def live() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with observed.obs.running():
                while len(checked) < 3:  # noqa: ASYNC110 - nobody sets an event
                    await anyio.sleep(0.001)
                told = await observed.obs.probes.ask("ready")
                assert told.checks["odd"]["reason"] == "error"

    observed.obs.probes.register(Says("odd", breaks_oddly))
    run_on(backend, live)


@pytest.mark.parametrize("order", [KeyboardInterrupt(), SystemExit(1), BaseExceptionGroup("both", [SystemExit(1)])])
def test_an_order_to_end_the_process_is_obeyed(order: BaseException) -> None:
    """Ctrl-C may come while a check runs."""
    observed = Observed()

    async def is_interrupted() -> Mapping[str, object]:
        raise order

    observed.obs.probes.register(Says("interrupted", is_interrupted))
    with pytest.raises((type(order), BaseExceptionGroup)):
        anyio.run(observed.obs.probes.ask, "ready")


def test_the_first_check_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported for it: OpenTelemetry's share would be a tenth of a second in which no request is served."""
    lazily = "opentelemetry.instrumentation.utils"
    monkeypatch.delitem(sys.modules, lazily, raising=False)
    observed = Observed()
    observed.obs.probes.register(Says("fine", fine))
    assert anyio.run(observed.obs.probes.ask, "ready").ok
    assert lazily not in sys.modules


@pytest.mark.parametrize("details", [None, [("version", "0008")], {8: "a key that is no text"}, "0008"])
def test_a_probe_that_returns_no_details_touches_no_other(details: Any) -> None:
    """A forgotten `return {}` is a bug of that probe: "error" for it, and every other answer as it is."""
    observed = Observed()

    async def forgets() -> Mapping[str, object]:
        return details  # type: ignore[no-any-return]

    observed.obs.probes.register(Says("forgetful", forgets))
    observed.obs.probes.register(Says("working", fine))

    assert answers(observed) == {"forgetful": {"ok": False, "reason": "error"}, "working": {"ok": True}}
    assert observed.value("divan_obs_errors_total", component="probes") == 1.0


def test_a_probe_that_waits_for_a_cancelled_task_touches_no_other() -> None:
    """Somebody else's cancellation, passed on by a probe, is that probe's bug and does not end the others."""
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

    observed.obs.probes.register(Says("cancelled", awaits_a_cancelled_task))
    observed.obs.probes.register(Says("working", takes_a_moment))

    assert answers(observed) == {"cancelled": {"ok": False, "reason": "error"}, "working": {"ok": True}}


@pytest.mark.parametrize("backend", LOOPS)
def test_all_are_asked_at_once(backend: str) -> None:
    """No probe waits for another: here each one waits until all of them have been asked."""
    observed = Observed()
    everyone_is_here = anyio.Event()
    waiting: list[None] = []

    async def waits_for_the_others() -> Mapping[str, object]:
        waiting.append(None)
        if len(waiting) == 8:
            everyone_is_here.set()
        await everyone_is_here.wait()
        return {}

    async def ask() -> obs.probes.Report:
        nonlocal everyone_is_here
        everyone_is_here = anyio.Event()
        return await observed.obs.probes.ask("ready")

    for number in range(8):
        observed.obs.probes.register(Says(f"probe_{number}", waits_for_the_others))
    report = run_on(backend, ask)

    assert report.ok
    assert list(report.checks) == [f"probe_{number}" for number in range(8)]


@pytest.mark.parametrize("backend", LOOPS)
def test_an_answer_takes_as_long_as_the_slowest_probe(backend: str) -> None:
    """Fifty dependencies that hang for 0.2 s each are told after that and not after ten seconds."""
    observed = Observed()
    for number in range(50):
        observed.obs.probes.register(Says(f"probe_{number}", hangs, timeout=0.2))

    started = time.perf_counter()
    report = run_on(backend, observed.obs.probes.ask, "ready")

    assert {answer["reason"] for answer in report.checks.values()} == {"timeout"}
    # Most of what is more is what else the machine does.
    assert 0.2 <= time.perf_counter() - started < 5.0


@pytest.mark.parametrize("backend", LOOPS)
def test_a_caller_who_leaves_ends_the_checks(backend: str) -> None:
    """An orchestrator that hangs up after its own timeout leaves no check running behind."""
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

    observed.obs.probes.register(Says("hanging", notes_its_end))
    assert run_on(backend, leaves)


def test_nothing_of_an_exception_is_published(caplog: pytest.LogCaptureFixture) -> None:
    """Drivers put the DSN into their messages: neither the answer nor the log repeats it."""
    observed = Observed()

    async def breaks_twice() -> Mapping[str, object]:
        try:
            return await breaks()
        except RuntimeError as error:
            raise ExceptionGroup(f"{DSN} and {DSN}", [error]) from error

    async def tells() -> Mapping[str, object]:
        raise obs.ProbeFailed("refused", url=DSN)

    for name, check in {"broken": breaks, "twice": breaks_twice, "tells": tells}.items():
        observed.obs.probes.register(Says(name, check))
    report = anyio.run(observed.obs.probes.ask, "ready")

    published = orjson.dumps(report.as_json()).decode()
    assert "hunter2" not in published
    assert report.checks["tells"]["url"] == "postgresql://[redacted:userinfo]@db.internal/divan"
    assert "hunter2" not in caplog.text
    assert re.fullmatch(
        r"probes failed and was left out: RuntimeError at test_registry\.py:\d+; the response is unaffected\.",
        caplog.messages[0],
    )


def test_details_cannot_claim_what_the_registry_decides() -> None:
    """A check's details say more and not something else: `ok`, `reason` and `latency_ms` are not theirs."""
    observed = Observed()

    async def boasts() -> Mapping[str, object]:
        raise obs.ProbeFailed("outdated", ok=True, latency_ms=0, version="0007")

    observed.obs.probes.register(Says("boastful", boasts))
    assert answers(observed) == {"boastful": {"ok": False, "reason": "outdated", "version": "0007"}}


def test_a_probe_that_is_not_critical_only_tells() -> None:
    """Its failure is to be read in the answer, and the service stays ready."""
    observed = Observed()
    observed.obs.probes.register(Says("redis", fine))
    observed.obs.probes.register(Says("search", fails, critical=False))

    report = anyio.run(observed.obs.probes.ask, "ready")

    assert report.as_json()["status"] == "ok"
    assert report.checks["search"]["ok"] is False


def test_one_critical_failure_is_enough() -> None:
    """Ready means that everything which the service cannot do without is there."""
    observed = Observed()
    observed.obs.probes.register(Says("redis", fine))
    observed.obs.probes.register(Says("postgres", fails))
    assert anyio.run(observed.obs.probes.ask, "ready").as_json()["status"] == "fail"


def test_each_group_asks_its_own_probes() -> None:
    """A dependency that is down makes no liveness check fail, so that nothing is restarted for it."""
    observed = Observed()
    observed.obs.probes.register(Says("redis", fails))

    assert answers(observed, group="live") == {"heartbeat": {"ok": True}}
    assert answers(observed, group="startup") == {"config": {"ok": True}, "redaction": {"ok": True}}
    assert observed.obs.probes.names("ready") == ["redis"]


def test_two_probes_of_one_name_are_a_start_up_error() -> None:
    """One of them would hide the other."""
    observed = Observed()
    observed.obs.probes.register(Says("redis", fine))
    with pytest.raises(obs.ImproperlyConfigured, match=r"^A probe named 'redis' is registered already\.$"):
        observed.obs.probes.register(Says("redis", fine, group="startup"))


@pytest.mark.parametrize(
    "name", ["", "Redis", "redis-main", "7up", "a b", "re\ndis", "x" * 65, "rédis", None, 5, b"redis"]
)
def test_a_name_that_cannot_be_a_key_is_a_start_up_error(name: Any) -> None:
    """A name is a key of the answer and a label of a series."""
    observed = Observed()
    expected = f"Invalid probe name {name!r}; expected lower-case letters, digits and _, like 'redis'."
    with pytest.raises(obs.ImproperlyConfigured, match=f"^{re.escape(expected)}$"):
        observed.obs.probes.register(Says(name, fine))


@pytest.mark.parametrize(("what", "called"), [(object(), "object"), (Says, "the class Says"), (fine, "function")])
def test_what_is_no_probe_is_a_start_up_error(what: Any, called: str) -> None:
    """The error says what a probe has; a class is none yet, and a function is made one by the decorator."""
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
def test_an_attribute_that_makes_no_sense_is_a_start_up_error(attribute: str, values: list[Any], expected: str) -> None:
    """It is one error that names probe, attribute and value, and not a check that can never pass."""
    for value in values:
        probe = Says("redis", fine)
        setattr(probe, attribute, value)
        told = f"Probe 'redis' {expected.format(repr(value))}"
        with pytest.raises(obs.ImproperlyConfigured, match=f"^{re.escape(told)}$"):
            Observed().obs.probes.register(probe)


@pytest.mark.parametrize("backend", LOOPS)
def test_an_answer_after_the_timeout_is_none(backend: str) -> None:
    """A check that does not let itself be cancelled, and says in the end that all is well, was too late."""
    observed = Observed()

    async def stubborn() -> Mapping[str, object]:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
        return {"version": "0008"}

    observed.obs.probes.register(Says("stubborn", stubborn, timeout=0.01))
    assert answers(observed, backend) == {"stubborn": {"ok": False, "reason": "timeout"}}


def test_what_cannot_be_counted_is_answered() -> None:
    """The series of several workers are files, and a disk may be full; the dependency is what it is all the same."""
    observed = Observed()

    def full(*labels: str) -> None:
        raise OSError("No space left on device")

    observed.obs.metrics.probe_up.labels = full  # type: ignore[assignment, method-assign]
    observed.obs.probes.register(Says("redis", fine))
    assert anyio.run(observed.obs.probes.ask, "ready").ok
    assert observed.value("divan_obs_errors_total", component="probes") == 1


def test_the_last_answer_of_every_probe_is_a_series() -> None:
    """`divan_probe_up` follows each probe, and the specification's own gauges follow Redis and PostgreSQL."""
    observed = Observed()
    down = {"redis"}

    def depends_on(name: str) -> Check:
        async def check() -> Mapping[str, object]:
            return await fails() if name in down else await fine()

        return check

    for name in ("redis", "postgres", "search"):
        observed.obs.probes.register(Says(name, depends_on(name)))

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
    # Every answer has its latency, also the one that failed.
    assert observed.value("divan_redis_latency_seconds_count") == 2.0
    assert observed.value("divan_postgres_latency_seconds_count") == 2.0


def test_a_reason_is_one_of_few() -> None:
    """What a probe may say to everybody is a closed list."""
    reason: Any = "the password hunter2 is wrong"
    expected = (
        f"reason is {reason!r}; expected one of ['auth', 'error', 'full', 'outdated', 'refused', 'stale', 'timeout']."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        obs.ProbeFailed(reason)

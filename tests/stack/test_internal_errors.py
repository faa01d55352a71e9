"""The library's own failures: counted each time, logged once a minute, never passed on."""

from __future__ import annotations

import dataclasses
import logging
from asyncio import CancelledError
from typing import Any

import anyio
import pytest

from divan_obs_asgi import Observability, RecordMiddleware, RequestRecord, build_stack
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.middlewares import AccessLogMiddleware, MetricsMiddleware
from divan_obs_asgi.middlewares.base import Undo
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed


class Clock:
    """A monotonic clock that is wound by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counts(dict[str, int]):
    def count(self, component: str) -> None:
        self[component] = self.get(component, 0) + 1


class Panic(BaseException):
    """What an extension module written in Rust raises for a bug of its own is no Exception (pyo3)."""


class BreaksInObserve(RecordMiddleware):
    component = "breaks_in_observe"

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        raise ValueError("s3cret")


class BreaksInFinisher(RecordMiddleware):
    component = "breaks_in_finisher"

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        record.add_finisher(self.component, self.finish)

    def finish(self, record: RequestRecord) -> None:
        raise KeyError("s3cret")


class BreaksInUndo(RecordMiddleware):
    component = "breaks_in_undo"

    def observe(self, scope: Scope, record: RequestRecord) -> Undo:
        return self.undo

    def undo(self) -> None:
        raise RuntimeError("s3cret")


class PanicsInObserve(RecordMiddleware):
    component = "panics_in_observe"

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        raise Panic


class WaitsForWhatWasCancelled(RecordMiddleware):
    component = "waits_for_what_was_cancelled"

    def observe(self, scope: Scope, record: RequestRecord) -> Undo:
        record.add_finisher(self.component, lambda record: self.ask())
        return bool

    def ask(self) -> None:
        # What `task.result()` raises in synchronous code, too.
        raise CancelledError


class PanicsInUndo(RecordMiddleware):
    component = "panics_in_undo"

    def observe(self, scope: Scope, record: RequestRecord) -> Undo:
        return self.undo

    def undo(self) -> None:
        raise Panic


class ReturnsNonsense(RecordMiddleware):
    component = "returns_nonsense"

    def observe(self, scope: Scope, record: RequestRecord) -> Any:
        return 42


BROKEN: tuple[type[RecordMiddleware], ...] = (
    BreaksInObserve,
    BreaksInFinisher,
    BreaksInUndo,
    PanicsInObserve,
    WaitsForWhatWasCancelled,
    PanicsInUndo,
    ReturnsNonsense,
)


def with_clock(observed: Observed, clock: Clock) -> Observability:
    """Return the bundle with faults that go by this clock."""
    count = observed.obs.metrics.errors
    return dataclasses.replace(observed.obs, faults=InternalErrors(lambda name: count.labels(name).inc(), clock=clock))


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_broken_middleware_changes_no_answer(scenario: Scenario, broken: type[RecordMiddleware]) -> None:
    """The client gets, and the server sees, what they would without it."""

    async def ask(app: ASGIApp) -> tuple[object, object]:
        done = await converse(app, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)
        return done.sent, type(done.error)

    stack = build_stack(scenario.app, Observed().obs, [broken])
    assert anyio.run(ask, stack) == anyio.run(ask, scenario.app)


@pytest.mark.parametrize("broken", BROKEN)
def test_the_others_work_on_beside_a_broken_middleware(broken: type[RecordMiddleware]) -> None:
    """Outside and inside of it the request is counted and logged."""
    observed = Observed()
    stack = build_stack(hello, observed.obs, [MetricsMiddleware, broken, AccessLogMiddleware])
    anyio.run(converse, stack, http_scope())
    labels = {"route": "__unmatched__", "method": "GET", "status": "200"}
    assert observed.value("divan_http_requests_total", **labels) == 1
    assert [line["msg"] for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"] == [
        "GET __unmatched__"
    ]


@pytest.mark.parametrize("order", [KeyboardInterrupt, SystemExit])
def test_an_order_to_end_is_no_failure(order: type[BaseException]) -> None:
    """Ctrl-C, whoever happens to run when it comes, is for the process."""

    class Interrupted(RecordMiddleware):
        component = "interrupted"

        def observe(self, scope: Scope, record: RequestRecord) -> None:
            raise order

    observed = Observed()
    done = anyio.run(converse, build_stack(hello, observed.obs, [Interrupted]), http_scope())
    assert isinstance(done.error, order)
    assert observed.value("divan_obs_errors_total", component="interrupted") == 0


@pytest.mark.parametrize("broken", BROKEN)
def test_every_failure_of_a_component_is_counted(broken: type[RecordMiddleware]) -> None:
    """`divan_obs_errors_total{component}` tells how often, and an alert may ask for it."""
    observed = Observed()
    stack = build_stack(hello, observed.obs, [broken])
    for _ in range(3):
        anyio.run(converse, stack, http_scope())
    assert observed.value("divan_obs_errors_total", component=broken.component) == 3


@pytest.mark.parametrize("broken", BROKEN)
def test_a_failure_is_logged_once_a_minute(broken: type[RecordMiddleware], caplog: pytest.LogCaptureFixture) -> None:
    """A broken middleware under load does not flood the log."""
    clock = Clock()
    stack = build_stack(hello, with_clock(Observed(), clock), [broken])
    for seconds in (0, 1, 58.9, 0.2, 59.7, 0.2):  # From the start: 0, 1, 59.9, 60.1, 119.8, 120
        clock.now += seconds
        anyio.run(converse, stack, http_scope())
    assert [record.name for record in caplog.records] == ["divan_obs_asgi.internal_errors"] * 2
    assert caplog.messages[0].startswith(f"{broken.component} failed and was left out: ")
    assert caplog.messages[0].endswith("; the response is unaffected.")
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_the_line_tells_what_and_where_and_not_the_text(caplog: pytest.LogCaptureFixture) -> None:
    """The text of an exception may hold what the redaction policy forbids."""
    faults = InternalErrors(Counts().count)
    try:
        raise ConnectionError("postgresql://divan:s3cret@db/divan")
    except ConnectionError as error:
        faults.report("probes", error)
        line = error.__traceback__.tb_lineno if error.__traceback__ else 0
    assert caplog.messages == [
        f"probes failed and was left out: ConnectionError at test_internal_errors.py:{line}; "
        "the response is unaffected."
    ]
    assert caplog.records[0].exc_info is None


def test_an_error_that_was_never_raised_has_no_place(caplog: pytest.LogCaptureFixture) -> None:
    """Some failures are made to be reported."""
    InternalErrors(Counts().count).report("sink", OSError())
    assert caplog.messages == ["sink failed and was left out: OSError at unknown place; the response is unaffected."]


def test_each_component_has_a_minute_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """One that fails all the time does not hide another."""
    clock, counts = Clock(), Counts()
    faults = InternalErrors(counts.count, clock=clock)
    for component in ("a", "b", "a", "a", "b"):
        faults.report(component, ValueError())
    assert [message.split()[0] for message in caplog.messages] == ["a", "b"]
    assert counts == {"a": 3, "b": 2}


def test_a_log_that_fails_does_not_call_itself() -> None:
    """The sink reports its failure through the logger, which writes to the sink."""
    counts = Counts()
    clock = Clock()

    class Broken(logging.Handler):
        calls = 0

        def emit(self, record: logging.LogRecord) -> None:
            Broken.calls += 1
            clock.now += 100.0
            faults.report("sink", OSError("no space left on device"))

    logger = logging.getLogger("divan_obs_asgi.internal_errors")
    handler = Broken()
    faults = InternalErrors(counts.count, clock=clock)
    logger.addHandler(handler)
    try:
        faults.report("sink", OSError())
    finally:
        logger.removeHandler(handler)
    assert Broken.calls == 1
    assert counts == {"sink": 2}


def test_reporting_never_raises() -> None:
    """Not even where the counter, the clock or a handler is broken."""

    def broken(*args: object) -> Any:
        raise RuntimeError

    class BrokenHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError

    InternalErrors(broken).report("a", ValueError())
    InternalErrors(Counts().count, clock=broken).report("a", ValueError())
    logger, handler = logging.getLogger("divan_obs_asgi.internal_errors"), BrokenHandler()
    logger.addHandler(handler)
    try:
        InternalErrors(Counts().count).report("a", ValueError())
    finally:
        logger.removeHandler(handler)

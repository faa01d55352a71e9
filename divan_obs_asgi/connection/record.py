"""What a connection and a Socket.IO event have in common: ids, one clock, an outcome, fields and finishers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import Any, NamedTuple, Protocol, Self

from divan_obs_asgi.connection.routes import RECORD_KEY, UNMATCHED
from divan_obs_asgi.connection.wait_times import Cause, WaitTimes
from divan_obs_asgi.internal_errors import InternalErrors, is_exit
from divan_obs_asgi.types import ConnectionKind, Outcome

# Under this key the scope has the context in which a connection began; set by `ContextMiddleware`.
CONTEXT_KEY = "divan_obs_asgi.context"

# W3C Trace Context, level 2, section 3.2.2.5.
_SAMPLED, _RANDOM = 0x01, 0x02

current_record: ContextVar[Record | None] = ContextVar("divan_obs_asgi.current_record", default=None)


class OperationNames(Protocol):
    """What the application may say about a record beyond its route (`connection.operations`)."""

    def name(self, record: Record, name: object) -> None:
        """Note which operation it is."""

    def fail(self, record: Record, reason: object) -> None:
        """Note that it failed."""


class RecordWatcher(Protocol):
    """Is shown what happens during a record, as the ops console is. Its methods never raise."""

    def call(
        self,
        record: Record,
        cause: Cause,
        describe: Callable[..., Any] | None,
        client: Any,
        args: tuple[Any, ...],
        kwargs: Any,
        span: Any,
    ) -> Any:
        """Called when a client library is called; returns an object around `span`, with the same method `finish`."""

    def line(self, record: Record, line: bytes) -> None:
        """Called with each log line of the record that is written; it is redacted."""


class HeldLine(NamedTuple):
    """
    A line that a framework has logged about a failure, held until the connection's own line is written.

    Attributes:
        error: the exception, if there is one.
        write: writes the line.
        since: seconds, monotonic.
    """

    error: BaseException | None
    write: Callable[[], object]
    since: float


class Record:
    """
    The base of `RequestRecord` (an HTTP request or a WebSocket) and `EventRecord` (one call of a Socket.IO handler).

    When it has ended, every finisher is called once with the finished record. All sinks are finishers: the log line,
    the span, the metrics, and those of your own middlewares.

    Attributes:
        kind: "http", "websocket" or "event".
        method: "EVENT" for an event.
        status, close_code, hang_up: see `RequestRecord`; an event keeps the defaults.
        outcome: None until the record is finished.
        started_ns: Unix time in nanoseconds.
        duration_s: seconds from the start to the end.
        error: the exception that made the outcome; None again after `release`.
        request_id, trace_id, span_id: lower-case hex or text; empty where none was assigned.
        sampled: whether the trace is recorded; None without tracing.
        random_trace: whether the trace id is random, as far as the caller says.
        span: the span, or None.
        fields: business fields for the log line, bound by the application.
        operation, failure: the operation, and why it failed, where the application has said so. Both come from closed
            sets (`divan_obs_asgi.operation`, `divan_obs_asgi.fail`).
        housekeeping, waits: see `RequestRecord`.
        waited: what it has waited for, and how long; None where that is not measured.
        waited_s: the seconds of each cause, which add up to `duration_s`; set at the end of a slow or failed request.
        held: lines of frameworks about failures, in order. At the end those are written that the record's own line
            does not repeat.
        is_reported: whether the record's own line has logged `error`.
        debug: whether all of its lines and its trace are written (OBS_DEBUG_KEY).
        watcher: is shown the calls and lines of this record; None where nobody wants them.
        trail: what the watcher keeps of them.
        log_rate, kept_lines, late_lines: the sampling decision, the flight recorder's lines, and the number of lines
            logged after the end.
    """

    kind: ConnectionKind
    method: str
    # Most records leave most of these as they are; a class attribute costs nothing per record.
    status = 0
    close_code: int | None = None
    hang_up: OSError | None = None
    outcome: Outcome | None = None
    duration_s = 0.0
    error: BaseException | None = None
    request_id = ""
    trace_id = ""
    span_id = ""
    sampled: bool | None = None
    random_trace = True
    span: Any = None
    fields: dict[str, object] | None = None
    operation = ""
    failure = ""
    housekeeping = False
    waits = False
    waited: WaitTimes | None = None
    waited_s: dict[Cause, float] | None = None
    held: list[HeldLine] | None = None
    is_reported = False
    debug = False
    watcher: RecordWatcher | None = None
    trail: Any = None
    log_rate: float | None = None
    kept_lines: Any = None
    late_lines = 0

    # Seconds, monotonic. A built-in function is not bound when it is read from an instance.
    _clock: Callable[[], float] = perf_counter
    _finishers: dict[str, Callable[[Self], object]]
    # Those with which an event begins, the inner ones first; empty when it has a dictionary of its own.
    _shared_finishers: tuple[tuple[str, Callable[[Self], object]], ...] = ()

    def __init__(self) -> None:
        self._started = self._clock()
        self.started_ns = time_ns()

    # A child that sets these assigns attributes; one that computes them has properties.

    @property
    def route(self) -> str:
        """The route template (`/users/{id}`), or the namespace and the event (`/chat say`)."""
        return UNMATCHED

    @property
    def details(self) -> dict[str, object] | None:
        """More fields of the log line. The library sets them; they never hold what a client has sent."""
        return None

    @property
    def hidden(self) -> tuple[str, ...]:
        """Ids that are credentials; no log line of this record shows them."""
        return ()

    @property
    def operations(self) -> OperationNames:
        """The closed sets that `divan_obs_asgi.operation` and `fail` choose from."""
        raise NotImplementedError

    def add_detail(self, name: str, value: object) -> None:
        """Add a field to `details`."""
        raise NotImplementedError

    @property
    def trace_flags(self) -> int:
        """`sampled` and `random_trace`, as W3C Trace Context encodes them."""
        return (_SAMPLED if self.sampled else 0) | (_RANDOM if self.random_trace else 0)

    @property
    def lingers(self) -> bool:
        """Whether it may last for any time without being slow."""
        return self.waits

    def bind(self, **fields: object) -> None:
        """Add business fields to the log line."""
        if self.fields is None:
            self.fields = fields
        else:
            self.fields.update(fields)

    def route_so_far(self) -> str:
        """Return the route as far as it is known before the end."""
        return self.route

    # Finishers.

    def add_finisher(self, component: str, finisher: Callable[[Self], object]) -> bool:
        """
        Have `finisher` called once at the end. A component has one finisher: the first one, which is the outermost.

        Returns:
            whether this finisher will be called.
        """
        return self._finishers.setdefault(component, finisher) is finisher

    def call_finishers(self: Self, faults: InternalErrors) -> None:
        """Call every finisher, the inner ones first. One that raises is reported, and the others are called."""
        finishers: Iterable[tuple[str, Callable[[Self], object]]] = self._shared_finishers
        if not finishers:
            # A copy: a thread of the application may add a finisher now.
            finishers = reversed(tuple(self._finishers.items()))
        for component, finisher in finishers:
            try:
                finisher(self)
            except BaseException as error:
                if is_exit(error):
                    raise
                faults.report(component, error)

    def release(self) -> None:
        """
        Let go of everything that may hold the record; called when the call of the application has ended.

        The traceback of an exception holds frames that hold the record. Only the garbage collector frees such a cycle.
        """
        self._finishers.clear()
        if self.error is not None:
            self.error = None

    # Lines of frameworks about failures.

    def hold(self, line: HeldLine) -> None:
        """Hold a framework's line until the end; may be called in any thread."""
        held: list[HeldLine] = vars(self).setdefault("held", [])
        held.append(line)
        if self.outcome is not None:
            # Another thread has just finished the record.
            self.write_held()

    def write_held(self, until: float = math.inf) -> None:
        """Write the lines that are held since before `until`, each once."""
        # A copy: another thread may remove lines.
        for line in tuple(self.held or ()):
            if line.since < until and self.take_held(line):
                line.write()

    def take_held(self, line: HeldLine) -> bool:
        """Remove a held line; return whether it was still held."""
        try:
            (self.held or []).remove(line)
        except ValueError:
            return False
        return True


__all__ = ["CONTEXT_KEY", "RECORD_KEY", "HeldLine", "OperationNames", "Record", "RecordWatcher", "current_record"]

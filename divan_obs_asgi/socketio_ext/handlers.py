"""What surrounds each call of a handler: its record, its span, its series and its line."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from socketio.exceptions import ConnectionRefusedError as Refused

from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.observability.taps import Tap
from divan_obs_asgi.socketio_ext.hooks import leaving_for
from divan_obs_asgi.socketio_ext.names import UNKNOWN, Names
from divan_obs_asgi.socketio_ext.record import EventRecord
from divan_obs_asgi.socketio_ext.watch import COMPONENT, Watch, label_of
from divan_obs_asgi.types import Outcome

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from divan_obs_asgi.tracing.spans.event import EventSpans


# The call of a connect handler that python-socketio repeats with another number of arguments.
_repeated: ContextVar[EventRecord | None] = ContextVar("divan_obs_asgi.socketio_repeated", default=None)


class Calls:
    """Begins and ends the records of one server's calls; never raises."""

    def __init__(self, server: Any, watch: Watch, names: Names, obs: Observability) -> None:
        self._server = server
        self._obs = obs
        self._watch = watch
        self._names = names
        self._faults = obs.faults
        policy = obs.metrics.counting(obs.redaction, "span")
        self._spans: EventSpans | None = None
        if obs.spans is not None:
            from divan_obs_asgi.tracing.spans.event import event_spans

            self._spans = event_spans(obs.spans, policy)
        self._leave = self._spans.leave if self._spans is not None else nothing
        self._handlings = watch.handlings
        self._log = obs.log.access if obs.settings.logs.access_enabled else None
        self._tells = self._spans is not None or self._log is not None
        # How often tasks were cancelled that go on all the same, and whether there are any: nearly never.
        self._cancellations: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._are_cancelled = False
        self._taps: tuple[Tap, ...] = ()
        obs.taps.join(self)

    def use_taps(self, taps: tuple[Tap, ...]) -> None:
        """Have these listen, in place of those that did."""
        self._taps = taps
        self._tells = bool(taps) or self._spans is not None or self._log is not None
        # The instance's own attribute goes before its class's method.
        if taps:
            self._tell = self._tell_taps_too  # type: ignore[method-assign]
        else:
            vars(self).pop("_tell", None)

    def _tell_taps_too(self, record: EventRecord) -> None:
        Calls._tell(self, record)
        for tap in self._taps:
            tap.event_ended(record)

    def begin(self, event: Any, namespace: str, args: tuple[Any, ...]) -> EventRecord | None:
        """Start the record of a call, and make it the current one."""
        try:
            try:
                handling = self._handlings[namespace, event]
            except (KeyError, TypeError):  # An event's name is what the client's JSON says: a list, too.
                handling = self._watch.handling(namespace, event)
            record = EventRecord(handling, self._server, namespace, args, self._obs)
            if not handling.plain:
                record.called = self._is_handled(record, event, namespace, args)
                record = self._same_connect(record)
            if self._spans is not None and record.called:
                record.outside = self._spans.begin(record) if record.span is None else self._spans.resume(record)
        except Exception as error:
            self._faults.report(COMPONENT, error)
            return None
        # What this task has inherited belongs to the handshake.
        current_record.set(record)
        return record

    def _is_handled(self, record: EventRecord, event: Any, namespace: str, args: tuple[Any, ...]) -> bool:
        if event in ("connect", "disconnect"):
            self._handshake(record, event, namespace, args)
        if record.handling.event is UNKNOWN or record.handshake_event:
            return self._names.handled(namespace, event)
        return True

    def is_repeated(self, record: EventRecord, error: Exception) -> bool:
        """
        Tell whether python-socketio calls the handler again after `error`, and leave the record to that call.

        Without data of the client's it tries both signatures that a connect handler may have; a decorator hides which
        one it is, so that a TypeError of either call says nothing yet.
        """
        if not isinstance(error, TypeError) or not may_be_repeated(record) or record.first_error is not None:
            return False
        record.first_error = error
        _repeated.set(record)
        current_record.set(record.around)
        if record.outside is not None:
            self._leave(record.outside)
        return True

    def _same_connect(self, record: EventRecord) -> EventRecord:
        """Return the record of the first call where this is the second for the same connect."""
        first = _repeated.get()
        if first is None:
            return record
        _repeated.set(None)
        return first if may_be_repeated(record) and first.sid == record.sid else record

    def end(self, record: EventRecord, error: BaseException | None, result: object = None) -> None:
        """Tell everybody how the call ended; the clock of one that raised was stopped at once."""
        if error is None:
            record.stop()
        current_record.set(record.around)
        handling = record.handling
        try:
            if record.handshake_event:
                self._count_handshake(record, error, result)
            else:
                handling.events += 1
            if record.called:
                handling.took(record)
                # Whoever returned something was not cancelled.
                outcome: Outcome = "ok" if result is not None else self._outcome(record, error)
                record.outcome = "error" if record.failure and outcome == "ok" else outcome
                if self._tells or record.has_finishers:
                    self._tell(record)
        except Exception as fault:
            self._faults.report(COMPONENT, fault)
        finally:
            if record.outside is not None:
                self._leave(record.outside)
            record.release()

    def _tell(self, record: EventRecord) -> None:
        if record.has_finishers:
            record.call_finishers(self._faults)
        if self._log is not None:
            self._log(record)
        if self._spans is not None:
            self._spans.finish(record)

    def _outcome(self, record: EventRecord, error: BaseException | None) -> Outcome:
        if error is None or is_refusal(record, error):
            return "cancelled" if self._was_cancelled() else "ok"
        record.error = error
        if not isinstance(error, Exception):
            return "cancelled"
        self._watch.failed(record.handling, error)
        return "error"

    def _was_cancelled(self) -> bool:
        """Tell whether this task was cancelled since it was last asked: python-socketio swallows it."""
        task = asyncio.current_task()
        if task is None:
            return False
        times = task.cancelling()
        if not times and not self._are_cancelled:
            return False
        before = self._cancellations.pop(task, 0)
        if times:
            self._cancellations[task] = times
        self._are_cancelled = bool(self._cancellations)
        return times > before

    def _handshake(self, record: EventRecord, event: str, namespace: str, args: tuple[Any, ...]) -> None:
        """Tell the connect and disconnect of python-socketio from an event that a client has called so."""
        if event == "disconnect":
            if not self._server.manager.is_connected(args[0], namespace):
                record.handshake_event = event
        elif len(args) > 1 and isinstance(args[1], dict) and args[1] is self._server.get_environ(args[0], namespace):
            record.handshake_event = event
            # The environ is no payload.
            record.args = (args[0], *args[2:])

    def _count_handshake(self, record: EventRecord, error: BaseException | None, result: object) -> None:
        if record.handshake_event == "disconnect":
            # Not told before python-socketio 5.12.
            reason = label_of(record.payload[0] if record.payload else leaving_for.get())
            self._watch.disconnect(record.space, reason)
            record.args = record.args[:1]
            record.add_detail("reason", reason)
            return
        refused = is_refusal(record, error) if error is not None else result is False
        outcome = "refused" if refused else "accepted" if error is None else "error"
        self._watch.connect(record.space, outcome)
        record.add_detail("connect", outcome)


def nothing(outside: Context) -> None:
    """Leave no span: there is none."""


def is_refusal(record: EventRecord, error: BaseException) -> bool:
    """Tell whether python-socketio takes an exception of a connect handler for a refusal."""
    return record.handshake_event == "connect" and isinstance(error, (Refused, ConnectionRefusedError))


def may_be_repeated(record: EventRecord) -> bool:
    """Tell whether a call is one of a connect handler without data of the client's."""
    return record.called and record.handshake_event == "connect" and all(auth is None for auth in record.payload)


def is_signature(error: BaseException) -> bool:
    """Tell whether a handler does not take the arguments that python-socketio has called it with."""
    step = error.__traceback__
    if not isinstance(error, TypeError) or step is None:
        return False
    while step.tb_next is not None:
        step = step.tb_next
    return str(step.tb_frame.f_globals.get("__name__", "")).startswith("socketio.")


__all__ = ["Calls", "is_refusal", "is_signature"]

"""Makes a record of each call of a handler, and calls its sinks at the end: metrics, log line, span."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from socketio.exceptions import ConnectionRefusedError as Refused

from divan_obs_asgi.connection.event import EventRecord, Handshake
from divan_obs_asgi.connection.record import OperationNames, current_record
from divan_obs_asgi.internal_errors import is_exit
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.socketio_ext.hooks import HANDSHAKE_KEY, leaving_for
from divan_obs_asgi.socketio_ext.names import UNKNOWN, Names
from divan_obs_asgi.socketio_ext.server_metrics import COMPONENT, ServerMetrics, label_of
from divan_obs_asgi.types import Outcome

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from divan_obs_asgi.tracing.spans.event import EventSpans


# The first call of a connect handler that python-socketio calls again with another number of arguments.
_repeated: ContextVar[EventRecord | None] = ContextVar("divan_obs_asgi.socketio_repeated", default=None)


class HandlerCalls:
    """
    Begins and ends the records of one server's handler calls; never raises.

    Attributes:
        operations: what `divan_obs_asgi.operation` and `fail` may say.
        new_request_id: makes the id of an event.
    """

    def __init__(self, server: Any, watch: ServerMetrics, names: Names, obs: Observability) -> None:
        self._server = server
        self._watch = watch
        self._names = names
        self._faults = obs.faults
        self.operations: OperationNames = obs.operations
        self.new_request_id = obs.new_request_id
        # The library's own, the inner ones first. An event has no stack whose middlewares could add them.
        sinks: list[tuple[str, Callable[[EventRecord], object]]] = []
        if obs.settings.logs.access_enabled:
            sinks.append(("access_log", obs.log.access))
        self._spans: EventSpans | None = None
        if obs.spans is not None:
            from divan_obs_asgi.tracing.spans.event import event_spans

            self._spans = event_spans(obs.spans, obs.metrics.counting(obs.redaction, "span"))
            sinks.append(("tracing", self._spans.finish))
        self._leave = self._spans.leave if self._spans is not None else _leave_no_span
        watch.event_sinks = tuple(sinks)
        self._series = watch.handlers
        # Counts how often tasks were cancelled that run on all the same, which is rare.
        self._cancellations: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._are_cancelled = False
        self._observers = obs.observers

    def begin(self, event: Any, namespace: str, args: tuple[Any, ...]) -> EventRecord | None:
        """Start the record of a call, and make it the current one."""
        try:
            try:
                handler = self._series[namespace, event]
            except (KeyError, TypeError):  # A client may send any JSON as the name of an event, also a list.
                handler = self._watch.handler(namespace, event)
            record = EventRecord(handler, self, namespace, args)
            first = None
            if not handler.plain:
                record.called = self._is_handled(record, event, namespace, args)
                first = self._first_call_of(record)
            if first is not None:
                record = first
            if self._spans is not None and record.called:
                record.outer_context = self._spans.begin(record) if record.span is None else self._spans.resume(record)
        except Exception as error:
            self._faults.report(COMPONENT, error)
            return None
        # This task has inherited the record of the handshake.
        current_record.set(record)
        if self._observers.of_events and record.called and first is None:
            self._observe(record)
        return record

    def _observe(self, record: EventRecord) -> None:
        for reference in self._observers.of_events:
            observer = reference()
            if observer is None:
                continue
            try:
                observer.observe_event(record)
            except BaseException as error:
                if is_exit(error):
                    raise
                self._faults.report(observer.component, error)

    def _is_handled(self, record: EventRecord, event: Any, namespace: str, args: tuple[Any, ...]) -> bool:
        if event in ("connect", "disconnect"):
            self._mark_handshake(record, event, namespace, args)
        if record.event is UNKNOWN or record.handshake_event:
            return self._names.handled(namespace, event)
        return True

    def is_repeated(self, record: EventRecord, error: Exception) -> bool:
        """
        Return whether python-socketio calls the handler again after `error`; then the second call uses this record.

        A connect handler may take the client's data or not. Where the client has sent none, python-socketio tries both
        signatures. A decorator hides which one it is, so that a TypeError of the first call may not be the handler's.
        """
        if not isinstance(error, TypeError) or not may_be_repeated(record) or record.first_error is not None:
            return False
        record.first_error = error
        _repeated.set(record)
        current_record.set(record.outer_record)
        if record.outer_context is not None:
            self._leave(record.outer_context)
        return True

    def _first_call_of(self, record: EventRecord) -> EventRecord | None:
        """Return the record of the first call where this is the second call for the same connect."""
        first = _repeated.get()
        if first is None:
            return None
        _repeated.set(None)
        return first if may_be_repeated(record) and first.sid == record.sid else None

    def end(self, record: EventRecord, error: BaseException | None, result: object = None) -> None:
        """Finish the record. The clock of a call that raised was stopped before."""
        if error is None:
            record.stop()
        current_record.set(record.outer_record)
        try:
            if record.handshake_event:
                self._count_handshake(record, error, result)
            else:
                record.handler.events += 1
            if not record.called and not record.handshake_event:
                self._watch.refusals.refuse("no_handler")
            if record.called:
                # A handler that has returned something was not cancelled.
                outcome: Outcome = "ok" if result is not None else self._outcome(record, error)
                record.outcome = "error" if record.failure and outcome == "ok" else outcome
                record.call_finishers(self._faults)
        except Exception as fault:
            self._faults.report(COMPONENT, fault)
        finally:
            if record.outer_context is not None:
                self._leave(record.outer_context)
            record.release()

    def _outcome(self, record: EventRecord, error: BaseException | None) -> Outcome:
        if error is None or is_refusal(record, error):
            return "cancelled" if self._was_cancelled() else "ok"
        record.error = error
        if not isinstance(error, Exception):
            return "cancelled"
        self._watch.failed(record.handler, error)
        return "error"

    def _was_cancelled(self) -> bool:
        """Return whether this task was cancelled since the last call: python-socketio swallows the exception."""
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

    def _mark_handshake(self, record: EventRecord, event: str, namespace: str, args: tuple[Any, ...]) -> None:
        """Mark python-socketio's own connect and disconnect; a client may send events of these names."""
        if event == "disconnect":
            if not self._server.manager.is_connected(args[0], namespace):
                record.handshake_event = event
        elif len(args) > 1 and isinstance(args[1], dict) and args[1] is self._server.get_environ(args[0], namespace):
            record.handshake_event = event
            # The environ is not a payload.
            record.args = (args[0], *args[2:])

    def _count_handshake(self, record: EventRecord, error: BaseException | None, result: object) -> None:
        if record.handshake_event == "disconnect":
            # python-socketio passes the reason since 5.12.
            reason = label_of(record.payload[0] if record.payload else leaving_for.get())
            self._watch.disconnect(record.space, reason)
            record.args = record.args[:1]
            record.add_detail("reason", reason)
            return
        refused = is_refusal(record, error) if error is not None else result is False
        outcome = "refused" if refused else "accepted" if error is None else "error"
        self._watch.connect(record.space, outcome)
        record.add_detail("connect", outcome)

    # What a record asks.

    def session_ids(self, record: EventRecord) -> tuple[str, ...]:
        """Return the ids of the client's sessions, with which their holder can act as the client."""
        try:
            eio_sid = self._server.manager.eio_sid_from_sid(record.sid, record.space)
        except Exception:
            eio_sid = None
        return tuple(sid for sid in (record.sid, eio_sid) if isinstance(sid, str) and sid)

    def handshake(self, record: EventRecord) -> Handshake | None:
        """Return the ids of the request by which the client has connected, where it came through the stack."""
        environ = self._server.get_environ(record.sid, record.space)
        return environ.get(HANDSHAKE_KEY) if environ is not None else None


def _leave_no_span(context: Context) -> None:
    """Without tracing there is no span to leave."""


def is_refusal(record: EventRecord, error: BaseException) -> bool:
    """Return whether python-socketio treats an exception of a connect handler as a refusal."""
    return record.handshake_event == "connect" and isinstance(error, (Refused, ConnectionRefusedError))


def may_be_repeated(record: EventRecord) -> bool:
    """Return whether this is a call of a connect handler without data of the client."""
    return record.called and record.handshake_event == "connect" and all(auth is None for auth in record.payload)


def is_signature(error: BaseException) -> bool:
    """Return whether a handler does not take the arguments with which python-socketio has called it."""
    step = error.__traceback__
    if not isinstance(error, TypeError) or step is None:
        return False
    while step.tb_next is not None:
        step = step.tb_next
    return str(step.tb_frame.f_globals.get("__name__", "")).startswith("socketio.")


__all__ = ["HandlerCalls", "is_refusal", "is_signature"]

"""Sends the trace of an emit to other processes, and to the clients that ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from divan_obs_asgi.clients.description import Description
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.names import class_name
from divan_obs_asgi.observability import Observability

# The key in a message between processes; python-socketio's own managers ignore it.
MESSAGE_KEY = "traceparent"
# A client asks for traces in the query of its handshake: `?divan_traces=1`.
QUERY_KEY = "divan_traces"
# Such a client gets one more argument, the last one: {"$trace": {"traceparent": "00-..."}}.
CLIENT_KEY = "$trace"
_NO_SPAN = nullcontext()
# The name of the span of an operation.
_NAMES = {"send": "socketio emit", "deliver": "socketio deliver"}
# Descriptions that are kept, and characters of an event in one.
_DESCRIBED, _LONGEST_EVENT = 256, 256


class Traces:
    """
    Writes and reads the trace in messages; made only where tracing is on.

    Attributes:
        makes_spans: whether an emit, and its delivery in another process, are spans.
    """

    def __init__(self, obs: Observability) -> None:
        from divan_obs_asgi.tracing.propagation.pubsub import current_traceparent, use_traceparent
        from divan_obs_asgi.tracing.spans.unrecorded import is_own_unrecorded

        self._is_unrecorded = is_own_unrecorded
        self._use_traceparent = use_traceparent
        self._current_traceparent = current_traceparent
        self.makes_spans = obs.settings.socketio.emit_spans
        self._work = obs.work
        # Applications name few events; those of another process are as few.
        self._described = lru_cache(_DESCRIBED)(self._describe)
        self._sends_to_clients = obs.settings.socketio.client_traces
        self._asking: set[str] = set()

    def emitting(self, event: str, namespace: str) -> AbstractContextManager[object]:
        """Return a span of the current trace for an emit; by flag, and where that trace is recorded."""
        if not self.makes_spans or self._is_unrecorded():
            return _NO_SPAN
        return self._span("send", event, namespace)

    def _span(self, operation: str, event: object, namespace: str) -> AbstractContextManager[object]:
        # Another process may send anything.
        name = event[:_LONGEST_EVENT] if isinstance(event, str) else class_name(type(event))
        return self._work.described(self._described(operation, name, namespace))

    def _describe(self, operation: str, event: str, namespace: str) -> Description:
        # Semantic conventions, "Messaging spans".
        attributes = {
            "socketio.event": event,
            "socketio.namespace": namespace,
            "messaging.system": "socketio",
            "messaging.operation.name": operation,
            "messaging.operation.type": "send",
        }
        return self._work.describe(_NAMES[operation], **attributes)

    # Between processes.

    def send_along(self, message: dict[str, Any]) -> None:
        """Add the current trace to a message of this process."""
        trace = self._current_traceparent()
        if trace:
            message[MESSAGE_KEY] = trace

    @contextmanager
    def delivering(self, message: Mapping[str, Any], namespace: str) -> Iterator[None]:
        """Deliver a message of another process in the trace of that process; by flag, in a span of that trace."""
        # The listening task has inherited the record of the first client's request.
        around = current_record.get()
        current_record.set(None)
        try:
            with (
                self._use_traceparent(message.get(MESSAGE_KEY)),
                self._span("deliver", message.get("event"), namespace) if self.makes_spans else _NO_SPAN,
            ):
                yield
        finally:
            current_record.set(around)

    # To clients.

    def opened(self, eio_sid: str, environ: Mapping[str, Any]) -> None:
        """Note whether a connection asks for traces."""
        query = environ.get("QUERY_STRING", "") if self._sends_to_clients else ""
        if QUERY_KEY in query and parse_qs(query).get(QUERY_KEY) == ["1"]:
            self._asking.add(eio_sid)

    def closed(self, eio_sid: str) -> None:
        self._asking.discard(eio_sid)

    def reconcile(self, sockets: Mapping[str, Any]) -> None:
        """Forget connections whose end was not reported."""
        self._asking.intersection_update(list(sockets))

    def for_clients(self, manager: Any, namespace: str, room: Any, skip_sid: Any) -> tuple[list[str], dict[str, Any]]:
        """Return the clients of an emit that asked for its trace, and the argument for them."""
        trace = self._current_traceparent() if self._asking else ""
        if not trace:
            return [], {}
        members = manager.rooms.get(namespace, {})
        rooms = [members[name] for name in (room if isinstance(room, (list, tuple)) else [room]) if name in members]
        skipped = as_list(skip_sid)
        sids = [manager.sid_from_eio_sid(eio_sid, namespace) for eio_sid in tuple(self._asking)]
        tracing = [sid for sid in sids if sid not in skipped and any(sid in room for room in rooms)]
        return tracing, {CLIENT_KEY: {"traceparent": trace}}


def as_list(skip_sid: Any) -> list[Any]:
    """Return the clients that an emit leaves out, as a list."""
    return skip_sid if isinstance(skip_sid, list) else [] if skip_sid is None else [skip_sid]


__all__ = ["CLIENT_KEY", "MESSAGE_KEY", "QUERY_KEY", "Traces", "as_list"]

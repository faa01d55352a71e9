"""The trace of an emit, on its way to another process and to the clients that ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from urllib.parse import parse_qs

from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.observability import Observability

# Where it stands in a message between processes; python-socketio's own managers do not look at it.
MESSAGE_KEY = "traceparent"
# A client asks for it in the query of its handshake: `?divan_traces=1`.
ASKING = "divan_traces"
# What is sent to it has one more argument, at the end: {"$trace": {"traceparent": "00-..."}}.
CLIENT_KEY = "$trace"
# Semantic conventions, "Messaging spans".
_SEND = {"messaging.system": "socketio", "messaging.operation.name": "send", "messaging.operation.type": "send"}
_DELIVER = {**_SEND, "messaging.operation.name": "deliver"}


class Traces:
    """
    Writes and reads where traces travel; only made where tracing is on.

    Attributes:
        makes_spans: whether an emit is a span, and what comes of it in another process, too.
    """

    def __init__(self, obs: Observability) -> None:
        from divan_obs_asgi.tracing.propagation.pubsub import current_traceparent, use_traceparent

        self._use_traceparent = use_traceparent
        self._current_traceparent = current_traceparent
        self.makes_spans = obs.settings.socketio.emit_spans
        self._span = obs.work.span
        self._tells_clients = obs.settings.socketio.client_traces
        self._asked: set[str] = set()

    def emitting(self, event: str, namespace: str) -> AbstractContextManager[object]:
        """Return a span of the current trace for an emit."""
        return self._span("socketio emit", **_named(event, namespace), **_SEND)

    # Between processes.

    def send_along(self, message: dict[str, Any]) -> None:
        """Have a message of this process tell the current trace."""
        trace = self._current_traceparent()
        if trace:
            message[MESSAGE_KEY] = trace

    @contextmanager
    def delivering(self, message: Mapping[str, Any], namespace: str) -> Iterator[None]:
        """Have what comes of another process' message belong to that one's trace, and be a span of it by flag."""
        # The task that listens has inherited what was current when the first client connected.
        around = current_record.get()
        current_record.set(None)
        try:
            with self._use_traceparent(message.get(MESSAGE_KEY)):
                named = _named(message.get("event"), namespace)
                with self._span("socketio deliver", **named, **_DELIVER) if self.makes_spans else nullcontext():
                    yield
        finally:
            current_record.set(around)

    # To clients.

    def opened(self, eio_sid: str, environ: Mapping[str, Any]) -> None:
        """Note whether a connection asks for traces."""
        query = environ.get("QUERY_STRING", "") if self._tells_clients else ""
        if ASKING in query and parse_qs(query).get(ASKING) == ["1"]:
            self._asked.add(eio_sid)

    def closed(self, eio_sid: str) -> None:
        self._asked.discard(eio_sid)

    def reconcile(self, sockets: Mapping[str, Any]) -> None:
        """Forget those whose end nobody has told."""
        self._asked.intersection_update(list(sockets))

    def for_clients(self, manager: Any, namespace: str, room: Any, skip_sid: Any) -> tuple[list[str], dict[str, Any]]:
        """Return which clients of those whom an emit reaches are told its trace, and what they are told."""
        trace = self._current_traceparent() if self._asked else ""
        if not trace:
            return [], {}
        members = manager.rooms.get(namespace, {})
        rooms = [members[name] for name in (room if isinstance(room, (list, tuple)) else [room]) if name in members]
        skipped = as_list(skip_sid)
        asked = [manager.sid_from_eio_sid(eio_sid, namespace) for eio_sid in tuple(self._asked)]
        told = [sid for sid in asked if sid not in skipped and any(sid in room for room in rooms)]
        return told, {CLIENT_KEY: {"traceparent": trace}}


def as_list(skip_sid: Any) -> list[Any]:
    """Return whom an emit leaves out, as python-socketio takes it: one, several or nobody."""
    return skip_sid if isinstance(skip_sid, list) else [] if skip_sid is None else [skip_sid]


def _named(event: object, namespace: str) -> dict[str, object]:
    return {"socketio.event": event, "socketio.namespace": namespace}


__all__ = ["ASKING", "CLIENT_KEY", "MESSAGE_KEY", "Traces", "as_list"]

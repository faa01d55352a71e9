"""The record of one call of a Socket.IO handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

from divan_obs_asgi.connection.record import OperationNames, Record, current_record

# Arguments whose shape is in the log line.
_MAX_SHAPES = 10


class Handshake(NamedTuple):
    """The ids of the request by which a client has connected. The request's record is many times larger."""

    trace_id: str
    span_id: str
    trace_flags: int


class EventHandler(Protocol):
    """
    A handler of events: its labels and its series (`socketio_ext.series`).

    Attributes:
        events: how many of its events were counted.
        finishers: the finishers with which every call of it begins, by component, the inner ones first. Most calls add
            none and share these.
    """

    events: int
    finishers: tuple[tuple[str, Callable[[EventRecord], object]], ...]

    @property
    def namespace(self) -> str: ...

    @property
    def event(self) -> str: ...

    @property
    def route(self) -> str: ...


class EventSource(Protocol):
    """What the records of a server's events need of it."""

    @property
    def operations(self) -> OperationNames: ...

    def new_request_id(self) -> str: ...

    def session_ids(self, record: EventRecord) -> tuple[str, ...]:
        """Return the ids of the client's sessions, with which their holder can act as the client."""

    def handshake(self, record: EventRecord) -> Handshake | None:
        """Return the ids of the request by which the client has connected, where it came through the stack."""


class EventRecord(Record):
    """
    One call of a Socket.IO handler.

    While the handler runs, every log line and span carries the ids of this record.

    Attributes:
        handler: the labels and series of the handler.
        route: the namespace and the event, as labels: `/chat say`.
        namespace, event: as labels: the names for which handlers are registered, else `__unknown__`.
        called: whether there is a handler.
        handshake_event: "connect" or "disconnect" where python-socketio calls that handler; "" for an event of a client
            that has the same name.
        space: the namespace as the client names it.
        args: the client's sid, and the arguments that it has sent.
        details: namespace, event, and the shape of each argument, never its value.
        first_error: what the first call of a connect handler has raised, where python-socketio has called it again.
        outer_record: the record that was current before.
        outer_context: OpenTelemetry's context that was current before; None where there is no span.
        ids: those of trace and span as numbers; `trace_id` and `span_id` make text of them on demand.
    """

    kind = "event"
    method = "EVENT"
    called = True
    handshake_event = ""
    outer_context: Any = None
    first_error: Exception | None = None
    ids: tuple[int, int] | None = None
    _more_details: dict[str, object] | None = None
    _id = _trace_id = _span_id = ""

    def __init__(self, handler: EventHandler, source: EventSource, space: str, args: tuple[Any, ...]) -> None:
        Record.__init__(self)
        self._shared_finishers = handler.finishers
        self.handler = handler
        self._source = source
        self.space = space
        self.args = args
        self.outer_record = current_record.get()

    @property
    def sid(self) -> str:
        sid: str = self.args[0]
        return sid

    @property
    def payload(self) -> tuple[Any, ...]:
        """The arguments that the client has sent."""
        return self.args[1:]

    @property
    def route(self) -> str:
        return self.handler.route

    @property
    def namespace(self) -> str:
        return self.handler.namespace

    @property
    def event(self) -> str:
        return self.handler.event

    @property
    def request_id(self) -> str:
        """Made on demand: most events are neither logged nor traced."""
        if not self._id:
            self._id = self._source.new_request_id()
        return self._id

    @request_id.setter
    def request_id(self, request_id: str) -> None:
        self._id = request_id

    @property
    def trace_id(self) -> str:
        if not self._trace_id and self.ids is not None:
            self._trace_id = self.ids[0].to_bytes(16).hex()
        return self._trace_id

    @trace_id.setter
    def trace_id(self, trace_id: str) -> None:
        self._trace_id = trace_id

    @property
    def span_id(self) -> str:
        if not self._span_id and self.ids is not None:
            self._span_id = self.ids[1].to_bytes(8).hex()
        return self._span_id

    @span_id.setter
    def span_id(self, span_id: str) -> None:
        self._span_id = span_id

    @property
    def details(self) -> dict[str, object]:
        return {
            "namespace": self.namespace,
            "event": self.event,
            "payload_shape": self.payload_shape,
            **(self._more_details or {}),
        }

    @property
    def payload_shape(self) -> list[str]:
        """The kind and size of each argument: `["object:3", "string:120"]`."""
        return [shape_of(argument) for argument in self.payload[:_MAX_SHAPES]]

    @property
    def hidden(self) -> tuple[str, ...]:
        return self._source.session_ids(self)

    @property
    def operations(self) -> OperationNames:
        return self._source.operations

    def add_detail(self, name: str, value: object) -> None:
        self._more_details = {**(self._more_details or {}), name: value}

    def handshake(self) -> Handshake | None:
        """Return the ids of the request by which the client has connected, where it came through the stack."""
        return self._source.handshake(self)

    def stop(self) -> None:
        """Stop the clock."""
        self.duration_s = self._clock() - self._started

    def add_finisher(self, component: str, finisher: Callable[[Self], object]) -> bool:
        if self._shared_finishers:
            self._finishers, self._shared_finishers = dict(reversed(self._shared_finishers)), ()
        return super().add_finisher(component, finisher)

    def release(self) -> None:
        if self.error is not None:
            self.error = None
        if self.first_error is not None:
            self.first_error = None
        if not self._shared_finishers:
            self._finishers.clear()


def shape_of(argument: object) -> str:
    """Return the kind and the size of an argument: `object:3`, `string:120`, `binary:20480`."""
    if isinstance(argument, str):
        return f"string:{len(argument)}"
    if isinstance(argument, (bytes, bytearray)):
        return f"binary:{len(argument)}"
    if isinstance(argument, dict):
        return f"object:{len(argument)}"
    if isinstance(argument, (list, tuple)):
        return f"array:{len(argument)}"
    if argument is None or isinstance(argument, bool):
        return "null" if argument is None else "boolean"
    # MessagePack has more types than JSON.
    return "number" if isinstance(argument, (int, float)) else "other"


__all__ = ["EventHandler", "EventRecord", "EventSource", "Handshake", "shape_of"]

"""One call of a handler of a Socket.IO event, as a record: its clock, its ids, and how it ended."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from divan_obs_asgi.connection.record import Finisher, RequestRecord, current_record
from divan_obs_asgi.socketio_ext.series import Handling

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from divan_obs_asgi.connection.operations import Operations
    from divan_obs_asgi.observability import Observability

# Where the environ of a client has its `Handshake`.
HANDSHAKE_KEY = "divan_obs_asgi.handshake"
# Arguments whose shape a line tells.
_MAX_TOLD = 10


class Handshake(NamedTuple):
    """What is kept of the request by which a client has connected: its record, which is many times larger, goes."""

    trace_id: str
    span_id: str
    trace_flags: int


class EventRecord(RequestRecord):
    """
    What a request's record is to the logs and the spans: everything that happens inside of a handler carries its ids.

    Attributes:
        handling: the labels and series of the handler.
        namespace, event: as labels.
        called: whether there is a handler.
        handshake_event: "connect" or "disconnect" where python-socketio calls it, and not an event of a client's.
        space: the namespace, as the client calls it.
        args: the client's sid, and what it has sent.
        told: what else the line tells.
        first_error: what the first call of a connect handler has raised, where python-socketio has called it again.
        around: the record that was current before.
        outside: what of the traces was current before.
        ids: those of trace and span, as numbers; text is made of them when somebody asks.
    """

    kind = "event"
    method = "EVENT"
    called = True
    handshake_event = ""
    outside: Context | None = None
    told: dict[str, object] | None = None
    first_error: Exception | None = None
    ids: tuple[int, int] | None = None
    _id = _trace_id = _span_id = ""
    has_finishers = False

    def __init__(self, handling: Handling, server: Any, space: str, args: tuple[Any, ...], obs: Observability) -> None:
        # Not the parent's: there is no scope and nothing to send.
        self._started = perf_counter()
        self.started_ns = time_ns()
        self.handling = handling
        self._server = server
        self._obs = obs
        self.space = space
        self.args = args
        self.around = current_record.get()

    @property
    def sid(self) -> str:
        sid: str = self.args[0]
        return sid

    @property
    def payload(self) -> tuple[Any, ...]:
        """What the client has sent."""
        return self.args[1:]

    @property
    def route(self) -> str:  # type: ignore[override]
        return self.handling.route

    @property
    def namespace(self) -> str:
        return self.handling.namespace

    @property
    def event(self) -> str:
        return self.handling.event

    @property
    def request_id(self) -> str:
        """Made when somebody asks: most events are neither logged nor traced."""
        if not self._id:
            self._id = self._obs.new_request_id()
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
    def details(self) -> dict[str, object]:  # type: ignore[override]
        """What the line tells beside the request's fields: of the payload its size and shape, never itself."""
        shape = [shape_of(argument) for argument in self.payload[:_MAX_TOLD]]
        return {"namespace": self.namespace, "event": self.event, "payload_shape": shape, **(self.told or {})}

    @property
    def hidden(self) -> tuple[str, ...]:  # type: ignore[override]
        """The ids of the session, which let their holder speak for the client."""
        try:
            eio_sid = self._server.manager.eio_sid_from_sid(self.sid, self.space)
        except Exception:
            eio_sid = None
        return tuple(sid for sid in (self.sid, eio_sid) if isinstance(sid, str) and sid)

    @property
    def operations(self) -> Operations:
        return self._obs.operations

    def add_detail(self, name: str, value: object) -> None:
        self.told = {**(self.told or {}), name: value}

    def handshake(self) -> Handshake | None:
        """Return what is kept of the request by which the client has connected, where it came through the stack."""
        environ = self._server.get_environ(self.sid, self.space)
        return environ.get(HANDSHAKE_KEY) if environ is not None else None

    def route_so_far(self) -> str:
        return self.route

    def add_finisher(self, component: str, finisher: Finisher) -> bool:
        """As in the parent; few events have any."""
        if not self.has_finishers:
            self.has_finishers, self._finishers = True, {}
        return super().add_finisher(component, finisher)

    def release(self) -> None:
        """Let go of what may hold the record, when the call has ended: the frames of its exceptions do."""
        if self.error is not None:
            self.error = None
        if self.first_error is not None:
            self.first_error = None
        if self.has_finishers:
            self._finishers.clear()

    def stop(self) -> None:
        """Stop the clock."""
        self.duration_s = perf_counter() - self._started


def shape_of(argument: object) -> str:
    """Return what kind of thing an argument is, and how long: `object:3`, `string:120`, `binary:20480`."""
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
    # MessagePack has more than JSON.
    return "number" if isinstance(argument, (int, float)) else "other"


__all__ = ["HANDSHAKE_KEY", "EventRecord", "Handshake", "shape_of"]

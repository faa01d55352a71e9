"""One call of a handler of a Socket.IO event, as a record: its clock, its ids, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter, time_ns
from typing import Any

from divan_obs_asgi.faults import Faults
from divan_obs_asgi.headers import new_request_id
from divan_obs_asgi.record import RECORD_KEY, RequestRecord
from divan_obs_asgi.socketio_ext.series import Handling
from divan_obs_asgi.types import Outcome

# Arguments whose shape a line tells.
_MAX_TOLD = 10


class EventRecord(RequestRecord):
    """
    What a request's record is to the logs and the spans: everything that happens inside of a handler carries its ids.

    Attributes:
        handling: the labels and series of the handler.
        namespace, event: as labels.
        called: whether there is a handler.
        handshake_event: "connect" or "disconnect" where python-socketio calls it, and not an event of a client's.
        space: the namespace, as the client calls it.
        payload: what the client has sent.
        told: what else the line tells.
        around: the record that was current before.
        cancellations: how often this task was cancelled before.
        undo: makes what was current before current again.
    """

    kind = "event"
    method = "EVENT"
    called = True
    handshake_event = ""
    around: RequestRecord | None = None
    cancellations = 0
    undo: Callable[[], object] | None = None
    told: dict[str, object] | None = None
    _id = ""

    def __init__(self, handling: Handling, server: Any, space: str, sid: str, args: tuple[Any, ...]) -> None:
        # Not the parent's: there is no scope and nothing to send.
        self._started = perf_counter()
        self.started_ns = time_ns()
        self._finishers = {}
        self.handling = handling
        self.route = handling.route
        self.sid = sid
        self._server = server
        self.space = space
        self.payload = args

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
            self._id = new_request_id()
        return self._id

    @request_id.setter
    def request_id(self, request_id: str) -> None:
        self._id = request_id

    @property
    def details(self) -> dict[str, object]:  # type: ignore[override]
        """What the line tells beside the request's fields: of the payload its size and shape, never itself."""
        shape = [shape_of(argument) for argument in self.payload[:_MAX_TOLD]]
        return {"namespace": self.namespace, "event": self.event, "payload_shape": shape, **(self.told or {})}

    @property
    def hidden(self) -> tuple[str, ...]:  # type: ignore[override]
        """The ids of the session, which let their holder speak for the client (PITFALLS P43)."""
        try:
            eio_sid = self._server.manager.eio_sid_from_sid(self.sid, self.space)
        except Exception:
            eio_sid = None
        return tuple(sid for sid in (self.sid, eio_sid) if isinstance(sid, str) and sid)

    def handshake(self) -> RequestRecord | None:
        """Return the record of the request by which the client has connected, where it came through the stack."""
        environ = self._server.get_environ(self.sid, self.space)
        scope = environ.get("asgi.scope") if isinstance(environ, Mapping) else None
        return scope.get(RECORD_KEY) if scope is not None else None

    def route_so_far(self) -> str:
        return self.route

    def stop(self) -> None:
        """Stop the clock."""
        self.duration_s = perf_counter() - self._started

    def finish(self, outcome: Outcome, faults: Faults) -> None:
        """Say how the call ended, once."""
        self.outcome = outcome
        self.call_finishers(faults)


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
    return "null" if argument is None else "boolean" if isinstance(argument, bool) else "number"


__all__ = ["EventRecord", "shape_of"]

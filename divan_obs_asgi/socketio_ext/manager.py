"""What the manager of a server does, seen: who comes and goes, and whom an emit reaches."""

from __future__ import annotations

from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from divan_obs_asgi.socketio_ext.traces import Traces, as_list

if TYPE_CHECKING:
    from socketio import AsyncManager as Manager
    from socketio.async_pubsub_manager import AsyncPubSubManager as PubSubManager

    from divan_obs_asgi.socketio_ext.watch import Watch
else:
    Manager = PubSubManager = object

# Whom the manager admitted or began to dismiss last in this task; where that is never finished, a ghost is left.
touched: ContextVar[tuple[str, str] | None] = ContextVar("divan_obs_asgi.socketio_touched", default=None)


class ObservedManager(Manager):
    """Stands in front of a manager's class (`become`)."""

    divan_watch: Watch
    divan_traces: Traces | None = None

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:  # Since 5.18.
        sid: str | None = await super().pre_connect(eio_sid, namespace)
        if sid is not None:
            touched.set((sid, namespace))
        return sid

    async def connect(self, sid: str, namespace: str) -> str | None:
        connected: str | None = await super().connect(sid, namespace)
        if connected is not None:
            touched.set((connected, namespace))
            self.divan_watch.joined(connected, namespace)
        return connected

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        touched.set((sid, namespace))
        eio_sid: str | None = super().pre_disconnect(sid, namespace)
        self.divan_watch.left(sid, namespace)
        return eio_sid

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        super().basic_disconnect(sid, namespace, **kwargs)
        self.divan_watch.left(sid, namespace)

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """As in python-socketio, counted with those whom it reaches here."""
        namespace, room = namespace or "/", to or room
        self.divan_watch.emitted(namespace)
        options = {"callback": callback, **kwargs}
        if not self.divan_shares or kwargs.get("ignore_queue"):
            self.divan_watch.reached(namespace, self.divan_members(namespace, room, skip_sid))
            told, trace = self.divan_told(namespace, room, skip_sid)
            if told:
                arguments = data if isinstance(data, tuple) else () if data is None else (data,)
                await super().emit(event, (*arguments, trace), namespace, room=told, **options)
                skip_sid = [*as_list(skip_sid), *told]
        await super().emit(event, data, namespace, room=room, skip_sid=skip_sid, **options)

    divan_shares = False

    def divan_told(self, namespace: str, room: Any, skip_sid: Any) -> tuple[list[str], dict[str, Any]]:
        """Return which clients of those whom an emit reaches are told its trace, and what they are told."""
        if self.divan_traces is None:
            return [], {}
        try:
            return self.divan_traces.for_clients(self, namespace, room, skip_sid)
        except Exception as error:
            self.divan_watch.report(error)
            return [], {}

    def divan_members(self, namespace: str, room: Any, skip_sid: Any) -> int:
        """Return how many clients of this process an emit reaches; python-socketio says what is no room."""
        try:
            if isinstance(room, str) or not hasattr(room, "__len__"):
                members: Any = self.rooms.get(namespace, {}).get(room, ())
            else:
                members = dict(self.get_participants(namespace, room))
            return len(members) - sum(sid in members for sid in set(as_list(skip_sid)))
        except Exception:
            return 0


class ObservedPubSubManager(ObservedManager, PubSubManager):
    """The same for a manager that shares emits with other processes."""

    divan_shares = True

    # The one private method of a manager that is overridden: `emit` publishes a message that it makes itself, and those
    # of other processes come in through a task that calls nothing else.
    async def _handle_emit(self, message: dict[str, Any]) -> None:
        namespace = message.get("namespace") or "/"
        members = self.divan_members(namespace, message.get("room"), message.get("skip_sid"))
        self.divan_watch.reached(namespace, members)
        traces = self.divan_traces
        if message.get("host_id") == self.host_id:
            if traces is not None:
                traces.send_along(message)
            await self.divan_deliver(message, namespace)
            return
        self.divan_watch.heard(namespace, members)
        with traces.delivering(message, namespace) if traces is not None else nullcontext():
            await self.divan_deliver(message, namespace)

    async def divan_deliver(self, message: dict[str, Any], namespace: str) -> None:
        """Send what a message says to its clients in this process, and to those who ask its trace, too."""
        told, trace = self.divan_told(namespace, message.get("room"), message.get("skip_sid"))
        if told:
            data = with_argument(message, trace)
            await super()._handle_emit({**message, "data": data, "room": told, "skip_sid": None})
            message = {**message, "skip_sid": [*as_list(message.get("skip_sid")), *told]}
        await super()._handle_emit(message)


def with_argument(message: dict[str, Any], argument: object) -> Any:
    """Return the data of a message with one argument more."""
    data = message["data"]
    if "binary" not in message:
        # Older versions: as it was given to `emit`.
        return (*(data if isinstance(data, tuple) else () if data is None else (data,)), argument)
    if message["binary"]:
        # The arguments, and behind them what they have of binary parts.
        return [[*data[0], argument], *data[1:]]
    # None alone is no argument.
    return [*(data if data != [None] else []), argument]


__all__ = ["ObservedManager", "ObservedPubSubManager", "touched"]

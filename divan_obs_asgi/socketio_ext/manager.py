"""The client manager, observed: connects, disconnects, and the clients that an emit reaches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.socketio_ext.pubsub import AGE_KEY, NUMBER_KEY, ObservedPubSub, PubSubLosses
from divan_obs_asgi.socketio_ext.subclassing import become
from divan_obs_asgi.socketio_ext.traces import Traces, as_list

if TYPE_CHECKING:
    from socketio import AsyncManager as Manager
    from socketio.async_pubsub_manager import AsyncPubSubManager as PubSubManager

    from divan_obs_asgi.socketio_ext.server_metrics import ServerMetrics
else:
    Manager = PubSubManager = object

# The client that the manager began to connect or disconnect last in this task. Unless it finishes, a ghost remains.
touched: ContextVar[tuple[str, str] | None] = ContextVar("divan_obs_asgi.socketio_touched", default=None)


class ObservedManager(Manager):
    """The first base class of an observed manager (`become`)."""

    divan_watch: ServerMetrics
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
        """As in python-socketio; counts the emit and the clients of this process that it reaches."""
        namespace, room = namespace or "/", to or room
        self.divan_watch.emitted(namespace)
        options = {"callback": callback, **kwargs}
        if not self.divan_shares or kwargs.get("ignore_queue"):
            self.divan_watch.reached(namespace, self.divan_members(namespace, room, skip_sid))
            tracing, trace = self.divan_tracing(namespace, room, skip_sid)
            if tracing:
                arguments = data if isinstance(data, tuple) else () if data is None else (data,)
                await super().emit(event, (*arguments, trace), namespace, room=tracing, **options)
                skip_sid = [*as_list(skip_sid), *tracing]
        await super().emit(event, data, namespace, room=room, skip_sid=skip_sid, **options)

    divan_shares = False

    async def trigger_callback(self, sid: str, id: int | None, data: Any) -> None:
        """As in python-socketio, which ignores an acknowledgement that nobody waits for."""
        waiting = self.callbacks.get(sid, {})
        if id not in waiting or not callable(waiting[id]):
            self.divan_watch.refusals.refuse("unknown_ack")
            if id in waiting:
                # Number 0 is the counter of the client's acknowledgements: without it no emit can ask for another.
                return
        await super().trigger_callback(sid, id, data)

    def initialize(self) -> None:
        """As in python-socketio, in no request: the task that listens to other processes outlives the first one."""
        record = current_record.set(None)
        try:
            super().initialize()
        finally:
            current_record.reset(record)

    def divan_tracing(self, namespace: str, room: Any, skip_sid: Any) -> tuple[list[str], dict[str, Any]]:
        """Return the clients of an emit that asked for its trace, and the argument for them."""
        if self.divan_traces is None:
            return [], {}
        try:
            return self.divan_traces.for_clients(self, namespace, room, skip_sid)
        except Exception as error:
            self.divan_watch.report(error)
            return [], {}

    def divan_members(self, namespace: str, room: Any, skip_sid: Any) -> int:
        """Return how many clients of this process an emit reaches; 0 where the room is invalid."""
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
    divan_losses: PubSubLosses

    @property
    def pubsub(self) -> Any:
        """The subscription of a manager for Redis. python-socketio makes another one after each failure."""
        try:
            return vars(self)["pubsub"]
        except KeyError:
            raise AttributeError("pubsub") from None

    @pubsub.setter
    def pubsub(self, pubsub: Any) -> None:
        vars(self)["pubsub"] = pubsub
        if hasattr(pubsub, "listen") and hasattr(pubsub, "on_connect"):
            become(pubsub, ObservedPubSub)
            pubsub.divan_losses = self.divan_losses

    def divan_watch_losses(self, losses: PubSubLosses) -> None:
        """Count the losses of this manager."""
        self.divan_losses = losses
        if "pubsub" in vars(self):
            self.pubsub = vars(self)["pubsub"]

    async def _publish(self, data: dict[str, Any]) -> Any:
        """As in python-socketio, which drops a message that it cannot publish at the second attempt."""
        if data.get("method") == "emit":
            data[NUMBER_KEY] = self.divan_losses.next_number()
            data[AGE_KEY] = self.divan_losses.age_s()
        try:
            receivers = await super()._publish(data)
        except Exception:
            self.divan_losses.lost("out")
            raise
        # Redis responds with the number of subscribers; other managers return nothing.
        if receivers is None and hasattr(self, "redis"):
            self.divan_losses.lost("out")
        return receivers

    async def _listen(self) -> AsyncIterator[Any]:  # type: ignore[override]  # A generator there, too.
        """As in python-socketio, which skips what it cannot decode. Before 5.14 messages were pickled."""
        decode = self.json.loads if hasattr(self, "json") else None
        async for message in super()._listen():  # type: ignore[attr-defined]
            if decode is not None and isinstance(message, (bytes, str)):
                try:
                    message = decode(message)
                except Exception:
                    self.divan_losses.lost("in")
                    continue
            yield message

    # `emit` publishes a message that it makes itself, and the
    # task that receives the messages of other processes calls only this method.
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
        self.divan_losses.heard(message.get("host_id"), message.get(NUMBER_KEY), message.get(AGE_KEY))
        try:
            with traces.delivering(message, namespace) if traces is not None else nullcontext():
                await self.divan_deliver(message, namespace)
        except Exception:
            self.divan_losses.lost("in")
            raise

    async def divan_deliver(self, message: dict[str, Any], namespace: str) -> None:
        """Deliver a message to its clients in this process, with the trace to those that asked for it."""
        tracing, trace = self.divan_tracing(namespace, message.get("room"), message.get("skip_sid"))
        if tracing:
            data = with_argument(message, trace)
            await super()._handle_emit({**message, "data": data, "room": tracing, "skip_sid": None})
            message = {**message, "skip_sid": [*as_list(message.get("skip_sid")), *tracing]}
        await super()._handle_emit(message)


def with_argument(message: dict[str, Any], argument: object) -> Any:
    """Return the data of a message with one more argument."""
    data = message["data"]
    if "binary" not in message:
        # Older versions: as it was given to `emit`.
        return (*(data if isinstance(data, tuple) else () if data is None else (data,)), argument)
    if message["binary"]:
        # The arguments, followed by their binary parts.
        return [[*data[0], argument], *data[1:]]
    # A single None stands for no arguments.
    return [*(data if data != [None] else []), argument]


__all__ = ["ObservedManager", "ObservedPubSubManager", "touched"]

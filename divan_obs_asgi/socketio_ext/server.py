"""A Socket.IO server whose gauges cannot drift. Imported only where python-socketio is."""

from __future__ import annotations

from typing import Any

import socketio

from divan_obs_asgi.observability import Observability

UNKNOWN = "__unknown__"
_COMPONENT = "socketio"


class ObservedAsyncServer(socketio.AsyncServer):
    """
    `socketio.AsyncServer` with `divan_socketio_clients{namespace}` and `divan_socketio_events_total{namespace,event}`.

    Takes the same arguments, and `obs`. The gauge is set from the manager's own list of clients after everything
    that can change it, and not counted up and down by events: those are fired twice, or not at all, depending on
    a handler's signature and on the version (PITFALLS P47). Labels are the names that handlers were registered
    for; what else a client invents is "__unknown__" (P25).
    """

    def __init__(self, *args: Any, obs: Observability, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.obs = obs
        self._observed = obs.settings.enabled and obs.settings.socketio_enabled

    async def emit(self, event: str, *args: Any, **kwargs: Any) -> None:
        """As in `socketio.AsyncServer`, in a span of the current trace that names the event."""
        if not self._observed or self.obs.spans is None:
            await super().emit(event, *args, **kwargs)
            return
        with self.obs.work.span("socketio emit", **{"socketio.event": event}):
            await super().emit(event, *args, **kwargs)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        try:
            await super().disconnect(sid, namespace=namespace, ignore_queue=ignore_queue)
        finally:
            self._set_clients(namespace)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        try:
            await super()._handle_connect(eio_sid, namespace, data)
        except BaseException:
            await self._forget_ghost(eio_sid, namespace or "/")
            raise
        finally:
            self._set_clients(namespace)

    async def _handle_disconnect(self, eio_sid: str, namespace: str | None, *reason: Any) -> None:
        # `reason` came with python-socketio 5.12.
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        try:
            await super()._handle_disconnect(eio_sid, namespace, *reason)
        except BaseException:
            # A disconnect handler that raises leaves its client in the manager for ever, too.
            if sid is not None and self.manager.sid_from_eio_sid(eio_sid, namespace or "/") is not None:
                await self.manager.disconnect(sid, namespace or "/", ignore_queue=True)
            raise
        finally:
            self._set_clients(namespace)

    async def _handle_eio_disconnect(self, eio_sid: str, *reason: Any) -> None:  # type: ignore[override]
        try:
            await super()._handle_eio_disconnect(eio_sid, *reason)
        except BaseException:
            # The first handler that raises ends the loop over namespaces; the others' clients have gone all the same.
            for namespace in [
                name
                for name in self.manager.get_namespaces()
                if self.manager.sid_from_eio_sid(eio_sid, name) is not None
            ]:
                try:
                    await self._handle_disconnect(eio_sid, namespace, *reason)
                except Exception as error:
                    self.obs.faults.report("socketio_handler", error)
            self.environ.pop(eio_sid, None)
            raise

    async def _handle_event_internal(
        self, server: Any, sid: str, eio_sid: str, data: list[Any], namespace: str, id: int | None
    ) -> None:
        if self._observed:
            self._count_event(namespace, data[0])
        await super()._handle_event_internal(server, sid, eio_sid, data, namespace, id)

    def _count_event(self, namespace: str, event: object) -> None:
        try:
            self.obs.metrics.socketio_events.labels(self._known(namespace), self._known_event(namespace, event)).inc()
        except Exception as error:
            self.obs.faults.report(_COMPONENT, error)

    def _set_clients(self, namespace: str | None) -> None:
        if not self._observed:
            return
        try:
            label = self._known(namespace or "/")
            if label == UNKNOWN:
                namespaces = [name for name in self.manager.get_namespaces() if self._known(name) == UNKNOWN]
            else:
                namespaces = [label]
            self.obs.metrics.socketio_clients.labels(label).set(sum(map(self._connected, namespaces)))
        except Exception as error:
            self.obs.faults.report(_COMPONENT, error)

    def _connected(self, namespace: str) -> int:
        """Count whom the manager has and is neither still admitting nor already dismissing."""
        everyone = self.manager.rooms.get(namespace, {}).get(None, {})
        pending = {
            *getattr(self.manager, "pending_connect", {}).get(namespace, ()),
            *self.manager.pending_disconnect.get(namespace, ()),
        }
        return len(everyone) - sum(sid in everyone for sid in pending)

    async def _forget_ghost(self, eio_sid: str, namespace: str) -> None:
        """A connect handler that raises leaves its client in the manager for ever (seen in 5.11.0 and 5.18.1)."""
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        # Before 5.18 the manager has it connected from the start; only by `always_connect` has the client been told so.
        if sid is not None and not (self.always_connect and self.manager.is_connected(sid, namespace)):
            await self.manager.disconnect(sid, namespace, ignore_queue=True)

    def _known(self, namespace: str) -> str:
        known = namespace in self.handlers or namespace in self.namespace_handlers
        return namespace if known and namespace != "*" else UNKNOWN

    def _known_event(self, namespace: str, event: object) -> str:
        if not isinstance(event, str) or event == "*":
            return UNKNOWN
        for registered in (self.handlers.get(namespace), self.handlers.get("*")):
            if registered is not None and event in registered:
                return event
        methods = self.namespace_handlers.get(namespace) or self.namespace_handlers.get("*")
        return event if hasattr(methods, f"on_{event}") else UNKNOWN


__all__ = ["UNKNOWN", "ObservedAsyncServer"]

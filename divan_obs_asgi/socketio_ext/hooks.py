"""Wraps python-socketio's handlers of Engine.IO events."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from divan_obs_asgi.connection.event import Handshake
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.socketio_ext.manager import touched
from divan_obs_asgi.socketio_ext.names import Names
from divan_obs_asgi.socketio_ext.refusals import is_raised_below
from divan_obs_asgi.socketio_ext.server_metrics import ServerMetrics, size
from divan_obs_asgi.socketio_ext.traces import Traces
from divan_obs_asgi.socketio_ext.websockets import WebSocketReceive

# Under this key the environ of a client has its `Handshake`.
HANDSHAKE_KEY = "divan_obs_asgi.handshake"
# Why clients are being disconnected in this task; python-socketio passes it to the handler since 5.12.
leaving_for: ContextVar[str] = ContextVar("divan_obs_asgi.socketio_leaving_for", default="client disconnect")
# The packet type, as a number and as the first letter of a text packet.
_CONNECT, _CONNECT_LETTER = 0, "0"


class EngineHooks:
    """Counts incoming packets, and cleans up after a handler that raised."""

    def __init__(self, server: Any, watch: ServerMetrics, names: Names, traces: Traces | None) -> None:
        self._server = server
        self._engine = server.eio
        self._watch = watch
        self._names = names
        self._traces = traces
        self._inner: dict[str, Any] = {}
        self._packets, self._bytes = watch.packets_in, watch.bytes_in
        # What calls the application: its handlers, and its callbacks of acknowledgements.
        self._callers = (type(server)._trigger_event, type(server.manager).trigger_callback)
        # True for another serializer, such as MessagePack.
        self._has_own_format = server.packet_class.decode.__module__ != "socketio.packet"

    def install(self) -> None:
        """Wrap the handlers that are registered now."""
        for event in ("connect", "message", "disconnect"):
            handler = self._engine.handlers[event]
            if handler != getattr(self, event):
                self._inner[event] = handler
                # Replaced directly: `on` is for python-socketio, which has registered its handler already.
                self._engine.handlers[event] = getattr(self, event)
        self._message = self._inner["message"]
        parameters = inspect.signature(self._inner["disconnect"]).parameters
        self._takes_reason = len(parameters) > 1

    async def connect(self, eio_sid: str, environ: Mapping[str, Any]) -> Any:
        self._keep_handshake(environ)
        answer = await self._inner["connect"](eio_sid, environ)
        if answer is None or answer is True:
            self._watch.opened(eio_sid, environ)
            receive = environ.get("asgi.receive")
            if isinstance(receive, WebSocketReceive):
                receive.belongs_to(eio_sid, self._engine.sockets[eio_sid])
            self._note_trace_request(eio_sid, environ)
        return answer

    async def message(self, eio_sid: str, data: Any) -> None:
        self._packets.value += 1
        is_text = isinstance(data, str)
        self._bytes.value += len(data) if is_text and data.isascii() else size(data)
        connecting = self._is_connect(data) if self._has_own_format else is_text and data[:1] == _CONNECT_LETTER
        if connecting:
            # An earlier connect may have left its client here.
            touched.set(None)
            self._drop_finished_record(eio_sid)
            self._count_rejected(eio_sid, data)
        try:
            await self._message(eio_sid, data)
        except BaseException as error:
            if isinstance(error, Exception) and not is_raised_below(error, *self._callers):
                # Not an exception of the application's: python-socketio could not read the packet. Engine.IO logs it.
                self._watch.refusals.refuse("undecodable")
            await self.forget_unfinished(connecting)
            raise
        if connecting and eio_sid not in self._server.environ:
            # The client has left while its connect handler ran. To python-socketio it was not connected yet.
            await self.disconnect(eio_sid, "transport close")

    async def disconnect(self, eio_sid: str, *reason: Any) -> None:
        self._watch.closed(eio_sid)
        if eio_sid in self._server._binary_packet:
            self._watch.refusals.refuse("incomplete_binary")
        if self._traces is not None:
            self._traces.closed(eio_sid)
        before = leaving_for.get(), touched.get()
        leaving_for.set(reason[0] if reason and isinstance(reason[0], str) else "")
        arguments = reason if self._takes_reason else ()
        try:
            await self._inner["disconnect"](eio_sid, *arguments)
        except BaseException:
            # The first handler that raises ends python-socketio's loop over namespaces; the others have left, too.
            while await self._forget_leaving(eio_sid):
                try:
                    await self._inner["disconnect"](eio_sid, *arguments)
                except Exception:
                    continue  # Its own call has reported it; the first exception is raised.
            self._server.environ.pop(eio_sid, None)
            raise
        finally:
            leaving_for.set(before[0])
            touched.set(before[1])

    async def forget_unfinished(self, connecting: bool = False) -> None:
        """
        Remove the client that the manager began to connect or disconnect in this task, and could not finish.

        A handler that raises leaves it there for ever (seen in 5.18.1). Before 5.18 a client that is connecting counts
        as connected.
        """
        sid, namespace = touched.get() or ("", "")
        manager = self._server.manager
        if sid and (connecting or not manager.is_connected(sid, namespace)):
            await manager.disconnect(sid, namespace, ignore_queue=True)

    async def _forget_leaving(self, eio_sid: str) -> bool:
        """Remove the clients of a connection that are still disconnecting; return whether there was one."""
        manager = self._server.manager
        held = [(manager.sid_from_eio_sid(eio_sid, name), name) for name in list(manager.get_namespaces())]
        # Not clients whose connect handlers still run.
        leaving = [(sid, name) for sid, name in held if sid in manager.pending_disconnect.get(name, ())]
        for sid, name in leaving:
            await manager.disconnect(sid, name, ignore_queue=True)
        return bool(leaving)

    def _note_trace_request(self, eio_sid: str, environ: Mapping[str, Any]) -> None:
        try:
            if self._traces is not None:
                self._traces.opened(eio_sid, environ)
        except Exception as error:
            self._watch.report(error)

    def _keep_handshake(self, environ: Any) -> None:
        record = _scope_of(environ).get(RECORD_KEY)
        if record is not None:
            environ[HANDSHAKE_KEY] = Handshake(record.trace_id, record.span_id, record.trace_flags)

    def _drop_finished_record(self, eio_sid: str) -> None:
        """Drop the finished record of a handshake: Engine.IO keeps the scope for as long as the client is connected."""
        scope = _scope_of(self._server.environ.get(eio_sid))
        record = scope.get(RECORD_KEY)
        if record is not None and record.outcome is not None:
            del scope[RECORD_KEY]

    def _is_connect(self, data: Any) -> bool:
        try:
            return bool(self._server.packet_class(encoded_packet=data).packet_type == _CONNECT)
        except Exception:
            return False  # Not a packet; python-socketio reports it.

    def _count_rejected(self, eio_sid: str, data: Any) -> None:
        """Count a connect that python-socketio rejects without calling a handler."""
        try:
            namespace = self._server.packet_class(encoded_packet=data).namespace or "/"
        except Exception:
            return  # Not a packet; python-socketio reports it.
        if not self._names.accepted(namespace):
            self._watch.connect(namespace, "unknown_namespace")
        elif self._server.manager.sid_from_eio_sid(eio_sid, namespace) is not None:
            self._watch.connect(namespace, "duplicate")


def _scope_of(environ: Any) -> dict[str, Any]:
    scope = environ.get("asgi.scope") if isinstance(environ, dict) else None
    return scope if isinstance(scope, dict) else {}


__all__ = ["EngineHooks", "leaving_for"]

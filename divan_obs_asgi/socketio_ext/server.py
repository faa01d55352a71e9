"""A Socket.IO server that is observed like an HTTP application. Imported only where python-socketio is."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

import anyio
import socketio
from socketio.async_pubsub_manager import AsyncPubSubManager
from socketio.exceptions import ConnectionRefusedError as Refused

from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.socketio_ext.engine import ObservedEngine
from divan_obs_asgi.socketio_ext.handlers import HandlerCalls, is_refusal, is_signature
from divan_obs_asgi.socketio_ext.hooks import EngineHooks, leaving_for
from divan_obs_asgi.socketio_ext.manager import ObservedManager, ObservedPubSubManager, touched
from divan_obs_asgi.socketio_ext.names import UNKNOWN, Names
from divan_obs_asgi.socketio_ext.pubsub import PubSubLosses
from divan_obs_asgi.socketio_ext.requests import EngineRequests
from divan_obs_asgi.socketio_ext.rooms import Rooms
from divan_obs_asgi.socketio_ext.server_metrics import COMPONENT, PendingCall, ServerMetrics
from divan_obs_asgi.socketio_ext.subclassing import become
from divan_obs_asgi.socketio_ext.traces import Traces
from divan_obs_asgi.socketio_ext.upstream_logs import mask_sessions
from divan_obs_asgi.types import BUNDLE_KEY

_logger = logging.getLogger(__name__)
RECONCILE_EVERY_S = 10
# The event that clients get at the start of a drain.
DRAINING = "server_draining"
# The `call` to which an emit belongs.
_pending: ContextVar[PendingCall | None] = ContextVar("divan_obs_asgi.socketio_pending_call", default=None)


class ObservedAsyncServer(socketio.AsyncServer):
    """
    `socketio.AsyncServer`, counted, timed, traced and logged. Takes the same arguments, and `obs`.

    Args:
        obs: the bundle. Without it the server uses, from its first request on, the bundle of the stack that `init` or
            `wrap` has put around it; of several stacks the innermost.

    Attributes:
        obs: the bundle; not set before it is known.

    The `client_manager` and the Engine.IO server become instances of a subclass; no class is changed. Labels are the
    names for which handlers are registered; any other name that a client sends is "__unknown__".
    """

    obs: Observability

    def __init__(self, *args: Any, obs: Observability | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._observed = False
        self._looks_for_bundle = obs is None
        if obs is not None:
            self._observe_by(obs)

    def _observe_by(self, obs: Observability) -> None:
        self.obs = obs
        self._observed = obs.settings.enabled and obs.settings.socketio.enabled
        if not self._observed:
            return
        self._upstream = super()._trigger_event
        self._names = Names(self)
        self._watch = ServerMetrics(obs.metrics, self._names, obs.faults)
        self._calls = HandlerCalls(self, self._watch, self._names, obs)
        # Not the dictionary itself: Engine.IO makes a new one when it disconnects all clients.
        self._requests = EngineRequests(self._watch, lambda: self.eio.sockets, obs.drain, self.eio.max_http_buffer_size)
        self._traces = Traces(obs) if obs.spans is not None else None
        self._rooms = Rooms(obs.metrics, self._names) if obs.settings.socketio.room_sizes else None
        self._answers_errors = obs.settings.socketio.ack_errors
        self._hooks = EngineHooks(self, self._watch, self._names, self._traces)
        self._compares = False
        shares = isinstance(self.manager, AsyncPubSubManager)
        for instance, mixin in (
            (self.manager, ObservedPubSubManager if shares else ObservedManager),
            (self.eio, ObservedEngine),
        ):
            try:
                become(instance, mixin)
                instance.divan_watch = self._watch
                instance.divan_refusals = self._watch.refusals
            except Exception as error:
                # A class with __slots__, or written in C: the gauges are still reconciled with it.
                obs.faults.report(COMPONENT, error)
        if isinstance(self.manager, ObservedManager):
            self.manager.divan_traces = self._traces
        self._losses: PubSubLosses | None = None
        if isinstance(self.manager, ObservedPubSubManager):
            self._losses = PubSubLosses(obs.metrics)
            self.manager.divan_watch_losses(self._losses)
        self._hooks.install()
        mask_sessions(self)
        obs.background.add("socketio", self._reconcile)
        obs.background.when_started("socketio", self._watch.start_at_zero)
        obs.drain.on_start(self._announce_drain)
        obs.drain.on_end(self._requests.answer_polls)

    async def handle_request(self, *args: Any, **kwargs: Any) -> Any:
        """As in `socketio.AsyncServer`; marks long polls for the stack around it."""
        if self._looks_for_bundle:
            self._looks_for_bundle = False
            self._find_bundle(args[0] if args else None)
        if self._observed:
            try:
                if not self._compares:
                    self._begin_alone()
                scope, receive, *others = args
                args = (scope, self._requests.begin(scope, receive), *others)
            except Exception as error:
                self.obs.faults.report(COMPONENT, error)
            try:
                response = await super().handle_request(*args, **kwargs)
            except Exception as error:
                self._requests.end(args, error)
                raise
            self._requests.end(args)
            return response
        return await super().handle_request(*args, **kwargs)

    def _find_bundle(self, scope: Any) -> None:
        # Other values of `async_mode` pass objects of their own, whose `get` may do anything.
        bundle = scope.get(BUNDLE_KEY) if isinstance(scope, Mapping) else None
        if isinstance(bundle, Observability):
            try:
                self._observe_by(bundle)
            except Exception as error:
                self._observed = False
                bundle.faults.report(COMPONENT, error)
        elif _is_enabled():
            _logger.warning(
                "%s is not observed: it was made without obs=, and it is not inside a stack of init or wrap.",
                type(self).__name__,
            )

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """As in `socketio.AsyncServer`, by flag in a span of the current trace."""
        traces = self._traces if self._observed else None
        # python-socketio refuses a callback that is not callable, or an application's own manager handles it.
        if callable(callback) and self._observed:
            callback = self._timed(callback, namespace or "/")
        with nullcontext() if traces is None else traces.emitting(event, namespace or "/"):
            await super().emit(
                event,
                data,
                to=to,
                room=room,
                skip_sid=skip_sid,
                namespace=namespace,
                callback=callback,
                ignore_queue=ignore_queue,
            )

    async def call(self, event: str, *args: Any, **kwargs: Any) -> Any:
        """As in `socketio.AsyncServer`, timed."""
        before, pending = _pending.get(), PendingCall()
        _pending.set(pending)
        try:
            return await super().call(event, *args, **kwargs)
        except BaseException:
            pending.gave_up = True
            raise
        finally:
            _pending.set(before)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        if not self._observed:
            await super().disconnect(sid, namespace=namespace, ignore_queue=ignore_queue)
            return
        before = leaving_for.get(), touched.get()
        leaving_for.set("server disconnect")
        touched.set(None)
        try:
            await super().disconnect(sid, namespace=namespace, ignore_queue=ignore_queue)
        except BaseException:
            await self._hooks.forget_unfinished()
            raise
        finally:
            leaving_for.set(before[0])
            # A connect handler may disconnect others, and fail after that.
            touched.set(before[1])

    def instrument(self, *args: Any, **kwargs: Any) -> Any:
        """As in `socketio.AsyncServer`; our hooks are put around those of its admin page."""
        admin = super().instrument(*args, **kwargs)
        if self._observed:
            self._hooks.install()
        return admin

    def on_error(self, error: Exception, event: str, namespace: str, sid: str) -> Any:
        """
        Handle an exception that a handler has raised. Override it; it may be async.

        Returns:
            what the client gets under OBS_SOCKETIO_ACK_ERRORS: the acknowledgement, or the `data` of a `connect_error`.
            None for `{"error": {"code": "internal_error", "request_id": ...}}`.
        """

    # Not async: that would cost one more coroutine per event.
    def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> Any:
        """As in `socketio.AsyncServer`, which drops an event of a client that is not connected to the namespace."""
        if self._observed:
            space, manager = namespace or "/", self.manager
            is_connected = manager.is_connected(manager.sid_from_eio_sid(eio_sid, space), space)
            # An event without a name raises before python-socketio looks whether the client is connected.
            if not is_connected and data and isinstance(data, (list, str)):
                self._watch.refusals.refuse("not_connected")
        return super()._handle_event(eio_sid, namespace, id, data)

    # Here python-socketio calls every handler (functions and
    # namespaces, connects and disconnects), and only here the result is known. A wrapper at registration would not see
    # events without a handler, and would hide the function whose signature python-socketio tries out.
    async def _trigger_event(self, event: Any, namespace: str, *args: Any) -> Any:
        record = self._calls.begin(event, namespace, args) if self._observed else None
        if record is None:
            return await super()._trigger_event(event, namespace, *args)
        try:
            result = await self._upstream(event, namespace, *args)
        except Exception as raised:
            record.stop()
            if self._calls.is_repeated(record, raised):
                raise
            # No variable of this frame may hold the exception, whose traceback holds the frame.
            answer = await self._answer_at_end(record, raised)
            if answer is None:
                raise
            if record.handshake_event:
                # python-socketio responds to this exception and cleans up; else the client would wait in vain.
                raise Refused("internal_error", answer) from raised
            return answer
        except BaseException as error:
            record.stop()
            self._calls.end(record, error)
            raise
        self._calls.end(record, None, result)
        return result

    async def _answer_at_end(self, record: EventRecord, raised: Exception) -> Any:
        """End the record of a call that has raised, and return the result of `_answer_to`."""
        # Of two calls, ignore the TypeError of the one whose arguments did not fit.
        error = record.first_error if record.first_error is not None and is_signature(raised) else raised
        try:
            return await self._answer_to(error, record)
        finally:
            self._calls.end(record, error)

    async def _answer_to(self, error: Exception, record: EventRecord) -> Any:
        """Call `on_error`; return the acknowledgement for the client, or None to raise the error."""
        if is_refusal(record, error):
            return None
        try:
            answer = self.on_error(error, record.event, record.space, record.sid)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as another:
            self.obs.faults.report("socketio_on_error", another)
            answer = None
        if not self._answers_errors or record.handshake_event == "disconnect":
            return None
        return {"error": {"code": "internal_error", "request_id": record.request_id}} if answer is None else answer

    def _timed(self, callback: Callable[..., Any], namespace: str) -> Callable[..., Any]:
        try:
            return self._watch.timed(namespace, callback, _pending.get())
        except Exception as error:
            self.obs.faults.report(COMPONENT, error)
            return callback

    async def _announce_drain(self) -> None:
        data = {"remaining_s": round(self.obs.drain.remaining_s(), 3)}
        for namespace in list(self.manager.get_namespaces()):
            # Only to clients of this process: the others do not drain.
            await self.emit(DRAINING, data, namespace=namespace, ignore_queue=True)

    def _begin_alone(self) -> None:
        """
        Start at the first request what a lifespan would have started.

        There may be no lifespan, or it came before this server was made. `socketio.ASGIApp` with `on_startup` or
        `on_shutdown` does not pass it to the application inside.
        """
        self._compares = True
        self._alone = self.start_background_task(self._reconcile_alone)
        self._watch.start_at_zero()

    async def _reconcile_alone(self) -> None:
        try:
            await self._reconcile()
        finally:
            # The event loop ends. Nothing else would end the threads that write lines and export spans.
            await self.obs.rest_in_thread()

    async def _reconcile(self) -> None:
        self._compares = True
        while True:
            await anyio.sleep(RECONCILE_EVERY_S)
            await self._compare()

    async def _compare(self) -> None:
        self._watch.reconcile(self.manager, self.eio.sockets)
        try:
            if self._traces is not None:
                self._traces.reconcile(self.eio.sockets)
            if self._losses is not None:
                self._losses.settle()
            if self._rooms is not None:
                await self._rooms.measure(self.manager)
        except Exception as error:
            self.obs.faults.report(COMPONENT, error)


def _is_enabled() -> bool:
    """Return whether the flags enable it; with disabled flags there is no stack to find."""
    try:
        settings = Settings.from_env()
    except ImproperlyConfigured:
        return True
    return settings.enabled and settings.socketio.enabled


__all__ = ["UNKNOWN", "ObservedAsyncServer"]

"""A Socket.IO server that is observed like an HTTP application. Imported only where python-socketio is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Any

import socketio
from socketio.async_pubsub_manager import AsyncPubSubManager

from divan_obs_asgi.observability import Observability
from divan_obs_asgi.socketio_ext.engine import ObservedEngine
from divan_obs_asgi.socketio_ext.hooks import EngineHooks, leaving_for
from divan_obs_asgi.socketio_ext.manager import ObservedManager, ObservedPubSubManager
from divan_obs_asgi.socketio_ext.names import UNKNOWN, Names
from divan_obs_asgi.socketio_ext.subclassing import become
from divan_obs_asgi.socketio_ext.watch import COMPONENT, Handling, Watch

RECONCILE_EVERY_S = 10.0
# When `call` will have given up.
_deadline: ContextVar[float | None] = ContextVar("divan_obs_asgi.socketio_deadline", default=None)


class ObservedAsyncServer(socketio.AsyncServer):
    """
    `socketio.AsyncServer`, counted, timed, traced and logged. Takes the same arguments, and `obs`.

    A `client_manager` and the Engine.IO server become instances of a subclass of theirs; no class is changed. Labels
    are the names that handlers were registered for; what else a client invents is "__unknown__" (PITFALLS P25).
    """

    def __init__(self, *args: Any, obs: Observability, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.obs = obs
        self._observed = obs.settings.enabled and obs.settings.socketio_enabled
        self._names = Names(self)
        self._watch = Watch(obs.metrics, self._names, obs.faults)
        self._hooks = EngineHooks(self, self._watch, self._names, obs.faults)
        if not self._observed:
            return
        shares = isinstance(self.manager, AsyncPubSubManager)
        for instance, mixin in (
            (self.manager, ObservedPubSubManager if shares else ObservedManager),
            (self.eio, ObservedEngine),
        ):
            try:
                become(instance, mixin)
                instance.divan_watch = self._watch
            except Exception as error:
                # One with __slots__ or written in C: the reconciler still sees what it holds.
                obs.faults.report(COMPONENT, error)
        self._hooks.install()
        obs.background.add("socketio", self._reconcile)

    async def emit(self, event: str, *args: Any, **kwargs: Any) -> None:
        """As in `socketio.AsyncServer`, in a span of the current trace that names the event."""
        if not self._observed:
            await super().emit(event, *args, **kwargs)
            return
        if kwargs.get("callback") is not None:
            kwargs["callback"] = self._timed(kwargs)
        if self.obs.spans is None:
            await super().emit(event, *args, **kwargs)
            return
        with self.obs.work.span("socketio emit", **{"socketio.event": event}):
            await super().emit(event, *args, **kwargs)

    async def call(self, event: str, *args: Any, **kwargs: Any) -> Any:
        """As in `socketio.AsyncServer`, timed."""
        timeout = kwargs.get("timeout", args[4] if len(args) > 4 else 60)
        before = _deadline.get()
        _deadline.set(None if timeout is None else perf_counter() + timeout)
        try:
            return await super().call(event, *args, **kwargs)
        finally:
            _deadline.set(before)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        before = leaving_for.get()
        leaving_for.set("server disconnect")
        try:
            await super().disconnect(sid, namespace=namespace, ignore_queue=ignore_queue)
        except BaseException:
            await self._hooks.forget_unfinished()
            raise
        finally:
            leaving_for.set(before)

    def instrument(self, *args: Any, **kwargs: Any) -> Any:
        """As in `socketio.AsyncServer`; the hooks of its admin page come inside of ours."""
        admin = super().instrument(*args, **kwargs)
        if self._observed:
            self._hooks.install()
        return admin

    # The one private method that is overridden: python-socketio calls every handler here, functions and namespaces,
    # those of connects and disconnects too, and only here it is known what came of it. A wrapper at registration does
    # not see what has no handler, and would hide the function whose signature python-socketio tries out.
    async def _trigger_event(self, event: Any, namespace: str, *args: Any) -> Any:
        if not self._observed:
            return await super()._trigger_event(event, namespace, *args)
        handling = self._watch.handling(namespace, event)
        started = perf_counter()
        try:
            result = await super()._trigger_event(event, namespace, *args)
        except BaseException as error:
            self._ended(handling, event, namespace, args, perf_counter() - started, error)
            raise
        self._ended(handling, event, namespace, args, perf_counter() - started, None, result)
        return result

    def _ended(
        self,
        handling: Handling,
        event: Any,
        namespace: str,
        args: tuple[Any, ...],
        seconds: float,
        error: BaseException | None,
        result: object = None,
    ) -> None:
        try:
            if event == "connect" and self._is_handshake(args, namespace):
                self._connect_ended(handling, namespace, error, result)
            elif event == "disconnect" and not self.manager.is_connected(args[0], namespace):
                self._watch.disconnect(namespace, args[1] if len(args) > 1 else leaving_for.get())
            else:
                handling.events.inc()
            if result is not self.not_handled and (
                handling.event is not UNKNOWN or self._names.handled(namespace, event)
            ):
                handling.duration.observe(seconds)
            if error is not None and not is_refusal(error) and not is_signature(error):
                self._watch.failed(handling, error)
        except Exception as fault:
            self.obs.faults.report(COMPONENT, fault)

    def _connect_ended(self, handling: Handling, namespace: str, error: BaseException | None, result: object) -> None:
        if error is None:
            self._watch.connect(namespace, "refused" if result is False else "accepted")
        elif is_refusal(error):
            self._watch.connect(namespace, "refused")
        elif not is_signature(error):
            self._watch.connect(namespace, "error")

    def _is_handshake(self, args: tuple[Any, ...], namespace: str) -> bool:
        """Tell a connect from an event that a client has called "connect"."""
        return len(args) > 1 and isinstance(args[1], dict) and args[1] is self.get_environ(args[0], namespace)

    def _timed(self, options: dict[str, Any]) -> Callable[..., Any]:
        callback: Callable[..., Any] = options["callback"]
        try:
            return self._watch.timed(options.get("namespace") or "/", callback, _deadline.get())
        except Exception as error:
            self.obs.faults.report(COMPONENT, error)
            return callback

    async def _reconcile(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE_EVERY_S)
            self._watch.reconcile(self.manager, self.eio.sockets)


def is_refusal(error: BaseException) -> bool:
    """Tell whether python-socketio takes an exception of a connect handler for a refusal."""
    return isinstance(error, (socketio.exceptions.ConnectionRefusedError, ConnectionRefusedError))


def is_signature(error: BaseException) -> bool:
    """Tell whether a handler was called with arguments that it does not take, as python-socketio tries them out."""
    step = error.__traceback__
    if not isinstance(error, TypeError) or step is None:
        return False
    while step.tb_next is not None:
        step = step.tb_next
    return str(step.tb_frame.f_globals.get("__name__", "")).startswith("socketio.")


__all__ = ["UNKNOWN", "ObservedAsyncServer"]

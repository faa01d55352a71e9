"""The base of every middleware that observes connections: it opens the record, or uses the open one."""

from __future__ import annotations

import logging
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import anyio

from divan_obs_asgi.connection.app_errors import own_failure
from divan_obs_asgi.connection.channel import Channel
from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.gc_pauses import pauses
from divan_obs_asgi.connection.headers import keep_headers
from divan_obs_asgi.connection.measured import MeasuredRequest, in_steps, measured_request
from divan_obs_asgi.connection.record import CONTEXT_KEY, RECORD_KEY, current_record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.connection.thread_waits import measure_threads
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import is_exit
from divan_obs_asgi.observability.observers import Observer
from divan_obs_asgi.ops.debug_requests import debug_requests
from divan_obs_asgi.types import CONNECTIONS, ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_logger = logging.getLogger("divan_obs_asgi.recording")

# Called when the application has returned or raised, in the same task.
Undo: TypeAlias = Callable[[], object]


class RecordMiddleware(ABC):
    """
    Calls `observe` once for every connection, with its record.

    The first such middleware on the way of a connection opens the record. The others, and a second stack further in,
    find it in the scope. Where `observe` raises, the error is counted and logged, and the connection goes on.

    Neighbours in a stack are called together, the outer ones first: they cost one coroutine, not one each.
    """

    component: ClassVar[str]
    """The name under which failures are counted, `divan_obs_errors_total{component}`."""

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not isinstance(getattr(self, "component", None), str):
            raise ImproperlyConfigured(
                f"{type(self).__name__} has no `component`; expected the name under which its failures are counted."
            )
        self.app = app
        self.obs = obs
        self._routes: RouteTemplates
        self._inner: ASGIApp = app
        self._observers: tuple[Observer, ...] = (self,)
        self._neighbours: tuple[RecordMiddleware, ...] = (self,)
        self._disconnects = obs.disconnects
        self._cancels = bool(obs.disconnects.cancelled)
        self._measured_request: type[MeasuredRequest] | None = None
        if obs.settings.requests.wait_times_enabled:
            self._measured_request = measured_request(obs.settings.slow_s)
            pauses.measure()
            measure_threads()
        self._find_routes()
        if obs.settings.console.debug_key is not None:
            debug_requests(obs)
        observes_events = type(self).observe_event is not RecordMiddleware.observe_event
        obs.observers.join(self, events=observes_events)

    def _find_routes(self) -> None:
        app, obs = self.app, self.obs
        if isinstance(app, RecordMiddleware) and type(app).__call__ is RecordMiddleware.__call__:
            self._inner = app._inner
            self._observers = self._neighbours = (self, *app._neighbours)
            self._routes = app._routes
            return
        self._routes = RouteTemplates(app, obs.operations)
        # The bundle must not keep the middlewares alive.
        routes = weakref.ref(self._routes)

        def look_again() -> None:
            templates = routes()
            if templates is not None:
                templates.look_again()

        obs.background.when_started("routes", look_again)

    def observe_with(self, attached: tuple[Observer, ...]) -> None:
        """Call these too. They come first, so that their finishers are called last."""
        self._observers = (*attached, *self._neighbours)

    @abstractmethod
    def observe(self, scope: Scope, record: RequestRecord) -> Undo | None:
        """
        Read the scope, set response headers, add a finisher.

        Returns:
            a function to call when the application has returned or raised, or None.
        """

    def observe_event(self, record: EventRecord) -> None:  # noqa: B027
        """
        Add a finisher to an event of an `ObservedAsyncServer` of the same bundle, before its handler is called.

        By default nothing; a middleware that does not override it costs an event nothing.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in CONNECTIONS:
            await self._inner(scope, receive, send)
            return
        keep_headers(scope)
        record = scope.get(RECORD_KEY)
        # A finished record is of an earlier call with the same scope: a retry.
        if record is not None and record.outcome is None:
            undo = self._observe(scope, record)
            try:
                await self._inner(scope, receive, send)
            finally:
                if undo:
                    self._undo(undo)
            return
        measured: MeasuredRequest | None = None
        if self._measured_request is not None and scope["type"] == "http":
            record = measured = self._measured_request(scope, self._routes, self.obs.faults)
            measured.paused_s = pauses.total_s
        else:
            # A WebSocket lasts for minutes, and is never slow.
            record = RequestRecord(scope, self._routes, self.obs.faults)
        scope[RECORD_KEY] = record
        # Unconditionally: this task may have inherited the record of another request.
        around = current_record.get()
        current_record.set(record)
        if around is not None and CONTEXT_KEY in scope:
            # `ContextMiddleware` has excluded a leak, so that this is the caller's record.
            record.caller = around
        undo = self._observe(scope, record)
        channel = Channel(record, receive, send, scope.get(CONTEXT_KEY))
        # A WebSocket needs no watch: its close is a message.
        watched = self._disconnects.watched() if record.kind == "http" else None
        if watched is not None:
            watched.add(channel)
        try:
            if self._cancels:
                call: Awaitable[None] = self._cancellable(scope, channel)
            else:
                call = self._inner(scope, channel.receive, channel.send)
            if measured is None or type(call) is not CoroutineType:
                await call
            else:
                try:
                    rest = in_steps(call, call.send(None), measured)
                except StopIteration:
                    pass
                else:
                    await rest
        except BaseException as error:
            if record.outcome is None:
                record.raised(error)
            # Not in the record: raised by a background task, or by a broken stream that had ended normally.
            if error is not record.error:
                self._report_late(record, error)
            elif record.is_reported:
                self.obs.log.passed_on(error)
            raise
        else:
            record.returned()
        finally:
            if watched is not None:
                watched.discard(channel)
                channel.close()
            if undo:
                self._undo(undo)
            # After a request within the process its caller goes on, also as a background task. Without
            # `ContextMiddleware` the record of a finished request may have leaked.
            stays = around is not None and (around.outcome is None or record.caller is around)
            current_record.set(around if stays else None)
            record.release()

    async def _cancellable(self, scope: Scope, channel: Channel) -> None:
        """Call the application in a scope that can be cancelled; a cancelled call looks as if it had returned."""
        with anyio.CancelScope() as cancellation:
            channel.cancel = cancellation.cancel
            await self._inner(scope, channel.receive, channel.send)

    def _observe(self, scope: Scope, record: RequestRecord) -> list[tuple[str, Undo]]:
        undo: list[tuple[str, Undo]] = []
        for observer in self._observers:
            try:
                to_undo = observer.observe(scope, record)
            except BaseException as error:
                if is_exit(error):
                    raise
                self.obs.faults.report(observer.component, error)
            else:
                if to_undo is not None:
                    undo.append((observer.component, to_undo))
        return undo

    def _report_late(self, record: RequestRecord, error: BaseException) -> None:
        """Report an exception of a background task: the access line is written already."""
        failure = own_failure(error, record.hang_up)
        if failure is None:
            return
        record.failed_after_end(failure, self.obs.faults)
        try:
            _logger.error("%s %s failed after its response had ended.", record.method, record.route, exc_info=error)
        except Exception as another:
            self.obs.faults.report("logs", another)

    def _undo(self, undo: list[tuple[str, Undo]]) -> None:
        for component, to_undo in reversed(undo):
            try:
                to_undo()
            except BaseException as error:
                if is_exit(error):
                    raise
                self.obs.faults.report(component, error)


__all__ = ["RecordMiddleware", "Undo"]

"""Drain: after SIGTERM the service reports that it is not ready, keeps serving for a while, and then shuts down."""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import Literal, TypeAlias

import anyio

from divan_obs_asgi.connection.headers import replaced, with_lasting_headers
from divan_obs_asgi.internal_errors import InternalErrors, must_propagate
from divan_obs_asgi.lifecycle.signals import ChainedHandler, NotChained
from divan_obs_asgi.types import Message, Scope, Send

State: TypeAlias = Literal["serving", "draining", "ending"]
Callback: TypeAlias = Callable[[], Awaitable[object]]

# Enough for a load balancer that checks every second and needs two or three failures.
DEFAULT_DELAY_S = 5.0
# Readiness checks come more often than this.
POLLED_S = 60.0

_logger = logging.getLogger("divan_obs_asgi.drain")


class Drain:
    """
    After SIGTERM or `start` the service is not ready but still serves requests. Then the server's own handler runs.

    At SIGTERM a server closes its listeners at once, and informs the application last. Requests that arrive before the
    load balancer has noticed are refused. So SIGTERM is delayed by `delay_s`. SIGINT and a second SIGTERM are not
    delayed.

    Args:
        delay_s: None for `DEFAULT_DELAY_S` if readiness was polled within the last minute, and 0 otherwise and in a
            developer's process.
        on_change: called with whether the service drains (feeds `divan_draining`).
        why_development: returns why this is a developer's process, like "on a terminal"; empty if it is not one.
            Called at the start of the application.

    Attributes:
        active: whether a drain has started.
        cause: "SIGTERM", "SIGINT", or the argument of `start`; empty before.
        in_flight: the numbers of HTTP requests and WebSockets in flight.
    """

    def __init__(
        self,
        delay_s: float | None,
        faults: InternalErrors,
        on_change: Callable[[bool], object] = bool,
        *,
        signals: bool = True,
        why_development: Callable[[], str] = str,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._why_development = why_development
        self._delay_s = delay_s
        self._faults = faults
        self._on_change = on_change
        self._signals = signals
        self._clock = clock
        self._at_start: list[Callback] = []
        self._at_end: list[Callback] = []
        self._polled_at = -math.inf
        self._has_logged = False
        self.in_flight = {"http": 0, "websocket": 0}
        self._reset()

    def _reset(self) -> None:
        self.active = False
        self.cause = ""
        self._development = self._why_development()
        self._ends_at = 0.0
        self._is_delayed = False
        self._is_forwarded = False
        self._is_running = False
        self._wake: Callable[[], object] = bool
        self._chains: dict[int, ChainedHandler] = {}

    @property
    def state(self) -> State:
        """The phase of the service."""
        if not self.active:
            return "serving"
        return "ending" if self._is_forwarded else "draining"

    @property
    def delay_s(self) -> float:
        """Seconds for which requests are served after a drain has started."""
        if self._delay_s is not None:
            return self._delay_s
        if self._development:
            return 0.0
        return DEFAULT_DELAY_S if self._clock() - self._polled_at < POLLED_S else 0.0

    def remaining_s(self) -> float:
        """Return the seconds of the delay that are left; all of them before a drain."""
        return max(0.0, self._ends_at - self._clock()) if self.active else self.delay_s

    def on_start(self, callback: Callback) -> None:
        """Await `callback` whenever a drain starts, in the application's event loop."""
        self._at_start.append(callback)

    def on_end(self, callback: Callback) -> None:
        """
        Await `callback` when the server starts to shut down: after the delay, or at Ctrl-C.

        The server now waits for requests in flight. Use it to answer long polls and to end streams.
        """
        self._at_end.append(callback)

    def note_poll(self) -> None:
        """Note that readiness was polled now."""
        self._polled_at = self._clock()

    def start(self, cause: str) -> bool:
        """
        Start a drain: the service is not ready from now on. Returns False if one has started already.

        This does not end the process. It may be called in a signal handler: it takes no lock and logs nothing.
        """
        return self._start(cause, self.delay_s)

    def _start(self, cause: str, delay_s: float) -> bool:
        if self.active:
            return False
        self._ends_at = self._clock() + delay_s
        self.cause = cause
        self.active = True
        self._wake()
        return True

    async def run(self) -> None:
        """Handle the signals and drain, from the start of the application to its end."""
        self._reset()
        wakeup = _Wakeup()
        self._wake = wakeup.wake
        self._report(False)
        with self._handle_signals():
            await wakeup.until(lambda: self.active)
            self._report(True)
            self._log_start()
            async with anyio.create_task_group() as tasks:
                for callback in self._at_start:
                    tasks.start_soon(self._call, callback)
                await wakeup.until(lambda: self._is_delayed or self._is_forwarded)
                if self._is_delayed:
                    with anyio.move_on_after(self.remaining_s()):
                        await wakeup.until(lambda: self._is_forwarded)
                    self._log_end()
                    self._forward_delayed()
                for callback in self._at_end:
                    tasks.start_soon(self._call, callback)

    def _report(self, drains: bool) -> None:
        try:
            self._on_change(drains)
        except Exception as error:
            self._faults.report("drain", error)

    def _log_start(self) -> None:
        seconds = round(self.remaining_s(), 1)
        if self._is_forwarded:
            why = f" (no delay: {self._development})" if self._development and self.cause == "SIGTERM" else ""
            _logger.warning("%s: not ready; shutting down now%s.", self.cause, why)
        elif self._is_delayed:
            _logger.warning("%s: not ready; serving for another %g s.", self.cause, seconds)
        else:
            _logger.warning("%s: not ready; serving until a signal ends the process.", self.cause)

    def _log_end(self) -> None:
        left = self.in_flight
        message = "A second signal ended the drain" if self._is_forwarded else "Drain finished; forwarding SIGTERM"
        _logger.warning("%s, with %d requests and %d WebSockets in flight.", message, left["http"], left["websocket"])

    async def _call(self, callback: Callback) -> None:
        try:
            await callback()
        except BaseException as error:
            if must_propagate(error):
                raise
            self._faults.report("drain", error)

    # Signals.

    @contextmanager
    def _handle_signals(self) -> Iterator[None]:
        try:
            for number in (signal.SIGTERM, signal.SIGINT) if self._signals else ():
                try:
                    self._chains[number] = chained = ChainedHandler(number, self._received)
                except NotChained as reason:
                    self._log_once(number, str(reason))
                else:
                    if chained.is_default and multiprocessing.parent_process() is not None:
                        # A worker of hypercorn: an event of multiprocessing stops it, not a signal.
                        self._log_once(
                            number, "the server's main process receives it, and stops its workers by other means"
                        )
            self._is_running = True
            yield
        finally:
            self._is_running = False
            self._wake = bool
            # However the wait ended, the delayed signal must still end the process.
            self._forward_delayed()
            for chained in self._chains.values():
                chained.release()

    def _log_once(self, number: signal.Signals, reason: str) -> None:
        if number == signal.SIGTERM and not self._has_logged:
            self._has_logged = True
            _logger.info("SIGTERM does not start a drain: %s. Use POST /ops/drain.", reason)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if not self._is_running:
            # A handler that was installed later still calls this one.
            self._forward(number, frame)
            return
        again = self._is_delayed
        # Ctrl-C has no delay: a person waits for it.
        self._start(signal.Signals(number).name, self.delay_s if number == signal.SIGTERM else 0.0)
        if number == signal.SIGTERM and not again and self.remaining_s() > 0:
            self._is_delayed = True
        else:
            self._ends_at = min(self._ends_at, self._clock())
            self._forward(number, frame)
        self._wake()

    def _forward_delayed(self) -> None:
        if self._is_delayed and not self._is_forwarded:
            self._forward(signal.SIGTERM, None)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._is_forwarded = True
        self._chains[number].forward(frame)


class _Wakeup:
    """Wakes a task of this event loop, from a signal handler too."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._call_soon = _call_soon()

    def wake(self) -> None:
        self._call_soon(self._wake_now)

    def _wake_now(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true. Code that changes it calls `wake`."""
        while not condition():
            self._event = anyio.Event()
            await self._event.wait()


def _call_soon() -> Callable[[Callable[[], object]], object]:
    """Return the function of the running event loop that a signal handler may call."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        # Otherwise this runs on trio, which is imported then.
        soon: Callable[[Callable[[], object]], object] = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon
        return soon


def closing(scope: Scope, send: Send) -> Send:
    """Return a `send` that adds `Connection: close` to an HTTP/1 response."""
    if scope["type"] != "http" or not scope.get("http_version", "").startswith("1"):
        return send

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = with_lasting_headers(message)
            # A malformed list of headers is left to the server.
            with suppress(Exception):
                message = {**message, "headers": replaced(message.get("headers", ()), {b"connection": b"close"})}
        await send(message)

    return send_last


__all__ = ["DEFAULT_DELAY_S", "POLLED_S", "Callback", "Drain", "State", "closing"]

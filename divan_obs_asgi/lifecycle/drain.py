"""The service takes its leave: it says that it is no longer ready, goes on serving for a while, and ends only then."""

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
from divan_obs_asgi.internal_errors import InternalErrors, ends_the_caller
from divan_obs_asgi.lifecycle.signals import ChainedHandler, NotChained
from divan_obs_asgi.types import Message, Scope, Send

State: TypeAlias = Literal["serving", "draining", "ending"]
Callback: TypeAlias = Callable[[], Awaitable[object]]

# A balancer that asks every second, and takes out what has failed twice or thrice.
DEFAULT_DELAY_S = 5.0
# Who asks whether we are ready does so more often than this.
_WATCHED_S = 60.0

_logger = logging.getLogger("divan_obs_asgi.drain")


class Drain:
    """
    From SIGTERM, or `start`, readiness says no while requests are still served; then the server's own handler runs.

    A server closes its listeners as soon as it is told to end, and tells the application last:
    whoever sends it a request before the balancer has noticed is refused. So SIGTERM is held back for `delay_s`.
    SIGINT is not, nor is a second SIGTERM.

    Args:
        delay_s: None for `DEFAULT_DELAY_S` where somebody has asked whether the service is ready within the last
            minute, and none where nobody watches, nor where a developer waits for the end.
        draining: told whether the service drains (feeds `divan_draining`).
        why_development: returns by what the process is known to be a developer's, "on a terminal"; empty where by
            nothing. Called at the start of the application.

    Attributes:
        active: whether a drain has started.
        cause: "SIGTERM", "SIGINT", or what `start` was given; empty before.
        in_flight: the HTTP requests and WebSockets that are with the application now.
    """

    def __init__(
        self,
        delay_s: float | None,
        faults: InternalErrors,
        draining: Callable[[bool], object] = bool,
        *,
        signals: bool = True,
        why_development: Callable[[], str] = str,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._why_development = why_development
        self._delay_s = delay_s
        self._faults = faults
        self._draining = draining
        self._signals = signals
        self._clock = clock
        self._at_start: list[Callback] = []
        self._at_end: list[Callback] = []
        self._asked_at = -math.inf
        self._said = False
        self.in_flight = {"http": 0, "websocket": 0}
        self._begin_serving()

    def _begin_serving(self) -> None:
        self.active = False
        self.cause = ""
        self._development = self._why_development()
        self._ends_at = 0.0
        self._held_back = False
        self._passed_on = False
        self._holds = False
        self._wake: Callable[[], object] = bool
        self._chains: dict[int, ChainedHandler] = {}

    @property
    def state(self) -> State:
        """Where the service is on its way."""
        if not self.active:
            return "serving"
        return "ending" if self._passed_on else "draining"

    @property
    def delay_s(self) -> float:
        """How long requests are served after the start of a drain."""
        if self._delay_s is not None:
            return self._delay_s
        if self._development:
            return 0.0
        return DEFAULT_DELAY_S if self._clock() - self._asked_at < _WATCHED_S else 0.0

    def remaining_s(self) -> float:
        """Return how much of the delay is left; all of it before the start."""
        return max(0.0, self._ends_at - self._clock()) if self.active else self.delay_s

    def on_start(self, callback: Callback) -> None:
        """Have `callback` called, and awaited, each time that a drain starts; in the application's event loop."""
        self._at_start.append(callback)

    def on_end(self, callback: Callback) -> None:
        """
        Have `callback` called, and awaited, when the server has been told to end: after the delay, or by Ctrl-C.

        The server now waits for what is in flight. Here an application answers its long polls and ends its streams.
        """
        self._at_end.append(callback)

    def asked(self) -> None:
        """Note that somebody watches whether the service is ready."""
        self._asked_at = self._clock()

    def start(self, cause: str) -> bool:
        """
        Be ready no longer; returns False where that is so already.

        This alone ends no process. May be called in a signal handler: it takes no lock and logs nothing.
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
        """Handle the signals, and do what a drain does; from the start of the application to its end."""
        self._begin_serving()
        bell = _Bell()
        self._wake = bell.ring
        self._tell(False)
        with self._chained():
            await bell.until(lambda: self.active)
            self._tell(True)
            self._log_the_start()
            async with anyio.create_task_group() as tasks:
                for callback in self._at_start:
                    tasks.start_soon(self._call, callback)
                await bell.until(lambda: self._held_back or self._passed_on)
                if self._held_back:
                    with anyio.move_on_after(self.remaining_s()):
                        await bell.until(lambda: self._passed_on)
                    self._log_the_end()
                    self._let_go()
                for callback in self._at_end:
                    tasks.start_soon(self._call, callback)

    def _tell(self, drains: bool) -> None:
        try:
            self._draining(drains)
        except Exception as error:
            self._faults.report("drain", error)

    def _log_the_start(self) -> None:
        seconds = round(self.remaining_s(), 1)
        if self._passed_on:
            why = f" (no delay: {self._development})" if self._development and self.cause == "SIGTERM" else ""
            _logger.warning("%s: not ready any more; shutting down now%s.", self.cause, why)
        elif self._held_back:
            _logger.warning("%s: not ready any more; still serving for %g s.", self.cause, seconds)
        else:
            _logger.warning("%s: not ready any more; serving until a signal ends the process.", self.cause)

    def _log_the_end(self) -> None:
        left = self.in_flight
        message = "A second signal ended the drain" if self._passed_on else "Drain finished; forwarding SIGTERM"
        _logger.warning("%s, with %d requests and %d WebSockets in flight.", message, left["http"], left["websocket"])

    async def _call(self, callback: Callback) -> None:
        try:
            await callback()
        except BaseException as error:
            if ends_the_caller(error):
                raise
            self._faults.report("drain", error)

    # Signals.

    @contextmanager
    def _chained(self) -> Iterator[None]:
        try:
            for number in (signal.SIGTERM, signal.SIGINT) if self._signals else ():
                try:
                    self._chains[number] = chained = ChainedHandler(number, self._received)
                except NotChained as reason:
                    self._say_once(number, str(reason))
                else:
                    if chained.is_of_nobody and multiprocessing.parent_process() is not None:
                        # hypercorn's workers: an event of multiprocessing ends them, and no signal.
                        self._say_once(number, "the server's main process gets it, and ends its workers by other means")
            self._holds = True
            yield
        finally:
            self._holds = False
            self._wake = bool
            # Whatever has ended the wait: the process is to end all the same.
            self._let_go()
            for chained in self._chains.values():
                chained.release()

    def _say_once(self, number: signal.Signals, reason: str) -> None:
        if number == signal.SIGTERM and not self._said:
            self._said = True
            _logger.info("SIGTERM starts no drain: %s. POST /ops/drain does.", reason)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if not self._holds:
            # Whoever came later than we did still calls us.
            self._pass_on(number, frame)
            return
        again = self._held_back
        # Ctrl-C has no delay: somebody sits in front of it.
        self._start(signal.Signals(number).name, self.delay_s if number == signal.SIGTERM else 0.0)
        if number == signal.SIGTERM and not again and self.remaining_s() > 0:
            self._held_back = True
        else:
            self._ends_at = min(self._ends_at, self._clock())
            self._pass_on(number, frame)
        self._wake()

    def _let_go(self) -> None:
        if self._held_back and not self._passed_on:
            self._pass_on(signal.SIGTERM, None)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._passed_on = True
        self._chains[number].pass_on(frame)


class _Bell:
    """Wakes a task of this event loop; from a signal handler, too."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._soon = _call_soon()

    def ring(self) -> None:
        self._soon(self._ring_now)

    def _ring_now(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; whoever changes it rings."""
        while not condition():
            self._event = anyio.Event()
            await self._event.wait()


def _call_soon() -> Callable[[Callable[[], object]], object]:
    """Return the one function of the running event loop that a signal handler may call."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        # anyio's other backend; it runs us, so it is imported.
        soon: Callable[[Callable[[], object]], object] = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon
        return soon


def closing(scope: Scope, send: Send) -> Send:
    """Return a `send` that has the client leave the connection after this response, for HTTP/1 has a header for it."""
    if scope["type"] != "http" or not scope.get("http_version", "").startswith("1"):
        return send

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = with_lasting_headers(message)
            # A malformed list of headers is between the application and its server.
            with suppress(Exception):
                message = {**message, "headers": replaced(message.get("headers", ()), {b"connection": b"close"})}
        await send(message)

    return send_last


__all__ = ["DEFAULT_DELAY_S", "Callback", "Drain", "State", "closing"]

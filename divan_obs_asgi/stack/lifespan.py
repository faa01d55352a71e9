"""Runs the library's part of the lifespan around that of the application."""

from __future__ import annotations

import linecache
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from types import FrameType, TracebackType
from typing import Any

import anyio

from divan_obs_asgi.internal_errors import is_foreign_cancellation
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send

# The bundles whose lifespan is running already, from a stack further outside.
_KEY = "divan_obs_asgi.lifespan"
_ENDED = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})
_FAILED = frozenset({"lifespan.startup.failed", "lifespan.shutdown.failed"})
# Seconds for the background tasks to end.
_STOP_TIMEOUT_S = 3.0

# Keys of a connection's scope that a lifespan scope does not have: code that needs one expected a connection.
_OF_A_CONNECTION = frozenset(
    {"client", "headers", "http_version", "method", "path", "query_string", "raw_path", "root_path", "scheme", "server"}
)
_OF_THE_SCOPE = re.compile(r"scope|lifespan|protocol|asgi|non-http|only http|http only", re.IGNORECASE)
_ABOUT_THE_SCOPE = re.compile(r"scope|lifespan|protocol|type|kind|http", re.IGNORECASE)
# For code without the scope: "lifespan" alone may be the name of a setting.
_WORD = re.compile(r"\blifespan\b", re.IGNORECASE)
_REFUSES = re.compile(
    r"^\W*lifespan\W*$|scope|protocol|connection|type|kind|support|implement|handle|unknown", re.IGNORECASE
)
# Errors of a dispatcher that has no branch for this scope.
_NO_BRANCH = re.compile(r"'NoneType' object is not callable|local variable", re.IGNORECASE)
_logger = logging.getLogger("divan_obs_asgi.lifespan")


async def run_lifespan(
    app: ASGIApp, obs: Observability, scope: Scope, receive: Receive, send: Send, owner: object
) -> None:
    """
    Forward the lifespan of `app`, and run `obs` from before its start until after its end.

    An exception of the application reaches the server, and the server decides: `uvicorn --lifespan on` exits, `auto`
    and hypercorn continue to serve. Then `obs` continues as well. The exception is logged and readiness fails from then
    on, unless it only means that the application does not support lifespan (ASGI, "Lifespan Protocol").

    If the application returns without a response, the responses of the protocol are sent for it.

    Args:
        owner: `obs` runs without a lifespan as long as this object exists.
    """
    around = scope.get(_KEY, ())
    if any(one is obs for one in around):
        # Wrapped twice with the same bundle, which runs once.
        await app(scope, receive, send)
        return
    scope[_KEY] = (*around, obs)
    try:
        await _LifespanCall(obs, receive, send, owner).run(app, scope)
    finally:
        scope.pop(_KEY, None)


class _LifespanCall:
    """One call of an application with a lifespan scope."""

    def __init__(self, obs: Observability, receive: Receive, send: Send, owner: object) -> None:
        self._obs = obs
        self._owner = owner
        self._receive = receive
        self._send = send
        self._received: set[str] = set()
        self._sent: set[str] = set()

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        obs = self._obs
        await obs.background.end_alone()
        obs.started(True)
        obs.background.mark_starting()
        failure: BaseException | None = None
        async with AsyncExitStack() as life:
            self._stop = await life.enter_async_context(obs.running())
            try:
                await app(scope, self.receive, self.send)
            except BaseException as error:
                failure = error
                if not _is_an_end(error) and self._failed(error, scope):
                    # No step of the event loop between here and the server: uvicorn's `--lifespan on` exits only if
                    # the application fails before uvicorn has seen `startup.complete`; later it continues to serve.
                    obs.go_on_alone(self._owner, life.pop_all())
            else:
                if "lifespan.startup.failed" not in self._sent:
                    await self._complete_protocol()
        if failure is not None:
            raise failure

    async def receive(self) -> Message:
        message = await self._receive()
        self._received.add(message["type"])
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        self._sent.add(kind)
        if kind == "lifespan.startup.complete":
            # Dependencies may have become available while the application started.
            self._obs.probes.recheck()
            self._obs.background.mark_started()
        elif kind == "lifespan.startup.failed":
            self._obs.started(False)
            self._log_unless_explained(message, "The application failed to start; it is not ready.")
            # Before the message, so that the call ends as soon as the server has received it.
            await self._stop()
        elif kind in _ENDED and "lifespan.shutdown" in self._received:
            if kind == "lifespan.shutdown.failed":
                self._log_unless_explained(message, "The application failed to shut down.")
            # A server may end the process as soon as it receives this: uvicorn raises its signal again.
            with anyio.move_on_after(_STOP_TIMEOUT_S):
                await self._stop()
            await self._obs.rest_in_thread()
        await self._send(message)

    async def _complete_protocol(self) -> None:
        if "lifespan.startup.complete" not in self._sent:
            if "lifespan.startup" not in self._received:
                await self.receive()
            await self.send({"type": "lifespan.startup.complete"})
        if not self._sent & _ENDED:
            if "lifespan.shutdown" not in self._received:
                await self.receive()
            await self.send({"type": "lifespan.shutdown.complete"})

    def _failed(self, failure: BaseException, scope: Scope) -> bool:
        """Log the failure, and return whether `obs` continues to run."""
        obs = self._obs
        if self._sent & _FAILED:
            return False  # The failure is in the message or in the log, and the server exits.
        if "lifespan.shutdown" in self._received:
            self._log("The application failed to shut down.", failure)
            return False
        if "lifespan.startup.complete" in self._sent:
            obs.started(True, still=False)
            self._log("The lifespan of the application has failed; the application is no longer ready.", failure)
        elif not self._received and says_unsupported(failure, scope):
            _logger.info("The application has no lifespan: %s.", type(failure).__name__)
            obs.probes.recheck()
            obs.background.mark_started()
        else:
            obs.started(False)
            self._log("The application failed to start; it is not ready.", failure)
        return True

    def _log_unless_explained(self, message: Message, text: str) -> None:
        """Log the failure unless the server logs it from the message; the message of python-socketio has no text."""
        if not message.get("message"):
            self._log(text, sys.exc_info()[1])

    def _log(self, text: str, failure: BaseException | None) -> None:
        try:
            _logger.error(text, exc_info=failure)
        except Exception as another:
            self._obs.faults.report("logs", another)


def _is_an_end(error: BaseException) -> bool:
    """Return whether this ends the call from outside, and is not a failure of the application."""
    if isinstance(error, GeneratorExit):
        return True
    return isinstance(error, anyio.get_cancelled_exc_class()) and not is_foreign_cancellation(error)


def says_unsupported(error: BaseException, scope: Scope) -> bool:
    """
    Return whether `error` means that the application does not support lifespan, and not that it failed to start.

    Frameworks have no common way to say so. In all of them the code that raises has the scope and complains about it:
    `assert scope["type"] == "http"`, `raise NotImplementedError`, the KeyError of `scope["path"]`, the ValueError of
    Django, Channels and asgiref; or it finds nothing for this scope: the KeyError of `handlers[scope["type"]]`, a call
    of None, an unassigned variable. A middleware that cannot be constructed does none of this.
    """
    if not isinstance(error, Exception):
        return False
    text = _text(error)
    kinds = (AssertionError, NotImplementedError, ValueError, TypeError, LookupError)
    if isinstance(error, kinds) and _WORD.search(text) and _REFUSES.search(text):
        return True
    innermost = _innermost(error.__traceback__)
    if innermost is None or not _has_lifespan_scope(innermost.tb_frame, scope):
        return False
    if isinstance(error, AssertionError):
        return _ABOUT_THE_SCOPE.search(text or _source(innermost) or "scope") is not None
    if isinstance(error, KeyError):
        return error.args[:1] != () and error.args[0] in _OF_A_CONNECTION
    if isinstance(error, (TypeError, UnboundLocalError)) and _NO_BRANCH.search(text):
        return True
    return isinstance(error, NotImplementedError) or _OF_THE_SCOPE.search(text) is not None


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _has_lifespan_scope(frame: FrameType, scope: Scope) -> bool:
    return any(value is scope or _is_lifespan_scope(value) for value in _values(frame.f_locals))


def _values(names: Mapping[str, Any]) -> Iterator[object]:
    yield from names.values()
    # An object that was created for the scope, as in ASGI 2.
    yield getattr(names.get("self"), "__dict__", {}).get("scope")


def _is_lifespan_scope(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == "lifespan" and "asgi" in value


def _source(place: TracebackType) -> str:
    """Return the source line that raised; "" if the source is not available."""
    return linecache.getline(place.tb_frame.f_code.co_filename, place.tb_lineno).strip()


__all__ = ["run_lifespan", "says_unsupported"]

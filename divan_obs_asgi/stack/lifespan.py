"""The library's part of the application's life, around the application's own."""

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

# The bundles whose lifespan is on its way inwards already.
_KEY = "divan_obs_asgi.lifespan"
_ENDED = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})
_FAILED = frozenset({"lifespan.startup.failed", "lifespan.shutdown.failed"})
# Who does not end by then is left behind.
_PATIENCE_S = 3.0

# What a connection's scope has and a lifespan's has not: whoever looks for one of these took it for a connection's.
_OF_A_CONNECTION = frozenset(
    {"client", "headers", "http_version", "method", "path", "query_string", "raw_path", "root_path", "scheme", "server"}
)
_OF_THE_SCOPE = re.compile(r"scope|lifespan|protocol|asgi|non-http|only http|http only", re.IGNORECASE)
_ABOUT_THE_SCOPE = re.compile(r"scope|lifespan|protocol|type|kind|http", re.IGNORECASE)
# Without the scope at hand: the word alone may also be that of a setting.
_WORD = re.compile(r"\blifespan\b", re.IGNORECASE)
_REFUSES = re.compile(
    r"^\W*lifespan\W*$|scope|protocol|connection|type|kind|support|implement|handle|unknown", re.IGNORECASE
)
# What a dispatcher is told that has no branch for this scope.
_NO_BRANCH = re.compile(r"'NoneType' object is not callable|local variable", re.IGNORECASE)
_logger = logging.getLogger("divan_obs_asgi.lifespan")


async def run_lifespan(
    app: ASGIApp, obs: Observability, scope: Scope, receive: Receive, send: Send, owner: object
) -> None:
    """
    Forward `app`'s lifespan, and keep `obs` running from before its start to after its end.

    What the application raises reaches the server as it does without us, and the server decides: `uvicorn --lifespan
    on` gives up, `auto` and hypercorn go on serving. For them `obs` goes on, too. Unless it was how an application
    says that it has no lifespan (ASGI, "Lifespan Protocol"), it is logged, and readiness fails from then on.

    An application that returns before it has answered raises nothing; the protocol is spoken for it.

    Args:
        owner: what has to be there for `obs` to go on without a lifespan.
    """
    around = scope.get(_KEY, ())
    if any(one is obs for one in around):
        # Wrapped twice with one bundle, which has one life.
        await app(scope, receive, send)
        return
    scope[_KEY] = (*around, obs)
    try:
        await _Lifespan(obs, receive, send, owner).run(app, scope)
    finally:
        scope.pop(_KEY, None)


class _Lifespan:
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
                    # From here to the server without a step of the event loop: uvicorn's `--lifespan on` gives up where
                    # an application breaks off before `startup.complete` has been noticed, and serves on afterwards.
                    obs.go_on_alone(self._owner, life.pop_all())
            else:
                if "lifespan.startup.failed" not in self._sent:
                    await self._speak_for_the_application()
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
            # What was not there before the application started may be there now.
            self._obs.probes.recheck()
            self._obs.background.mark_started()
        elif kind == "lifespan.startup.failed":
            self._obs.started(False)
            self._tell_why(message, "The application failed to start; it is not ready.")
            # Now, so that the application's call ends at once when the server has heard it, as without us.
            await self._stop()
        elif kind in _ENDED and "lifespan.shutdown" in self._received:
            if kind == "lifespan.shutdown.failed":
                self._tell_why(message, "The application failed to shut down.")
            # A server may end the process as soon as it has heard this: uvicorn raises its signal again.
            with anyio.move_on_after(_PATIENCE_S):
                await self._stop()
            await self._obs.rest_in_thread()
        await self._send(message)

    async def _speak_for_the_application(self) -> None:
        if "lifespan.startup.complete" not in self._sent:
            if "lifespan.startup" not in self._received:
                await self.receive()
            await self.send({"type": "lifespan.startup.complete"})
        if not self._sent & _ENDED:
            if "lifespan.shutdown" not in self._received:
                await self.receive()
            await self.send({"type": "lifespan.shutdown.complete"})

    def _failed(self, failure: BaseException, scope: Scope) -> bool:
        """Log it, and return whether `obs` goes on."""
        obs = self._obs
        if self._sent & _FAILED:
            return False  # The server has been told why, or the log, and does not go on.
        if "lifespan.shutdown" in self._received:
            self._log("The application failed to shut down.", failure)
            return False
        if "lifespan.startup.complete" in self._sent:
            obs.started(True, still=False)
            self._log("The lifespan of the application broke off; it is not ready any more.", failure)
        elif not self._received and says_unsupported(failure, scope):
            _logger.info("The application has no lifespan: %s.", type(failure).__name__)
            obs.probes.recheck()
            obs.background.mark_started()
        else:
            obs.started(False)
            self._log("The application failed to start; it is not ready.", failure)
        return True

    def _tell_why(self, message: Message, text: str) -> None:
        """Log what has failed, unless the message says it, which the server logs; python-socketio's says nothing."""
        if not message.get("message"):
            self._log(text, sys.exc_info()[1])

    def _log(self, text: str, failure: BaseException | None) -> None:
        try:
            _logger.error(text, exc_info=failure)
        except Exception as another:
            self._obs.faults.report("logs", another)


def _is_an_end(error: BaseException) -> bool:
    """Tell whether this ends the call from outside, and is not what went wrong in it."""
    if isinstance(error, GeneratorExit):
        return True
    return isinstance(error, anyio.get_cancelled_exc_class()) and not is_foreign_cancellation(error)


def says_unsupported(error: BaseException, scope: Scope) -> bool:
    """
    Tell whether `error` is how an application says that it has no lifespan, and not why it cannot start.

    Frameworks and plain applications have no common way. What they have in common is that the code which raises has
    the scope at hand and complains of it: `assert scope["type"] == "http"`, `raise NotImplementedError`, the KeyError
    of `scope["path"]`, Django's, Channels' and asgiref's ValueError; or that it finds nothing for this scope: the
    KeyError of `handlers[scope["type"]]`, None that is called, a handler that no branch has assigned. A middleware that
    cannot be built does none of it.
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
    # An object that was made for the scope, as in ASGI 2.
    yield getattr(names.get("self"), "__dict__", {}).get("scope")


def _is_lifespan_scope(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == "lifespan" and "asgi" in value


def _source(place: TracebackType) -> str:
    """Return the line that raised, "" where the source is not there."""
    return linecache.getline(place.tb_frame.f_code.co_filename, place.tb_lineno).strip()


__all__ = ["run_lifespan", "says_unsupported"]

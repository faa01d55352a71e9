"""What happens around a call of a client library: its wait is timed, and it gets a span."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from divan_obs_asgi.clients.description import Description, Descriptions
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.connection.wait_times import Cause, WaitTimes

# Returns what a call does, from the client, the arguments and the keyword arguments; None for a call without a span.
Describe: TypeAlias = Callable[[Descriptions, Any, tuple[Any, ...], Mapping[str, Any]], Description | None]


class CallSpan(Protocol):
    """The span of a call."""

    @property
    def description(self) -> Description:
        """What the call does, as it was described for the span."""

    def finish(self, error: BaseException | None) -> None:
        """End the span; `error` is what the call has raised."""


class CallSpans(Protocol):
    """Makes the spans of calls. Its methods never raise."""

    def start(
        self, describe: Describe, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> CallSpan | None:
        """Return a started span; None if the call is not recorded."""


class PoolWatcher(Protocol):
    """Is called for each attempt to get a connection from one pool. Its methods never raise."""

    def watches(self, pool: object) -> bool:
        """Return whether this is the pool."""

    def begin(self) -> None:
        """Note that an attempt begins; `end` follows, in any thread."""

    def end(self, seconds: float, error: BaseException | None) -> None:
        """Note that an attempt has ended; `error` is what it has raised."""


class Library:
    """
    What the calls of a patched library are reported to.

    Attributes:
        spans: None while the library's calls get no spans.
        pools: the watchers of its pools.
    """

    __slots__ = ("pools", "spans")

    def __init__(self) -> None:
        self.spans: CallSpans | None = None
        self.pools: tuple[PoolWatcher, ...] = ()


@functools.cache
def library(name: str) -> Library:
    """Return what the calls of a library are reported to, in this process."""
    return Library()


class Method(NamedTuple):
    """
    A method to patch.

    Attributes:
        owner: the dotted path of its class.
        name: the name of the method.
        wrap: how it is called: `wrap_async`, `wrap_sync` or another function like these.
        cause: what a request waits for in it.
        describe: None for a method whose calls get no span.
    """

    owner: str
    name: str
    wrap: Callable[[Any, Library, Cause, Describe | None], Any]
    cause: Cause
    describe: Describe | None = None


def _observers(
    library: Library,
    cause: Cause,
    describe: Describe | None,
    client: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[CallSpan | None, WaitTimes | None]:
    """Return the started span of a call that is about to be made, and what times it; None for what there is not."""
    record = current_record.get()
    spans = library.spans
    span = None if spans is None or describe is None else spans.start(describe, client, args, kwargs)
    if record is None:
        return span, None
    if record.watcher is not None:
        span = record.watcher.call(record, cause, describe, client, args, kwargs, span)
    # What a task does after the end of its request is not measured.
    return span, record.waited if record.outcome is None else None


def wrap_async(plain: Any, library: Library, cause: Cause, describe: Describe | None) -> Any:
    """Wrap a coroutine function."""

    # No coroutine function: a call that nobody observes costs no second coroutine.
    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        span, waited = _observers(library, cause, describe, self, args, kwargs)
        if span is not None:
            return _traced(plain(self, *args, **kwargs), span, waited, cause)
        if waited is not None:
            return _timed(plain(self, *args, **kwargs), waited, cause)
        return plain(self, *args, **kwargs)

    return call


def wrap_sync(plain: Any, library: Library, cause: Cause, describe: Describe | None) -> Any:
    """Wrap a plain function that blocks."""

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        span, waited = _observers(library, cause, describe, self, args, kwargs)
        if span is None and waited is None:
            return plain(self, *args, **kwargs)
        error: BaseException | None = None
        if waited is not None:
            waited.begin(cause)
        try:
            return plain(self, *args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            if waited is not None:
                waited.end(cause)
            if span is not None:
                span.finish(error)
            # The traceback refers to this frame, and the frame must not refer to it.
            del error

    return call


def wrap_result(plain: Any, library: Library, cause: Cause, describe: Describe | None) -> Any:
    """Wrap a method of aiosqlite, which returns an object around a coroutine."""

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = plain(self, *args, **kwargs)
        span, waited = _observers(library, cause, describe, self, args, kwargs)
        if span is not None:
            result._coro = _traced(result._coro, span, waited, cause)
        elif waited is not None:
            result._coro = _timed(result._coro, waited, cause)
        return result

    return call


async def _traced(call: Awaitable[Any], span: CallSpan, waited: WaitTimes | None, cause: Cause) -> Any:
    if waited is not None:
        waited.begin(cause)
    try:
        result = await call
    except BaseException as error:
        span.finish(error)
        raise
    else:
        span.finish(None)
        return result
    finally:
        if waited is not None:
            waited.end(cause)


async def _timed(call: Awaitable[Any], waited: WaitTimes, cause: Cause) -> Any:
    waited.begin(cause)
    try:
        return await call
    finally:
        waited.end(cause)


__all__ = [
    "CallSpan",
    "CallSpans",
    "Describe",
    "Library",
    "Method",
    "PoolWatcher",
    "library",
    "wrap_async",
    "wrap_result",
    "wrap_sync",
]

"""Spans for the application's own work. Works without the extra `tracing`, and then does nothing."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from divan_obs_asgi.clients.description import Description
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.names import class_name
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.errors import frames_only, marker_for
from divan_obs_asgi.redaction.text import HIDDEN
from divan_obs_asgi.redaction.tracebacks import formatted
from divan_obs_asgi.tracing.spans.decorator import is_async, name_of, wrap_calls
from divan_obs_asgi.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, Tracer

    from divan_obs_asgi.tracing.spans.client import InternalSpan

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

_NAME = "divan_obs_asgi"


class ApplicationSpan(Protocol):
    """The span of `with obs.span(...) as span`: a span of OpenTelemetry, or one that does nothing."""

    def set_attribute(self, key: str, value: Any) -> None: ...

    def add_event(self, name: str, attributes: Any = None) -> None: ...

    def is_recording(self) -> bool: ...


class SpanFactory:
    """
    Creates spans for the application's own work.

    Args:
        tracer: returns the tracer, or None without tracing.
        policy: redacts attributes and exceptions before they are set, because the exporter of the application's own
            provider does not redact.
        light: starts the spans of the library's own work, where this library has built the provider.
    """

    def __init__(
        self,
        tracer: Callable[[], Tracer | None],
        policy: RedactionPolicy,
        light: Callable[[Description], InternalSpan | None] | None = None,
    ) -> None:
        self._tracer = tracer
        self._policy = policy
        self._light = light

    def span(self, name: str, **attributes: object) -> AbstractContextManager[ApplicationSpan]:
        """
        Return a context manager that makes a child span of the current span.

        An exception is recorded in redacted form and re-raised; cancellation does not count as an error. While
        OpenTelemetry's instrumentation is suppressed, nothing is recorded.
        """
        return self._span(name, attributes, new_trace=False)

    def describe(self, name: str, **attributes: object) -> Description:
        """Return the description of a span for `described`, with redacted attributes."""
        return Description(name, {key: self._value(key, value) for key, value in attributes.items()})

    @contextmanager
    def described(self, description: Description) -> Iterator[ApplicationSpan]:
        """
        Make a span like `span`, which costs a tenth of it below a recorded span of this library.

        Args:
            description: has a name and attributes of this library; it is redacted once, and used for many spans.
        """
        light = None if self._light is None else self._light(description)
        if light is None:
            with self._span(description.name, description.attributes, new_trace=False) as span:
                yield span
            return
        from opentelemetry.trace import use_span

        try:
            with use_span(light, record_exception=False, set_status_on_exception=False):
                yield light
        except Exception as error:
            record_error(light, error, self._policy)
            raise
        finally:
            light.finish(None)

    @overload
    def traced(self, function: F, /) -> F: ...

    @overload
    def traced(self, name: str | None = None, /, **attributes: object) -> Callable[[F], F]: ...

    def traced(self, given: Any = None, /, **attributes: object) -> Any:
        """
        Give each call of a function a span: `@obs.traced`, or `@obs.traced("name", attribute=...)`.

        Raises:
            TypeError: for a generator function, because its body does not run during the call.
        """
        if callable(given):
            return self._traced(given, None, {})
        return lambda function: self._traced(function, given, attributes)

    @overload
    def background(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], Awaitable[T]]: ...

    @overload
    def background(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]: ...

    def background(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """
        Return a callable that later calls `function` with these arguments, in a new trace that links to the request.

        Use it for background tasks of Starlette and FastAPI, for `create_task` and for queues:
        `tasks.add_task(obs.background(send, address))`. Call `background` during the request; the returned callable
        can be called at any time.
        """
        name = f"background {name_of(function)}"
        record = current_record.get()
        attributes: dict[str, object] = {"divan.request_id": record.request_id} if record is not None else {}
        links = _links_to_current()
        if is_async(function):

            async def run() -> Any:
                with self._span(name, attributes, new_trace=True, links=links):
                    return await function(*args, **kwargs)

            return run

        def run_now() -> Any:
            with self._span(name, attributes, new_trace=True, links=links):
                return function(*args, **kwargs)

        return run_now

    def _traced(self, function: Any, name: str | None, attributes: Mapping[str, object]) -> Any:
        name = name or name_of(function)
        return wrap_calls(function, lambda: self._span(name, attributes, new_trace=False), "traced")

    @contextmanager
    def _span(
        self, name: str, attributes: Mapping[str, object], *, new_trace: bool, links: list[Link] | None = None
    ) -> Iterator[ApplicationSpan]:
        tracer = self._tracer()
        if tracer is None:
            yield _NOOP_SPAN
            return
        from opentelemetry.context import Context
        from opentelemetry.trace import get_current_span

        from divan_obs_asgi.tracing.propagation.context import current, is_suppressed
        from divan_obs_asgi.tracing.spans.unrecorded import is_own_unrecorded

        if is_suppressed(current()):
            yield _NOOP_SPAN
            return
        if not new_trace and is_own_unrecorded():
            # A child would not be recorded either, so neither a span nor redacted attributes are made.
            yield get_current_span()
            return
        with tracer.start_as_current_span(
            name,
            Context() if new_trace else None,
            attributes={key: self._value(key, value) for key, value in attributes.items()},
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                record_error(span, error, self._policy)
                raise

    def _value(self, key: str, value: object) -> Any:
        redacted = self._policy.redact_field(key, value)
        if isinstance(redacted, list):
            return [str(item) for item in redacted]
        return redacted if isinstance(redacted, (str, bool, int, float)) else str(redacted)


def record_error(span: Span, error: Exception, policy: RedactionPolicy, hidden: Iterable[str] = ()) -> None:
    """Mark `span` as failed and add an event with the redacted exception; the texts in `hidden` are removed from it."""
    from opentelemetry.trace import StatusCode

    if not span.is_recording():
        return
    kind = policy.redact_text(class_name(type(error)))
    budget = policy.line_budget()
    message, places = _text_of(error), formatted(error, policy, budget)
    repeats = marker_for(error)
    if repeats is not None:
        message, places = repeats, frames_only(places)
    for text in hidden:
        message, places = message.replace(text, HIDDEN), places.replace(text, HIDDEN)
    span.add_event(
        "exception",
        {
            "exception.type": kind,
            "exception.message": policy.redact_text(message, budget),
            "exception.stacktrace": policy.redact_traceback(places, budget),
        },
    )
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return ""


class _NoopSpan:
    """The span without tracing."""

    def set_attribute(self, key: str, value: object) -> None:
        """Do nothing."""

    def add_event(self, name: str, attributes: object = None) -> None:
        """Do nothing."""

    def is_recording(self) -> bool:
        return False


_NOOP_SPAN = _NoopSpan()


def untraced() -> AbstractContextManager[object]:
    """
    Return a context manager in which client libraries make no spans.

    The library's own checks use it: they run every few seconds and do not belong to a request.
    """
    # What makes spans of client calls imports one of these. If neither is loaded, there are none. Importing them here
    # would block the event loop, and the first check, for longer than the timeout of a probe.
    ours = sys.modules.get("divan_obs_asgi.tracing.propagation.context")
    theirs = sys.modules.get("opentelemetry.instrumentation.utils")
    suppress = getattr(ours or theirs, "suppress_instrumentation", nullcontext)
    block: AbstractContextManager[object] = suppress()
    return block


def tracer_of(provider: Any) -> Callable[[], Tracer | None]:
    """Return a function that returns the tracer of `provider`, or None if `provider` is None."""
    if provider is None:
        return lambda: None
    tracer: Tracer = provider.get_tracer(_NAME, __version__)
    return lambda: tracer


def _links_to_current() -> list[Link]:
    try:
        from opentelemetry.trace import Link, get_current_span
    except ImportError:
        return []
    current = get_current_span().get_span_context()
    return [Link(current)] if current.is_valid else []


__all__ = ["ApplicationSpan", "SpanFactory", "record_error", "tracer_of", "untraced"]

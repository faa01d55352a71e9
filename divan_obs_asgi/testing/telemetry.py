"""The telemetry of one test: requests, log lines, spans, changes of metrics, Socket.IO events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TypeVar

import anyio

from divan_obs_asgi.observability import Observability
from divan_obs_asgi.observability.bundle import each_bundle
from divan_obs_asgi.testing.collected import Changes, Collected, Event, Line, Request, Span
from divan_obs_asgi.testing.listening import Listener
from divan_obs_asgi.testing.secrecy import surviving

T = TypeVar("T")

_TICK_S = 0.01
_NOBODY = "No application was observed: call init or wrap, and do not set OBS_ENABLED=false."
_NO_TRACING = "Tracing is off in every application: install divan-obs-asgi[tracing] and set OBS_TRACING_ENABLED=true."
# Attributes of applications and middlewares with the next application inside.
_INSIDE = ("app", "other_asgi_app", "engineio_server", "application", "_app", "_chain")
_DEPTH = 20
# Characters that a failure shows of a secret with at least _LONG characters.
_HINT, _LONG = 2, 6


class Telemetry:
    """
    The telemetry of one test, from all applications of the process or from one of them (`of`).

    Each property waits for requests that another thread is about to finish, at most five seconds for each: a client has
    its response before the application has ended. Use `wait_for` for everything that happens later.
    """

    def __init__(self, listeners: list[Listener], only: Observability | None = None) -> None:
        self._all = listeners
        self._only = only

    @property
    def _listeners(self) -> list[Listener]:
        return [one for one in tuple(self._all) if self._only is None or one.bundle is self._only]

    @property
    def requests(self) -> Collected[Request]:
        """Requests and WebSockets that have ended, without successful health checks and scrapes."""
        self._settle()
        return Collected(_merged([one.requests for one in self._listeners]), "requests", note=self._note())

    @property
    def events(self) -> Collected[Event]:
        """Calls of Socket.IO handlers that have ended."""
        self._settle()
        return Collected(_merged([one.events for one in self._listeners]), "events", note=self._note())

    @property
    def lines(self) -> Collected[Line]:
        """Log lines that were written, after level, sampling and redaction."""
        self._settle()
        ours, found = self._listeners, []
        for listener in self._all:
            # All loggers of the standard library write through the application that was wrapped last.
            for line in listener.read_lines():
                owners = [one for one in self._all if line.get("request_id") and line["request_id"] in one.ids]
                if (listener if listener in owners or not owners else owners[0]) in ours:
                    found.append(line)
        return Collected(sorted(found, key=lambda line: str(line.get("ts"))), "lines", note=self._note())

    @property
    def spans(self) -> Collected[Span]:
        """Spans that have ended and are sampled, as they are exported."""
        self._settle()
        traced = not self._listeners or any(one.bundle.spans is not None for one in self._listeners)
        note = self._note() if traced else _NO_TRACING
        return Collected(_merged([one.spans for one in self._listeners]), "spans", note=note)

    @property
    def metrics(self) -> Changes:
        """The series that have changed, with the differences."""
        self._settle()
        changes = [change for one in self._listeners for change in one.changes()]
        return Changes(changes, "changes of metrics", note=self._note())

    def of(self, app: object) -> Telemetry:
        """
        Return the telemetry of one application.

        Args:
            app: the argument of `init` or the result of `wrap`, its bundle, an `ObservedAsyncServer`, or its name
                (OBS_SERVICE_NAME).

        Raises:
            ValueError: if it is not observed, or several have that name.
        """
        if isinstance(app, str):
            named = [one.bundle for one in self._all if one.bundle.settings.service.name == app]
            if len(named) != 1:
                names = ", ".join(sorted({one.bundle.settings.service.name for one in self._all}))
                raise ValueError(f"{len(named)} applications have the name {app!r}; known names: {names or 'none'}.")
            return Telemetry(self._all, named[0])
        bundle = _bundle_of(app)
        if bundle is None:
            raise ValueError(f"{type(app).__name__} is not observed: neither init nor wrap has been called with it.")
        return Telemetry(self._all, bundle)

    def wait_for(self, condition: Callable[[Telemetry], T], timeout_s: float = 30.0) -> T:
        """
        Wait until `condition(telemetry)` is true, and return it; for applications in another thread.

        Raises:
            AssertionError: after the timeout; it lists what was collected.
        """
        __tracebackhide__ = True
        deadline = monotonic() + timeout_s
        while not (result := condition(self)):
            if monotonic() >= deadline:
                raise AssertionError(self._failure(timeout_s))
            sleep(_TICK_S)
        return result

    async def eventually(self, condition: Callable[[Telemetry], T], timeout_s: float = 30.0) -> T:
        """Like `wait_for`, for applications in the event loop of the test."""
        __tracebackhide__ = True
        deadline = monotonic() + timeout_s
        while not (result := condition(self)):
            if monotonic() >= deadline:
                raise AssertionError(self._failure(timeout_s))
            await anyio.sleep(_TICK_S)
        return result

    def assert_no_secret(self, *secrets: str) -> None:
        """
        Assert that none of these secrets is in the log lines as written, the spans as exported, the metrics page or the
        Socket.IO events.

        Each is searched for in plain text, in any case, URL-encoded, with JSON escapes, and in base64.

        Raises:
            AssertionError: it names the sink and shows at most two characters of a secret.
        """
        __tracebackhide__ = True
        hinted = {f"secret {number} ({hint_of(secret)})": secret for number, secret in enumerate(secrets, 1)}
        found = self.leaks(hinted)
        if found:
            raise AssertionError("\n".join(["A secret has left the application:", *(f"  {leak}" for leak in found)]))

    def leaks(self, secrets: Mapping[str, str]) -> list[str]:
        """Return which secret can be read in which place: `secret 1 (hu...) in log line 2 of 3`."""
        self._settle()
        found = []
        for sink, items in self._sinks().items():
            if surviving([captured for _, captured in items], secrets):
                found += [
                    f"{label} in {sink} {number} of {len(items)}{_safe(place, secrets)}"
                    for number, (place, captured) in enumerate(items, 1)
                    for label in surviving([captured], secrets)
                ]
        return found

    def _sinks(self) -> dict[str, list[tuple[str, object]]]:
        """Return everything that has left the application, by sink, each item with the name of its place."""
        for listener in self._listeners:
            listener.bundle.log.sink.flush()
        return {
            "log line": [("", line) for one in self._listeners for line in one.written],
            "span": [(span.name, span.texts) for one in self._listeners for _, span in one.spans],
            "new line of the metrics page": [
                (line.partition("{")[0], line) for one in self._listeners for line in one.new_on_page()
            ],
            "Socket.IO event": [
                (event.route, (event.route, event.payload_shape, event.fields, event.error))
                for one in self._listeners
                for _, event in one.events
            ],
        }

    def _settle(self) -> None:
        for listener in self._listeners:
            listener.settle()

    def _note(self) -> str:
        return "" if any(one.bundle.settings.enabled for one in self._listeners) else _NOBODY

    def _failure(self, timeout_s: float) -> str:
        parts: list[Collected[object]] = [self.requests, self.events, self.spans, self.lines]  # type: ignore[list-item]
        collected = [line for part in parts for line in part.failure_lines(f"{len(part)} in all")]
        return "\n".join([f"The condition was not true within {timeout_s:g} s.", *collected])

    def __repr__(self) -> str:
        counts = {
            "requests": sum(len(one.requests) for one in self._listeners),
            "events": sum(len(one.events) for one in self._listeners),
            "spans": sum(len(one.spans) for one in self._listeners),
        }
        names = sorted({one.bundle.settings.service.name for one in self._listeners})
        described = ", ".join(f"{number} {what}" for what, number in counts.items())
        return f"<Telemetry of {', '.join(names) or 'no application'}: {described}>"


@contextmanager
def telemetry() -> Iterator[Telemetry]:
    """Collect the telemetry of all applications of this process, those created meanwhile included."""
    listeners: list[Listener] = []
    present = True

    def listen(bundle: Observability) -> None:
        listener = Listener(bundle, listeners)
        listeners.append(listener)
        listener.start(since_its_birth=not present)

    try:
        with each_bundle(listen):
            present = False
            yield Telemetry(listeners)
    finally:
        for listener in listeners:
            listener.stop()


def hint_of(secret: str) -> str:
    """Return a hint by which the owner recognises a secret, without revealing it."""
    return f"{secret[:_HINT]}..., {len(secret)} characters" if len(secret) >= _LONG else f"{len(secret)} characters"


def _merged(lists: list[list[tuple[int, T]]]) -> list[T]:
    return [item for _, item in sorted((pair for one in lists for pair in tuple(one)), key=lambda pair: pair[0])]


def _safe(place: str, secrets: Mapping[str, str]) -> str:
    return f" ({place})" if place and not surviving(place, secrets) else ""


def _bundle_of(app: object) -> Observability | None:
    """Return the bundle of an application: its own, or that of an application inside it."""
    looked_at: list[object] = [app]
    for one in looked_at:
        if isinstance(one, Observability):
            return one
        own = getattr(one, "obs", None)
        own = own if own is not None else getattr(getattr(one, "state", None), "divan_obs_asgi", None)
        if isinstance(own, Observability):
            return own
        inside = (getattr(one, name, None) for name in _INSIDE)
        looked_at += [next_one for next_one in inside if next_one is not None][: _DEPTH - len(looked_at)]
    return None


__all__ = ["Telemetry", "hint_of", "telemetry"]

"""What one test has caused: requests, log lines, spans, changes of metrics, Socket.IO events."""

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
_NOBODY = "No application was observed: is it inside of init or wrap, and OBS_ENABLED not false?"
_NO_TRACING = (
    "Tracing is off in every application here: OBS_TRACING_ENABLED=true, with divan-obs-asgi[tracing], has spans."
)
# Where an application, or what stands around it, has its bundle or the next one inside.
_INSIDE = ("app", "other_asgi_app", "engineio_server", "application", "_app", "_chain")
_DEPTH = 20
# Characters of a secret that a failure shows, of those that are long enough.
_HINT, _LONG = 2, 6


class Telemetry:
    """
    What one test has caused, in all applications of the process, or in one of them (`of`).

    What another thread is about to finish is waited for, five seconds at most for each request: a client has its
    response before the server's application has ended. Whatever else comes later, `wait_for` waits for it.
    """

    def __init__(self, listeners: list[Listener], only: Observability | None = None) -> None:
        self._all = listeners
        self._only = only

    @property
    def _listeners(self) -> list[Listener]:
        return [one for one in tuple(self._all) if self._only is None or one.bundle is self._only]

    @property
    def requests(self) -> Collected[Request]:
        """Requests and WebSockets that have ended; not health checks and scrapes that have succeeded."""
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
            # The standard library's loggers write by the application that was wrapped last, whoever has called them.
            for line in listener.read_lines():
                owners = [one for one in self._all if line.get("request_id") and line["request_id"] in one.ids]
                if (listener if listener in owners or not owners else owners[0]) in ours:
                    found.append(line)
        return Collected(sorted(found, key=lambda line: str(line.get("ts"))), "lines", note=self._note())

    @property
    def spans(self) -> Collected[Span]:
        """Spans that have ended and are sampled, as they are exported, wherever they go."""
        self._settle()
        traced = not self._listeners or any(one.bundle.spans is not None for one in self._listeners)
        note = self._note() if traced else _NO_TRACING
        return Collected(_merged([one.spans for one in self._listeners]), "spans", note=note)

    @property
    def metrics(self) -> Changes:
        """The series that have changed, and by how much."""
        self._settle()
        changes = [change for one in self._listeners for change in one.changes()]
        return Changes(changes, "changes of metrics", note=self._note())

    def of(self, app: object) -> Telemetry:
        """
        Return what one application has caused.

        Args:
            app: what `init` was called with or `wrap` has returned, its bundle, an `ObservedAsyncServer`, or its name
                (OBS_SERVICE_NAME).

        Raises:
            ValueError: where it is not observed, or several have that name.
        """
        if isinstance(app, str):
            named = [one.bundle for one in self._all if one.bundle.settings.service.name == app]
            if len(named) != 1:
                names = ", ".join(sorted({one.bundle.settings.service.name for one in self._all}))
                raise ValueError(f"{len(named)} applications are called {app!r}; there are {names or 'none'}.")
            return Telemetry(self._all, named[0])
        bundle = _bundle_of(app)
        if bundle is None:
            raise ValueError(f"{type(app).__name__} is not observed: neither init nor wrap has been called with it.")
        return Telemetry(self._all, bundle)

    def wait_for(self, condition: Callable[[Telemetry], T], timeout_s: float = 30.0) -> T:
        """
        Wait until `condition(telemetry)` is true, and return it; for applications in another thread.

        Raises:
            AssertionError: where it is not in time; it names what there was.
        """
        __tracebackhide__ = True
        deadline = monotonic() + timeout_s
        while not (result := condition(self)):
            if monotonic() >= deadline:
                raise AssertionError(self._what_there_was(timeout_s))
            sleep(_TICK_S)
        return result

    async def eventually(self, condition: Callable[[Telemetry], T], timeout_s: float = 30.0) -> T:
        """As `wait_for`, for applications in the event loop of the test."""
        __tracebackhide__ = True
        deadline = monotonic() + timeout_s
        while not (result := condition(self)):
            if monotonic() >= deadline:
                raise AssertionError(self._what_there_was(timeout_s))
            await anyio.sleep(_TICK_S)
        return result

    def assert_no_secret(self, *secrets: str) -> None:
        """
        Assert that none of these has left the application: in log lines as written, spans as exported, the metrics
        page, Socket.IO events.

        Each is looked for as it is, in any case, URL-encoded, with JSON's escapes, and in base64.

        Raises:
            AssertionError: naming the sink; it shows two characters of a secret at most.
        """
        __tracebackhide__ = True
        hinted = {f"secret {number} ({hint_of(secret)})": secret for number, secret in enumerate(secrets, 1)}
        found = self.leaks(hinted)
        if found:
            raise AssertionError("\n".join(["A secret has left the application:", *(f"  {leak}" for leak in found)]))

    def leaks(self, secrets: Mapping[str, str]) -> list[str]:
        """Return which secret can be read where: `secret 1 (hu...) in log line 2 of 3`."""
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
        """Return all that has left, by its sink, each item with a name for where it is."""
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

    def _what_there_was(self, timeout_s: float) -> str:
        parts: list[Collected[object]] = [self.requests, self.events, self.spans, self.lines]  # type: ignore[list-item]
        told = [line for part in parts for line in part.told(f"{len(part)} in all")]
        return "\n".join([f"The condition was not true within {timeout_s:g} s.", *told])

    def __repr__(self) -> str:
        counts = {
            "requests": sum(len(one.requests) for one in self._listeners),
            "events": sum(len(one.events) for one in self._listeners),
            "spans": sum(len(one.spans) for one in self._listeners),
        }
        names = sorted({one.bundle.settings.service.name for one in self._listeners})
        told = ", ".join(f"{number} {what}" for what, number in counts.items())
        return f"<Telemetry of {', '.join(names) or 'no application'}: {told}>"


@contextmanager
def telemetry() -> Iterator[Telemetry]:
    """Collect what the applications of this process do meanwhile, those that are made meanwhile too."""
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
    """Return what tells its owner which secret it is, and nobody else what it says."""
    return f"{secret[:_HINT]}..., {len(secret)} characters" if len(secret) >= _LONG else f"{len(secret)} characters"


def _merged(lists: list[list[tuple[int, T]]]) -> list[T]:
    return [item for _, item in sorted((pair for one in lists for pair in tuple(one)), key=lambda pair: pair[0])]


def _safe(place: str, secrets: Mapping[str, str]) -> str:
    return f" ({place})" if place and not surviving(place, secrets) else ""


def _bundle_of(app: object) -> Observability | None:
    """Return the bundle of an application: its own, or that of what stands inside of it."""
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

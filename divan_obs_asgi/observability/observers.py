"""Which middlewares and tests observe the connections and the Socket.IO events of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, cast
from weakref import ref

from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.types import Scope


class Observer(Protocol):
    """
    Observes records from their start; a `RecordMiddleware` is one.

    Attributes:
        component: the name under which its failures are counted.
    """

    @property
    def component(self) -> str: ...

    def observe(self, scope: Scope, record: RequestRecord) -> Callable[[], object] | None:
        """Called when a request or a WebSocket begins."""

    def observe_event(self, record: EventRecord) -> None:
        """Called when the handler of a Socket.IO event is about to be called."""


AnyObserver = TypeVar("AnyObserver", bound=Observer)


class StackObserver(Observer, Protocol):
    """A middleware: the stack itself calls its `observe`."""

    def observe_with(self, attached: tuple[Observer, ...]) -> None:
        """Call these too, before the middlewares; they replace those of the last call."""


class Observers:
    """
    The observers of one bundle. Without a reader an event costs a look at an empty tuple.

    Attributes:
        of_events: references to the observers of events, the outermost first. The bundle keeps no middleware alive.
    """

    def __init__(self) -> None:
        self.of_events: tuple[Callable[[], Observer | None], ...] = ()
        self._attached: tuple[Observer, ...] = ()
        # Not a set: a middleware may have no hash.
        self._middlewares: tuple[ref[StackObserver], ...] = ()
        self._event_middlewares: tuple[ref[StackObserver], ...] = ()

    def join(self, middleware: StackObserver, *, events: bool) -> None:
        """
        Add a middleware; a stack is built from the inside out.

        Args:
            events: whether it observes events.
        """
        reference = ref(middleware)
        self._middlewares = (reference, *(known for known in self._middlewares if known() is not None))
        if events:
            self._event_middlewares = (reference, *(known for known in self._event_middlewares if known() is not None))
            self._update_events()
        if self._attached:
            middleware.observe_with(self._attached)

    def attach(self, component: str, make: Callable[[], AnyObserver]) -> AnyObserver:
        """Have what `make` returns called before every middleware for as long as the bundle lives; once a component."""
        for known in self._attached:
            if known.component == component:
                return cast(AnyObserver, known)
        observer = make()
        self._attach((*self._attached, observer))
        return observer

    @contextmanager
    def attached(self, observer: Observer) -> Iterator[None]:
        """Have `observer` called before every middleware, in stacks that are built meanwhile too; for tests."""
        self._attach((*self._attached, observer))
        try:
            yield
        finally:
            self._attach(tuple(one for one in self._attached if one is not observer))

    def _attach(self, attached: tuple[Observer, ...]) -> None:
        self._attached = attached
        self._update_events()
        for reference in self._middlewares:
            middleware = reference()
            if middleware is not None:
                middleware.observe_with(attached)

    def _update_events(self) -> None:
        self.of_events = (*map(ref, self._attached), *self._event_middlewares)


__all__ = ["Observer", "Observers", "StackObserver"]

"""The telemetry of a test as values, which list what was collected when an assertion fails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request or a WebSocket that has ended, whatever the log level and sampling are.

    Attributes:
        kind: "http" or "websocket".
        error: the class name of the exception; empty without one.
        fields: the fields that the application has bound, redacted.
        service: OBS_SERVICE_NAME of the application.
    """

    method: str
    route: str
    status: int
    outcome: str
    duration_s: float
    kind: str = "http"
    error: str = ""
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    sampled: bool | None = None
    response_bytes: int = 0
    close_code: int | None = None
    operation: str = ""
    failure: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    service: str = ""

    def __repr__(self) -> str:
        what = "WebSocket" if self.kind == "websocket" else self.method
        return _shown(f"{what} {self.route} {self.status} {self.outcome}", error=self.error, fields=self.fields)


@dataclass(frozen=True, slots=True)
class Event:
    """
    A call of a Socket.IO handler that has ended.

    Attributes:
        event, namespace: as in the metrics.
        payload_shape: the type and the size of each argument: `object:3`, `string:120`.
        error: the class name of the exception; empty without one.
    """

    event: str
    namespace: str
    outcome: str
    duration_s: float
    error: str = ""
    payload_shape: tuple[str, ...] = ()
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    sampled: bool | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    service: str = ""

    @property
    def route(self) -> str:
        """The namespace and the event, as in a log line."""
        return f"{self.namespace} {self.event}"

    def __repr__(self) -> str:
        return _shown(f"{self.route} {self.outcome}", error=self.error, fields=self.fields)


@dataclass(frozen=True, slots=True)
class Span:
    """
    A span as it is exported: redacted, unless a provider of the application exports it.

    Attributes:
        kind: "server", "client", "internal", "consumer" or "producer".
        status: "unset", "ok" or "error".
        parent_id: the span id of the parent; empty for the root of a trace.
        events: the names and attributes of its events, exceptions for example.
        texts: everything that an exporter receives.
    """

    name: str
    kind: str
    status: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, object]
    events: tuple[tuple[str, Mapping[str, object]], ...] = ()
    duration_s: float = 0.0
    texts: tuple[object, ...] = field(default=(), repr=False)

    @property
    def route(self) -> object:
        return self.attributes.get("http.route")

    @property
    def outcome(self) -> object:
        return self.attributes.get("divan.outcome")

    def __repr__(self) -> str:
        return _shown(f"{self.kind} {self.name!r} {self.status}", attributes=self.attributes)


class Line(dict[str, Any]):
    """A log line that was written, as a dictionary of its fields: `line["msg"]`."""

    def __repr__(self) -> str:
        rest = {name: value for name, value in self.items() if name not in _IN_EVERY_LINE}
        return _shown(f"{self.get('level')} {self.get('msg')!r}", **rest)


@dataclass(frozen=True, slots=True)
class Change:
    """
    The change of a series.

    Attributes:
        name: as on the metrics page: `divan_http_requests_total`, or `..._bucket`, `..._count`, `..._sum`.
        by: the difference; the value of a new series.
    """

    name: str
    labels: Mapping[str, str]
    by: float

    def __repr__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}} {self.by:+g}"


class Collected(list[T], Generic[T]):
    """
    The collected items in order: a list that can be searched.

    A condition is a value, a compiled regular expression that must match a whole text, or, for a mapping such as
    `attributes` or `labels`, the items that it must contain.
    """

    def __init__(self, items: Iterable[T], what: str, others: Iterable[T] = (), conditions: str = "", note: str = ""):
        super().__init__(items)
        self._what, self._others, self._conditions, self._note = what, list(others), conditions, note

    def find(self, **conditions: object) -> Collected[T]:
        """Return the items that match all conditions: `telemetry.requests.find(route="/users/{id}", outcome="ok")`."""
        found = [item for item in self if all(_fits(value_of(item, name), it) for name, it in conditions.items())]
        described = ", ".join(f"{name}={condition!r}" for name, condition in conditions.items())
        return Collected(found, self._what, self._others or self, described, self._note)

    def one(self, **conditions: object) -> T:
        """
        Return the only item that matches all conditions.

        Raises:
            AssertionError: if there is not exactly one; the message lists what was collected.
        """
        __tracebackhide__ = True
        found = self.find(**conditions) if conditions else self
        if len(found) == 1:
            return found[0]
        raise AssertionError("\n".join(found.failure_lines(f"expected one, found {len(found)}")))

    def values(self, *names: str) -> list[Any]:
        """Return an attribute of each item, or tuples of several: `telemetry.requests.values("route", "status")`."""
        if len(names) == 1:
            return [value_of(item, names[0]) for item in self]
        return [tuple(value_of(item, name) for name in names) for item in self]

    def failure_lines(self, head: str) -> list[str]:
        """Return the lines of a failure message: the conditions, and what was collected."""
        among = f"{self._what} with {self._conditions}" if self._conditions else self._what
        lines = [f"{among}: {head}."]
        shown = self if self or not self._others else self._others
        if shown is not self:
            lines.append(f"There were {len(shown)} others:")
        lines += [f"  {item!r}" for item in shown[:_MOST]]
        if len(shown) > _MOST:
            lines.append(f"  ... and {len(shown) - _MOST} more")
        if not shown and self._note:
            lines.append(self._note)
        return lines

    def __repr__(self) -> str:
        if self:
            return f"<{len(self)} {self._what}: {list.__repr__(self)[1:-1]}>"
        looked_for = f" with {self._conditions}" if self._conditions else ""
        others = f"; there were {self._others!r}" if self._others else ""
        return f"<no {self._what}{looked_for}{others}{f'; {self._note}' if self._note else ''}>"


class Changes(Collected[Change]):
    """The series that have changed, with the differences."""

    def value(self, name: str, **labels: str) -> float:
        """Return the difference of a series, or the sum for all series with these labels; 0.0 without a change."""
        return sum(change.by for change in self if change.name == name and _fits(change.labels, labels))


# Items listed in a failure message.
_MOST = 30
# Fields that are in every line, or shown already.
_IN_EVERY_LINE = frozenset({"ts", "level", "msg", "env", "commit", "request_id", "trace_id", "span_id", "sample_rate"})


def value_of(item: object, name: str) -> object:
    """
    Return an attribute of an item, or a field of a log line.

    Raises:
        TypeError: for an unknown name; a search for it would silently find nothing.
    """
    if isinstance(item, dict):
        return item.get(name)
    if not hasattr(item, name):
        known = ", ".join(one.name for one in fields(item))  # type: ignore[arg-type]
        raise TypeError(f"{type(item).__name__} has no {name!r}; expected one of {known}.")
    return getattr(item, name)


def _fits(value: object, condition: object) -> bool:
    if isinstance(condition, re.Pattern):
        return isinstance(value, str) and condition.fullmatch(value) is not None
    if isinstance(condition, Mapping) and isinstance(value, Mapping):
        return all(name in value and _fits(value[name], part) for name, part in condition.items())
    return value == condition


def _shown(head: str, **more: object) -> str:
    shown = [f"{name}={value!r}" for name, value in more.items() if value not in ("", None, {}, ())]
    return f"<{' '.join([head, *shown])}>"


__all__ = ["Change", "Changes", "Collected", "Event", "Line", "Request", "Span", "value_of"]

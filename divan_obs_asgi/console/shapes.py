"""The shapes of the console's JSON. Times are Unix seconds, durations are milliseconds; every text is redacted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypedDict


class RequestRow(TypedDict):
    """One request in the list; `id` is `<worker>-<number>`, `error` the id of an `ErrorGroup` or empty."""

    id: str
    at: float
    kind: str
    method: str
    route: str
    status: int
    outcome: str
    ms: float
    bytes: int
    worker: int
    trace_id: str
    request_id: str
    error: str
    classes: list[str]
    calls: int
    debug: bool


class OpenedRequest(RequestRow):
    """The row, and what only the opened request shows."""

    first_byte_ms: float | None
    fields: dict[str, object]
    waited: dict[str, float]


class CallRow(TypedDict):
    """Calls of a request that do the same, as one bar: `n` of them took `ms` together, the first one at `start_ms`."""

    kind: str
    name: str
    text: str
    start_ms: float
    ms: float
    ok: bool
    n: int


class LineRow(TypedDict):
    """A log line of a request."""

    at: float
    level: str
    logger: str
    msg: str
    fields: dict[str, object]


class ErrorGroup(TypedDict):
    """Exceptions with the same type and the same innermost frame of the application."""

    id: str
    type: str
    at: str
    count: int
    first: float
    last: float
    new: bool
    routes: list[str]
    requests: list[str]
    traceback: list[str]
    message: str


class Change(TypedDict):
    """Something that has changed: `kind` is probe, drain, level, job, stall, overflow, breaker or console."""

    id: str
    at: float
    kind: str
    text: str
    ok: bool
    worker: int


class Dropped(TypedDict):
    """The calls and lines of a request beyond the limits."""

    calls: int
    lines: int


class RequestDetails(TypedDict):
    """GET /ops/console/requests/{id}."""

    request: OpenedRequest
    calls: list[CallRow]
    lines: list[LineRow]
    error: ErrorGroup | None
    curl: str
    dropped: Dropped


class Number(TypedDict):
    """One of the numbers of the header; `line` is an hour with at most 60 points, None where nothing is known."""

    now: float | None
    line: list[float | None]


class RouteFigures(TypedDict):
    """A route over one or five minutes."""

    rate: float
    p50: float | None
    p95: float | None
    p99: float | None
    error_share: float | None


class RouteRow(TypedDict):
    """One method of a route; `line` is its rate in steps of 15 s."""

    id: str
    route: str
    method: str
    m1: RouteFigures
    m5: RouteFigures
    line: list[float]


class ProbeResult(TypedDict):
    """A change of a probe."""

    at: float
    ok: bool
    reason: str | None
    ms: float | None


class ProbeRow(TypedDict):
    """A probe; `ok` is None before its first check."""

    id: str
    group: str
    critical: bool
    ok: bool | None
    reason: str | None
    latency_ms: float | None
    asked: float | None
    since: float | None
    history: list[ProbeResult]
    worker: int


class Stall(TypedDict):
    """The event loop was blocked."""

    id: str
    at: float
    ms: float
    place: str
    stack: list[str]
    worker: int


class TaskPlace(TypedDict):
    """How many tasks wait at a line."""

    place: str
    count: int


class Loop(TypedDict):
    """The event loop of this worker."""

    lag_ms: dict[str, float | None]
    stalls: list[Stall]
    tasks: list[TaskPlace]


class Namespace(TypedDict):
    id: str
    clients: int
    events_per_s: float


class HandlerRow(TypedDict):
    id: str
    count: int
    p95_ms: float | None
    errors: int


class Refused(TypedDict):
    id: str
    count: int


class Sockets(TypedDict):
    """Socket.IO and WebSockets; never a name, a room or a session id of a client."""

    namespaces: list[Namespace]
    handlers: list[HandlerRow]
    refused: list[Refused]
    websockets: int


class MonitoringRow(TypedDict):
    """Whether a part of the monitoring works; `cure` names a flag or a page, where it does not."""

    id: str
    ok: bool
    title: str
    value: str
    cure: str


class FlagRow(TypedDict):
    """A flag that differs from its default; the value of a secret is masked."""

    name: str
    value: str
    default: str


class MiddlewareRow(TypedDict):
    name: str
    why_not: str | None


class JobRow(TypedDict):
    id: str
    runs: int
    last: float | None
    outcome: str
    ms: float | None


class About(TypedDict):
    """What runs."""

    flags: list[FlagRow]
    middlewares: list[MiddlewareRow]
    jobs: list[JobRow]


class Action(TypedDict):
    """An ops endpoint that changes something; `why_not` says why this caller may not use it."""

    id: str
    method: str
    path: str
    allowed: bool
    why_not: str
    title: str


class Service(TypedDict):
    name: str
    env: str
    version: str
    commit: str
    library: str
    started: float
    ready: bool
    draining: bool
    prefix: str
    trace_url: str


class Worker(TypedDict):
    pid: int
    started: float
    alive: bool


WorkerList: TypeAlias = list[Worker]


class Workers(TypedDict):
    """`known` is False without a shared directory: then this is one worker of an unknown number."""

    known: bool
    answering: int
    list: WorkerList
    skipped_files: int


class Forgotten(TypedDict):
    """How many entries were removed to keep the limits."""

    requests: int
    errors: int
    changes: int
    bytes: int


class LeftOut(TypedDict):
    """How many new entries did not fit into an answer with a cursor. Failed and slow requests are the last to be."""

    requests: int
    errors: int
    changes: int


class State(TypedDict):
    """
    GET /ops/console/state.

    Attributes:
        cursor: sent back as `since`; one of another instance gives a full state with `restarted`.
        full: whether the lists of requests, errors and changes are complete; else they have new and changed entries
            only. The other lists are always complete.
    """

    cursor: str
    full: bool
    restarted: bool
    now: float
    service: Service
    workers: Workers
    numbers: dict[str, Number]
    requests: list[RequestRow]
    errors: list[ErrorGroup]
    routes: list[RouteRow]
    probes: list[ProbeRow]
    loop: Loop
    sockets: Sockets
    monitoring: list[MonitoringRow]
    about: About
    changes: list[Change]
    actions: list[Action]
    forgotten: Forgotten
    left_out: LeftOut


class Snapshot(TypedDict):
    """
    What one worker keeps: the state is made from one of these for each worker.

    Attributes:
        requests, errors, changes: each is a tuple that begins with the time at which the entry has changed, and the
            entry. Seconds of the monotonic clock, which all processes of a machine share. A request may be there twice.
    """

    worker: Worker
    requests: Sequence[tuple[Any, ...]]
    errors: Sequence[tuple[Any, ...]]
    changes: Sequence[tuple[Any, ...]]
    stalls: list[Stall]
    numbers: dict[str, Number]
    routes: list[RouteRow]
    forgotten: Forgotten


NUMBERS = ("requests_per_s", "error_share", "p95_ms", "in_flight", "loop_lag_ms", "clients")

__all__ = [
    "NUMBERS",
    "About",
    "Action",
    "CallRow",
    "Change",
    "Dropped",
    "ErrorGroup",
    "FlagRow",
    "Forgotten",
    "HandlerRow",
    "JobRow",
    "LeftOut",
    "LineRow",
    "Loop",
    "MiddlewareRow",
    "MonitoringRow",
    "Namespace",
    "Number",
    "OpenedRequest",
    "ProbeResult",
    "ProbeRow",
    "Refused",
    "RequestDetails",
    "RequestRow",
    "RouteFigures",
    "RouteRow",
    "Service",
    "Snapshot",
    "Sockets",
    "Stall",
    "State",
    "TaskPlace",
    "Worker",
    "WorkerList",
    "Workers",
]

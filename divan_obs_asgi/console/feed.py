"""What happens during requests and events, on its way to the store. It raises nothing, and measures nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from divan_obs_asgi.clients.description import Description, Descriptions
from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.wait_times import CALLS as CALL_CAUSES
from divan_obs_asgi.connection.wait_times import Cause
from divan_obs_asgi.console.errors import ErrorGroups
from divan_obs_asgi.console.limits import LATEST_OF_A_ROUTE, NAME, TEXT
from divan_obs_asgi.console.requests import Extra, Requests
from divan_obs_asgi.console.trail import SHORT_LINE, SMALL, Call, Trail
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.types import Scope

COMPONENT = "console"
_KINDS = frozenset(CALL_CAUSES)
_FAILED = frozenset({"error", "error_after_start", "incomplete"})
# Characters of the fields of a request, after their redaction.
_FIELDS_ROOM = 2000


class Feed:
    """
    The observer, the finisher and the watcher of every record; see `Observer` and `RecordWatcher`.

    Args:
        descriptions: says what a call does, without any of its values.
    """

    component = COMPONENT

    def __init__(
        self,
        requests: Requests,
        errors: ErrorGroups,
        policy: RedactionPolicy,
        descriptions: Descriptions,
        faults: InternalErrors,
    ) -> None:
        self._requests = requests
        # Bound once, and not for every request.
        self._finish = self.finish
        self._errors = errors
        self._policy = policy
        self._descriptions = descriptions
        self._faults = faults

    # Observer.

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        if record.add_finisher(COMPONENT, self._finish):
            record.watcher = self

    def observe_event(self, record: EventRecord) -> None:
        if record.add_finisher(COMPONENT, self.finish_event):
            record.watcher = self

    # Finisher.

    def finish(self, record: RequestRecord) -> None:
        """Keep a finished connection; called for every request."""
        requests = self._requests
        number = requests.last = requests.last + 1
        duration_s, outcome, status = record.duration_s, record.outcome, record.status
        extra = None
        if outcome != "ok" or status >= 500 or record.error is not None:
            extra = self._extra(record, is_failed=outcome in _FAILED or status >= 500)
        elif record.debug or (duration_s > requests.slow_floor_s and not record.lingers):
            extra = self._extra(record, is_failed=False)
        route, trail = record.route, record.trail
        # Numbers, ids and words of closed vocabularies; they are described when somebody reads them.
        raw = (
            number,
            record.started_ns,
            record.kind,
            record.method,
            route,
            status,
            outcome,
            duration_s,
            record.response_bytes,
            record.first_byte_s,
            record.trace_id,
            record.request_id,
            trail,
            extra,
        )
        latest = requests.fresh.get(route)
        if (
            latest is None
            or len(latest) < LATEST_OF_A_ROUTE
            or extra is not None
            or (trail is not None and trail.size > SMALL)
        ):
            requests.add(raw)
        else:
            # It takes the place of another one, so that a flood is not sorted.
            latest.append(raw)

    def finish_event(self, record: EventRecord) -> None:
        """Keep a finished call of a Socket.IO handler. Its ids are made on demand, for failed and slow ones only."""
        requests = self._requests
        number = requests.last = requests.last + 1
        extra = None
        if record.outcome != "ok":
            extra = self._extra(record, is_failed=record.outcome in _FAILED)
        elif record.duration_s > requests.slow_floor_s:
            extra = self._extra(record, is_failed=False)
        ids = ("", "") if extra is None else (record.trace_id, record.request_id)
        common = (number, record.started_ns, "event", "EVENT", record.route, 0, record.outcome, record.duration_s)
        requests.add((*common, 0, None, *ids, record.trail, extra))

    def failed_after_end(self, record: Record, error: Exception) -> None:
        """Count an exception that was raised after the end, by a background task for example."""
        self._errors.add(error, record.route, self._requests.number_of(record))

    def _extra(self, record: Record, *, is_failed: bool) -> Extra:
        error_id = ""
        if record.error is not None and is_failed:
            error_id = self._errors.add(record.error, record.route, self._requests.last)
        fields: dict[str, Any] = {}
        if record.fields:
            fields = self._policy.redact_fields(dict(record.fields), _FIELDS_ROOM)
        waited: dict[str, float] = {
            cause: round(seconds * 1e3, 3) for cause, seconds in (record.waited_s or {}).items()
        }
        if is_failed and record.trail is None:
            # Lines that are written after the end belong to it too.
            record.trail = Trail()
        return Extra(is_failed, error_id, fields, waited, record.debug)

    # Watcher.

    def line(self, record: Record, line: bytes) -> None:
        """Keep a written line of a record."""
        try:
            # A copy: orjson 3.13 returns bytes in a block that is 13 times as large. A slice is the fastest one.
            line = line[:-1]
            trail = record.trail
            if trail is None:
                if len(line) <= SHORT_LINE:
                    record.trail = Trail((line,))
                    return
                trail = record.trail = Trail()
            trail.add_line(line)
        except Exception as error:
            self._faults.report(COMPONENT, error)

    def call(
        self,
        record: Record,
        cause: Cause,
        describe: Callable[..., Description | None] | None,
        client: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        span: Any,
    ) -> Any:
        """Return an object around the span of a call that notes its end; the span itself for what is no call."""
        if cause not in _KINDS or record.outcome is not None:
            return span
        try:
            if span is not None:
                # Described already, for the span.
                found = span.description
            elif describe is not None:
                found = describe(self._descriptions, client, args, kwargs)
            elif cause == "http":
                found = _http(self._descriptions.redact, args, kwargs)
            else:
                return span  # A commit, for example.
            if found is None:
                return span
            trail: Trail | None = record.trail
            if trail is None:
                trail = record.trail = Trail()
            text = str(found.attributes.get("db.query.text", ""))
            call = trail.begin(cause, found.name[:NAME], text[:TEXT])
            return span if call is None else _Bar(call, span)
        except Exception as error:
            self._faults.report(COMPONENT, error)
            return span


class _Bar:
    """One call that lasts."""

    __slots__ = ("_call", "_span", "_started")

    def __init__(self, call: Call, span: Any) -> None:
        self._call = call
        self._span = span
        self._started = perf_counter()

    def finish(self, error: BaseException | None) -> None:
        """Note the end of the call, and end its span."""
        self._call.seconds += perf_counter() - self._started
        if error is not None:
            self._call.ok = False
        if self._span is not None:
            self._span.finish(error)


def _http(redact: Callable[[str], str], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Description:
    """Describe a call of httpx (`send(request)`) or requests (`request(method, url)`): method and host, no path."""
    from urllib.parse import urlsplit

    first = args[0] if args else kwargs.get("request", kwargs.get("method", ""))
    if isinstance(first, str):
        method = first
        host = urlsplit(str(args[1] if len(args) > 1 else kwargs.get("url", ""))).hostname or ""
    else:
        method, host = str(first.method), str(first.url.host)
    method = method.upper() if method.isalpha() and len(method) <= 10 else "_OTHER"
    return Description(f"{method} {redact(host)}".strip(), {})


__all__ = ["COMPONENT", "Feed"]

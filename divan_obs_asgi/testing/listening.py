"""Collects the telemetry of one bundle from the start of a test to its end."""

from __future__ import annotations

import threading
import weakref
from contextlib import ExitStack, suppress
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.record import Record, current_record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.metrics.exposition.text import Format
from divan_obs_asgi.names import class_name
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.testing.collected import Change, Event, Line, Request, Span
from divan_obs_asgi.types import Scope

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

# Seconds to wait for a request whose response the client may have: a server calls the finishers afterwards.
SETTLE_S = 5.0
_TICK_S = 0.01
_numbers = count()
# Orders the items of several applications.
_sequence = count()
# A name and labels.
_Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


class Listener:
    """
    Collects requests, events, spans, log lines and changes of metrics.

    Args:
        peers: all listeners of this test, this one included.

    Attributes:
        requests, events: those that have ended, each with its number in the sequence.
        spans: as they are exported, each with its number in the sequence.
        written: the log lines as they were written; on a terminal this is not JSON.
        ids: the ids of these requests and events.
    """

    def __init__(self, bundle: Observability, peers: list[Listener]) -> None:
        self.bundle = bundle
        self._peers = peers
        self.component = f"test_telemetry_{next(_numbers)}"
        self.requests: list[tuple[int, Request]] = []
        self.events: list[tuple[int, Event]] = []
        self.spans: list[tuple[int, Span]] = []
        self.written: list[bytes] = []
        self._lines: list[bytes] = []
        self.ids: set[str] = set()
        self.changed = threading.Condition()
        # Does not count: that would change the metrics.
        self._redaction = bundle.redaction.having(count=None)
        self._begun: dict[int, tuple[weakref.ref[RequestRecord], int]] = {}
        self._given_up: set[int] = set()
        self._closing = ExitStack()

    def start(self, *, since_its_birth: bool) -> None:
        """Start to collect; lines that were queued before do not belong to this test."""
        sink = self.bundle.log.sink
        if not since_its_birth:
            sink.flush()
        self._before: dict[_Series, float] = {} if since_its_birth else self._samples()
        self._page_before = set() if since_its_birth else set(self.page())
        self._closing.enter_context(self.bundle.observers.attached(self))
        sink.copies = (*sink.copies, self._copy)
        self._closing.callback(self._leave_sink)
        if self.bundle.spans is not None:
            from divan_obs_asgi.testing.span_tap import form_of, tap_of

            tap = tap_of(self.bundle)
            if tap is not None:
                self._exported = form_of(self.bundle)
                tap.listeners.append(self._span_ended)
                self._closing.callback(tap.listeners.remove, self._span_ended)

    def stop(self) -> None:
        self.bundle.log.sink.flush()
        self._closing.close()

    def _leave_sink(self) -> None:
        sink = self.bundle.log.sink
        sink.copies = tuple(copy for copy in sink.copies if copy != self._copy)

    # Called by the bundle.

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        if record.add_finisher(self.component, self._request_ended):
            self._begun[id(record)] = weakref.ref(record), threading.get_ident()

    def _request_ended(self, record: RequestRecord) -> None:
        request = Request(
            method=record.method,
            route=record.route,
            status=record.status,
            outcome=record.outcome or "",
            duration_s=record.duration_s,
            kind=record.kind,
            response_bytes=record.response_bytes,
            close_code=record.close_code,
            operation=record.operation,
            failure=record.failure,
            **self._common(record),
        )
        with self.changed:
            self.requests.append((next(_sequence), request))
            self.ids.add(record.request_id)
            self._begun.pop(id(record), None)
            self.changed.notify_all()

    def observe_event(self, record: EventRecord) -> None:
        record.add_finisher(self.component, self._event_ended)

    def _event_ended(self, record: EventRecord) -> None:
        event = Event(
            event=record.event,
            namespace=record.namespace,
            outcome=record.outcome or "",
            duration_s=record.duration_s,
            payload_shape=tuple(record.payload_shape),
            **self._common(record),
        )
        with self.changed:
            self.events.append((next(_sequence), event))
            self.ids.add(record.request_id)
            self.changed.notify_all()

    def _common(self, record: Record) -> dict[str, Any]:
        return {
            "error": class_name(type(record.error)) if record.error is not None else "",
            "request_id": record.request_id,
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "sampled": record.sampled,
            "fields": self._redaction.redact_record(record.fields or {}),
            "service": self.bundle.settings.service.name,
        }

    def _copy(self, lines: list[bytes], written: bytes) -> None:
        with self.changed:
            self._lines += lines
            self.written += written.splitlines()
            self.changed.notify_all()

    def _span_ended(self, span: ReadableSpan) -> None:
        owner = self._owner()
        if owner is None:
            # The first of the listeners that share a provider.
            owner = next(peer for peer in self._peers if peer is self or peer._has_provider_of(self))
            if owner is not self:
                return
        elif owner is not self and owner._has_provider_of(self):
            return
        with owner.changed:
            owner.spans.append((next(_sequence), self._exported(span)))
            owner.changed.notify_all()

    def _owner(self) -> Listener | None:
        """Return the listener of the current request or event; its spans may come from the provider of another."""
        record = current_record.get()
        if record is None:
            return None
        return next((peer for peer in self._peers if peer.bundle.operations is record.operations), None)

    def _has_provider_of(self, other: Listener) -> bool:
        ours, theirs = self.bundle.spans, other.bundle.spans
        return ours is not None and theirs is not None and ours.provider is theirs.provider

    # Read by a test.

    def settle(self) -> None:
        """Wait for requests in other threads whose response the client may already have."""
        deadline = monotonic() + SETTLE_S
        with self.changed:
            while self._pending():
                if monotonic() >= deadline:
                    self._given_up.update(self._pending())
                    return
                self.changed.wait(_TICK_S)

    def _pending(self) -> list[int]:
        here = threading.get_ident()
        pending = []
        for key, (reference, thread) in list(self._begun.items()):
            record = reference()
            if record is None or (record.housekeeping and record.outcome is not None):
                # A successful health check calls no finisher.
                self._begun.pop(key, None)
            elif thread != here and key not in self._given_up and record.status and not record.lingers:
                pending.append(key)
        return pending

    def read_lines(self) -> list[Line]:
        self.bundle.log.sink.flush()
        with self.changed:
            return [Line(orjson.loads(line)) for line in self._lines]

    def changes(self) -> list[Change]:
        """Return the series whose values have changed since the test began."""
        present = self._samples()
        differences = {key: value - self._before.get(key, 0.0) for key, value in present.items()}
        return [Change(name, dict(labels), by) for (name, labels), by in differences.items() if by]

    def page(self) -> list[str]:
        """Return the lines of the metrics page, exemplars included."""
        return self.bundle.metrics.render(Format.OPENMETRICS).decode().splitlines()

    def new_on_page(self) -> list[str]:
        """Return the lines of the metrics page that are new since the test began."""
        return [line for line in self.page() if line not in self._page_before]

    def _samples(self) -> dict[_Series, float]:
        samples: dict[_Series, float] = {}
        for collector in self.bundle.metrics.registry.collectors():
            # A collector of the application may raise; then its series are missing on the page as well.
            with suppress(Exception):
                for sample in (sample for family in collector.collect() for sample in family.samples):
                    if not sample.name.endswith("_created"):
                        samples[sample.name, tuple(sample.labels.items())] = sample.value
        return samples


__all__ = ["SETTLE_S", "Listener"]

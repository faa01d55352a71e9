"""Compares the log line, the span, the counters and the histograms of one connection."""

from __future__ import annotations

from typing import Any

import divan_obs_asgi as obs
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.types import ASGIApp, Scope
from tests.stacks import Observed
from tests.tracing.exported import Exported
from tests.verdicts import Verdict


class Witness(obs.RecordMiddleware):
    component = "witness"

    def __init__(self, app: ASGIApp, bundle: obs.Observability, finished: list[RequestRecord]) -> None:
        super().__init__(app, bundle)
        self._finished = finished

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        record.add_finisher(self.component, self._finished.append)


class Signals:
    """A service whose signals are read after each connection."""

    def __init__(self) -> None:
        self._exported = Exported()
        flags = {"OBS_TRACING_ENABLED": "true", "LOG_SAMPLING_BUDGET": "999999999"}
        self._observed = Observed(flags, span_exporter=self._exported)
        self._finished: list[RequestRecord] = []

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the stack around `app`, with no signals yet."""
        self._finished.clear()
        self._observed.obs.flush()
        self._exported.spans.clear()
        self._observed.stream.seek(0)
        self._observed.stream.truncate()
        for family in FAMILIES:
            if family.labels and family.name.startswith(("http_", "websocket_")):
                self._observed.obs.metrics.of(family).clear()
        return obs.build_stack(Witness(app, self._observed.obs, self._finished), self._observed.obs)

    def agree(self) -> RequestRecord:
        """Compare the signals of the only connection with its record, and return the record."""
        observed = self._observed
        observed.obs.flush()
        (record,) = self._finished
        # What fails afterwards has a span of its own.
        (span,) = [span for span in self._exported.spans if not span.links]
        (line,) = observed.lines()
        attributes = dict(span.attributes or {})

        assert line["msg"] == f"{record.method} {record.route}"
        # HTTP semantic conventions: a span is not named after the stand-in for a method.
        assert span.name == f"{record.method.replace('_OTHER', 'HTTP')} {record.route}"
        assert attributes["http.route"] == line["route"] == record.route
        assert attributes["divan.outcome"] == line["outcome"] == record.outcome
        assert attributes.get("http.response.status_code", 0) == line["status"] == record.status
        assert attributes.get("websocket.close_code") == line.get("close_code") == record.close_code
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.end_time - span.start_time == int(record.duration_s * 1e9)
        assert line["latency_ms"] == int(record.duration_s * 1e6) / 1e3
        assert (line["trace_id"], line["span_id"]) == (record.trace_id, record.span_id)
        assert span.context is not None
        assert (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") == (record.trace_id, record.span_id)

        for gauge in ("divan_http_requests_in_flight", "divan_websocket_connections_open"):
            assert observed.value(gauge) == 0
        if record.kind == "http":
            self._agree_on_http(record)
        else:
            self._agree_on_a_websocket(record)
        return record

    def _agree_on_http(self, record: RequestRecord) -> None:
        at = {"route": record.route, "method": record.method}
        self._counted("divan_http_requests_total", 1, **at, status=str(record.status))
        self._counted("divan_http_outcomes_total", 1, route=record.route, outcome=str(record.outcome))
        self._observed_in("divan_http_request_duration_seconds", 1, record.duration_s, **at)
        started = record.first_byte_s is not None
        self._observed_in("divan_http_first_byte_seconds", started, record.first_byte_s or 0, **at)
        self._observed_in("divan_http_response_size_bytes", started, record.response_bytes if started else 0, **at)
        assert not self._samples("divan_websocket_connections_total")

    def _agree_on_a_websocket(self, record: RequestRecord) -> None:
        at = {"route": record.route}
        self._counted("divan_websocket_connections_total", 1, **at, outcome=str(record.outcome))
        self._observed_in("divan_websocket_duration_seconds", 1, record.duration_s, **at)
        assert self.messages() == {"in": record.messages_received, "out": record.messages_sent}
        code = record.close_code
        codes = {} if code is None else {_at(**at, code="_OTHER" if code >= 3000 else str(code)): 1}
        assert self._samples("divan_websocket_closes_total") == codes
        assert not self._samples("divan_http_requests_total")

    def bear_out(self, truth: Verdict, route: str) -> None:
        """Compare the signals, which agree, with the expected values."""
        record = self.agree()
        assert (record.outcome, record.status) == (truth.outcome, truth.status)
        assert record.route == route
        assert record.close_code == truth.close_code
        least, most = truth.lasted
        assert least <= record.duration_s <= most
        if record.kind == "websocket":
            assert self.messages() == truth.messages
            return
        assert (record.first_byte_s is not None) == truth.started
        assert record.response_bytes == truth.size
        if truth.answered_nobody:
            return
        failures = [_at(route=route, type=failure) for failure in (truth.failure, truth.late) if failure is not None]
        assert self._samples("divan_http_exceptions_total") == {labels: failures.count(labels) for labels in failures}

    def messages(self) -> dict[str, int]:
        """Return the counted messages of the WebSocket, by their direction."""
        counted: dict[str, Any] = {"in": 0, "out": 0}
        for labels, count in self._samples("divan_websocket_messages_total").items():
            counted[dict(labels)["direction"]] += count
        return counted

    def _samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the counts; routes that are known from the start have a series at zero."""
        return {labels: value for labels, value in self._observed.samples(name).items() if value}

    def _counted(self, name: str, count: float, **labels: str) -> None:
        assert self._samples(name) == ({_at(**labels): count} if count else {})

    def _observed_in(self, name: str, count: float, total: float, **labels: str) -> None:
        self._counted(f"{name}_count", count, **labels)
        self._counted(f"{name}_sum", total, **labels)


def _at(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


__all__ = ["Signals", "Witness"]

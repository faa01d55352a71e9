"""The three signals of a collector, /metrics and the log lines agree about any requests, to the last count."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import ROUTE_KEY, UNMATCHED
from divan_obs_asgi.logs.lines import ACCESS_LOGGER
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.logs.test_line_encoder import attributes_of
from tests.logs.test_line_export import LOGS, log
from tests.otlp.test_metrics import METRICS, Page, metrics_of, page, samples, steady
from tests.servers.otlp import attributes
from tests.servers.otlp_http import OtlpHttpReceiver
from tests.stacks import Observed
from tests.tracing.signals import Witness


@dataclass(frozen=True)
class Asked:
    """
    A request, and what the application does with it.

    Attributes:
        end: how the application ends: it returns, raises before or after the start of the response, or sends nothing.
        traced: the flag of the caller's trace; None for no trace.
    """

    route: str | None
    method: str
    status: int
    end: str
    traced: bool | None
    lines: tuple[int, ...]
    worker: int


asked = st.builds(
    Asked,
    st.sampled_from([None, "/rooms/{room}", "/users/{id}"]),
    st.sampled_from(["GET", "POST", "BREW"]),
    st.sampled_from([200, 204, 302, 404, 418, 500, 503]),
    st.sampled_from(["return", "return", "raise", "break", "nothing"]),
    st.sampled_from([None, True, False]),
    st.lists(st.sampled_from([10, 20, 30, 40]), max_size=3).map(tuple),
    st.integers(0, 1),
)


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    one: Asked = scope["asked"]
    if one.route is not None:
        scope[ROUTE_KEY] = one.route
    for level in one.lines:
        log.log(level, "looks at %s", "a@shop.example")
    if one.end == "raise":
        raise LookupError("none left")
    if one.end == "nothing":
        return
    await send({"type": "http.response.start", "status": one.status, "headers": []})
    if one.end == "break":
        await send({"type": "http.response.body", "body": b"so", "more_body": True})
        raise ConnectionError("the till is gone")
    await send({"type": "http.response.body", "body": b"sold"})


class Service:
    """One or two workers of a service with all three signals."""

    def __init__(self, receiver: OtlpHttpReceiver, workers: int, directory: Path, flags: dict[str, str]) -> None:
        shared = {"PROMETHEUS_MULTIPROC_DIR": str(directory)} if workers > 1 else {}
        flags = {
            **LOGS,
            **METRICS,
            "OBS_TRACING_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "86400000",
            **shared,
            **flags,
        }
        self.receiver = receiver
        self.finished: list[RequestRecord] = []
        self.workers = [Observed(flags) for _ in range(workers)]
        self.stacks = [obs.build_stack(Witness(shop, worker.obs, self.finished), worker.obs) for worker in self.workers]

    def start_anew(self) -> None:
        """Forget the requests so far."""
        self.export()
        self.finished.clear()
        self.receiver.spans.clear()
        self.receiver.logs.clear()
        for worker in self.workers:
            worker.stream.seek(0)
            worker.stream.truncate()

    def export(self) -> Page:
        """Export all signals, and return the numbers of the metrics that have arrived."""
        before = len(self.receiver.metrics)
        # The first one exports the metrics of all.
        for worker in reversed(self.workers):
            worker.obs.flush()
        assert len(self.receiver.metrics) > before
        return samples(metrics_of(self.receiver.metrics[-1]))

    async def serve(self, requests: Sequence[Asked]) -> None:
        for one in requests:
            stack = self.stacks[one.worker % len(self.stacks)]
            scope = http_scope("/x", method=one.method)
            if one.traced is not None:
                parent = f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-0{one.traced:d}"
                scope["headers"] = [(b"traceparent", parent.encode())]
            await converse(stack, {**scope, "asked": one})

    def lines(self) -> list[dict[str, Any]]:
        return [line for worker in self.workers for line in worker.lines()]


@contextmanager
def serving(workers: int, **flags: str) -> Iterator[Service]:
    with OtlpHttpReceiver() as receiver, TemporaryDirectory() as directory:
        service = Service(receiver, workers, Path(directory), flags)
        yield service
        for worker in service.workers:
            worker.obs.exports.pause()


SAMPLERS = {
    "all spans": {},
    "some spans": {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
    "no span": {"OTEL_TRACES_SAMPLER": "always_off"},
    "some spans and lines": {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "LOG_SAMPLING_BUDGET": "1",
        "LOG_SAMPLING_RATE_INFO": "0.5",
    },
}


@pytest.fixture(scope="module", params=[(1, name) for name in SAMPLERS] + [(2, "some spans and lines")], ids=str)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    workers, sampler = request.param
    with serving(workers, **{"LOG_SAMPLING_BUDGET": "999999999", **SAMPLERS[sampler]}) as service:
        yield service


FAILING = [Asked("/users/{id}", "GET", 200, end, True, (10, 20), n) for n, end in enumerate(["raise", "break"])]


# Each example is an export of all series; the sequences are long instead.
@pytest.mark.slow
@settings(max_examples=30)
@example(FAILING)
@given(st.lists(asked, min_size=1, max_size=10))
def test_three_signals_and_the_service_say_the_same(service: Service, requests: list[Asked]) -> None:
    """The records are what happened; each signal has all of them, or those that its sampling has chosen."""
    service.start_anew()
    before = service.export()
    with root_logger_kept():
        for worker in service.workers:
            worker.obs.log.install()
        anyio.run(service.serve, requests)
    after = service.export()
    lines = service.lines()
    access = [line for line in lines if line["logger"] == ACCESS_LOGGER]
    assert len(service.finished) == len(requests)

    # The collector's log records are the lines, and its metrics are the page.
    assert Counter(map(_of_line, lines)) == Counter(map(_of_log_record, service.receiver.log_records()))
    assert steady(after) == steady(page(service.workers[0]))

    # The metrics count every request, whatever was sampled.
    grown = {key: value - before.get(key, 0.0) for key, value in after.items() if value != before.get(key, 0.0)}
    assert _counts(grown, "divan_http_requests_total", "route", "method", "status") == Counter(
        (record.route, record.method, str(record.status)) for record in service.finished
    )
    assert _counts(grown, "divan_http_outcomes_total", "route", "outcome") == Counter(
        (record.route, str(record.outcome)) for record in service.finished
    )
    assert _counts(grown, "divan_http_request_duration_seconds_count", "route", "method") == Counter(
        (record.route, record.method) for record in service.finished
    )
    total = sum(value for (name, _), value in grown.items() if name == "divan_http_request_duration_seconds_sum")
    assert math.isclose(total, sum(record.duration_s for record in service.finished), rel_tol=1e-6)

    # Each span is that of a sampled record; each access line that of a written one.
    known = {record.request_id: record for record in service.finished}
    spans = [span for span in service.receiver.spans if span.kind == span.SPAN_KIND_SERVER]
    assert Counter(_of_span(span) for span in spans) == Counter(
        _of_record(record) for record in service.finished if record.sampled
    )
    assert Counter(map(_of_access_line, access)) == Counter(_of_record(known[line["request_id"]]) for line in access)
    unwritten = known.keys() - {line["request_id"] for line in access}
    assert all(known[request].status < 500 and known[request].outcome == "ok" for request in unwritten)
    if service.workers[0].obs.settings.logs.sampling_budget > 1:
        assert not unwritten


def _counts(page: Page, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """Return the counts of a metric by the values of these labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for (sample, pairs), value in page.items():
        if sample == name:
            found[tuple(dict(pairs)[label] for label in labels)] += int(value)
    return found


def _of_record(record: RequestRecord) -> tuple[object, ...]:
    return record.trace_id, record.span_id, record.request_id, record.route, record.status, str(record.outcome)


def _of_access_line(line: dict[str, Any]) -> tuple[object, ...]:
    names = ("trace_id", "span_id", "request_id", "route", "status", "outcome")
    return tuple(line[name] for name in names)


def _of_span(span: Any) -> tuple[object, ...]:
    found = attributes(span)
    return (
        *(span.trace_id.hex(), span.span_id.hex(), found["divan.request_id"], found["http.route"]),
        *(found.get("http.response.status_code", 0), found["divan.outcome"]),
    )


def _of_line(line: dict[str, Any]) -> tuple[object, ...]:
    route = None if line["route"] == UNMATCHED else line["route"]
    return line["msg"], line["level"], line["trace_id"], line["request_id"], route or None, line["status"] or None


def _of_log_record(record: Any) -> tuple[object, ...]:
    known = attributes_of(record)
    return (
        *(record.body.string_value, record.severity_text, record.trace_id.hex(), known.get("divan.request_id")),
        *(known.get("http.route"), known.get("http.response.status_code")),
    )

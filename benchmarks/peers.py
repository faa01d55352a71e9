"""
What a team assembles today, each part as its README shows it and with nothing switched on that the job does not need.

The order is the usual one: the id outermost, then the span, then the metrics, and the log line innermost, where the
current span is still there to be named. With tracing off the span middleware is left out, which is the cheapest way
to switch it off; `OTEL_SDK_DISABLED` would leave it in place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import BinaryIO, cast

import orjson
import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ContribMiddleware
from opentelemetry.sdk.trace.export import SpanExporter
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_fastapi_instrumentator import metrics
from prometheus_fastapi_instrumentator.instrumentation import PrometheusFastApiInstrumentator
from starlette.middleware import Middleware
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as NativeMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_exporter import PrometheusMiddleware

from benchmarks.inprocess import (
    BUCKETS,
    COMMIT,
    ENVIRONMENT,
    ROUTE,
    SERVICE,
    Discard,
    Mode,
    Sink,
    Variant,
    application,
    tracer_provider,
)


class StructlogAccessLog:
    """One JSON line a request, the way structlog's chapter on performance recommends: orjson and bytes."""

    def __init__(self, app: ASGIApp, sink: Sink) -> None:
        self.app = app
        self.logger = structlog.wrap_logger(
            structlog.BytesLogger(cast(BinaryIO, sink)),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", key="ts"),
                structlog.processors.EventRenamer("msg"),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger("INFO"),
            cache_logger_on_first_use=True,
        ).bind(service=SERVICE, env=ENVIRONMENT, commit=COMMIT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            span = trace.get_current_span().get_span_context()
            self.logger.info(
                "request",
                request_id=correlation_id.get(),
                trace_id=trace.format_trace_id(span.trace_id) if span.is_valid else None,
                span_id=trace.format_span_id(span.span_id) if span.is_valid else None,
                route=getattr(scope.get("route"), "path", None),
                status=status,
                latency_ms=round((time.perf_counter() - start) * 1000, 3),
            )


def exporter_to(collector: str) -> SpanExporter | None:
    """Return the SDK's exporter to an OTLP endpoint, as a team would configure it; None if there is no endpoint."""
    if not collector:
        return None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=collector, insecure=True)


def assembled(mode: Mode, collector: str = "") -> Variant:
    """asgi-correlation-id, opentelemetry-instrumentation-asgi with one span, starlette_exporter, structlog."""
    sink, exporter = Sink(), Discard()
    provider = tracer_provider(mode, exporter_to(collector) or exporter)
    # starlette_exporter keeps its metrics on the class, by prefix, in the global registry.
    prefix = f"assembled_{mode.replace('.', '_')}"
    tracing = Middleware(ContribMiddleware, tracer_provider=provider, exclude_spans=["send", "receive"])
    app = application(
        Middleware(CorrelationIdMiddleware),
        *([] if mode == "off" else [tracing]),
        Middleware(PrometheusMiddleware, prefix=prefix, buckets=BUCKETS),
        Middleware(StructlogAccessLog, sink=sink),
    )
    labels = {"method": "GET", "path": ROUTE, "status_code": "200", "app_name": "starlette"}
    counted = _counter(REGISTRY, f"{prefix}_requests_total", labels)
    return Variant("assembled", mode, app, sink, exporter, provider.force_flush, counted)


def leanest(mode: Mode, collector: str = "") -> Variant:
    """asgi-correlation-id, Starlette's own OpenTelemetryMiddleware, prometheus-fastapi-instrumentator, structlog."""
    sink, exporter, registry = Sink(), Discard(), CollectorRegistry()
    provider = tracer_provider(mode, exporter_to(collector) or exporter)
    app = application(Middleware(StructlogAccessLog, sink=sink))
    # Its default is a counter, two summaries and two histograms; the job asks for one counter and one histogram.
    PrometheusFastApiInstrumentator(should_group_status_codes=False, registry=registry).add(
        metrics.requests(registry=registry), metrics.latency(registry=registry, buckets=BUCKETS)
    ).instrument(app)
    if mode != "off":
        app.add_middleware(NativeMiddleware, tracer_provider=provider)
    app.add_middleware(CorrelationIdMiddleware)
    labels = {"method": "GET", "handler": ROUTE, "status": "200"}
    counted = _counter(registry, "http_requests_total", labels)
    return Variant("leanest", mode, app, sink, exporter, provider.force_flush, counted)


def _counter(registry: CollectorRegistry, name: str, labels: dict[str, str]) -> Callable[[], float]:
    return lambda: registry.get_sample_value(name, labels) or 0.0

"""The tracer provider of the OpenTelemetry SDK, set up from the flags. Imported only where tracing is on."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from grpc import StatusCode
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.encoder import SpanEncoder
from divan_obs_asgi.tracing.export.queue import DropReason, ExportQueue, Limits
from divan_obs_asgi.tracing.export.redaction import RedactingExporter, SpanRedactor
from divan_obs_asgi.tracing.frameworks import AdoptingIdGenerator, AdoptingSampler, AdoptingSpanProcessor
from divan_obs_asgi.tracing.global_provider import OwnTracerProvider, global_provider
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.spans.fast import FastServerSpans

_logger = logging.getLogger("divan_obs_asgi.tracing")
# The exporter's own retries sleep in the exporting thread for as long as its timeout; the queue and its circuit breaker
# retry, and can be interrupted. An empty collection would mean its default, and a failure is never OK.
_NOT_RETRIED = (StatusCode.OK,)
_PLAINTEXT = {"grpc": "http", "grpcs": "https"}


def application_provider() -> trace.TracerProvider | None:
    """Return the global provider where the application, or an agent, has set one."""
    provider = trace.get_tracer_provider()
    nobodys = (trace.ProxyTracerProvider, trace.NoOpTracerProvider, OwnTracerProvider)
    return None if isinstance(provider, nobodys) else provider


def build_server_spans(
    settings: Settings,
    exporter: SpanExporter | None,
    redaction: RedactionPolicy,
    dropped: Callable[[DropReason, int], None],
    failed: Callable[[Exception], None],
) -> FastServerSpans:
    """
    Return server spans through a new provider with resource, sampler and export queue from the flags.

    Nothing of it is a thread or a connection before the first span, so that it may be made before a fork.

    Args:
        exporter: used in place of OTLP over gRPC to OTEL_EXPORTER_OTLP_ENDPOINT.
        redaction: what the resource and every span go through before the exporter sees them.
        dropped: called with the reason and the number of spans that do not reach the collector.
        failed: called with what an exporter raised.
    """
    redactor = SpanRedactor(redaction)
    sampler = TraceSampler(settings.tracing.sampler, settings.tracing.sampler_arg)
    processors = SynchronousMultiSpanProcessor()
    spans: FastServerSpans
    if settings.tracing.native == "defer":
        ids: IdGenerator = AdoptingIdGenerator(lambda record: spans.set_response_headers(record))
        sampler = AdoptingSampler(settings.tracing.sampler, settings.tracing.sampler_arg)
    else:
        ids = RandomIdGenerator()
    provider = OwnTracerProvider(
        sampler, _resource(settings, redactor), active_span_processor=processors, id_generator=ids
    )
    make_exporter = _exporter_of(settings) if exporter is None else lambda: exporter
    queue = None
    if make_exporter is not None:
        limits = Limits(
            settings.tracing.queue_size,
            min(settings.tracing.batch_size, settings.tracing.queue_size),
            settings.tracing.delay_ms / 1000,
            settings.tracing.shutdown_timeout_s,
        )
        queue = ExportQueue(
            lambda: RedactingExporter(make_exporter(), redactor),
            dropped,
            failed,
            limits,
            owns_exporter=exporter is None,
        )
        weakref.finalize(provider, _leave, weakref.ref(queue)).atexit = False
        provider.add_span_processor(queue)
    spans = FastServerSpans(settings, provider, processors, sampler, queue)
    if settings.tracing.native == "defer":
        processors.add_span_processor(AdoptingSpanProcessor(spans.adopt))
    return spans


def _leave(queue: weakref.ref[ExportQueue]) -> None:
    left = queue()
    if left is not None:
        left.finish_in_background()


def _exporter_of(settings: Settings) -> Callable[[], SpanExporter] | None:
    endpoint = settings.tracing.traces_endpoint or settings.tracing.endpoint
    if endpoint is None:
        return None
    # Also what is said about the scheme is said at the first export: `init` has given the log its handler by then.
    return lambda: _OtlpExporter(endpoint=exporter_url(endpoint), retryable_error_codes=_NOT_RETRIED)


class _OtlpExporter(OTLPSpanExporter):
    """OpenTelemetry's exporter, with an encoder that leaves the interpreter to the requests."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._encoder = SpanEncoder()

    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        # To and from bytes once more: that is done in C, and costs a fiftieth of what the encoder saves.
        return ExportTraceServiceRequest.FromString(self._encoder.encoded(data))


def exporter_url(endpoint: str) -> str:
    """
    Return `endpoint` as the exporter reads it.

    It takes every scheme but `http` for TLS, so that `grpc://collector:4317` would shake hands with a plaintext
    port for ever.
    """
    scheme = urlsplit(endpoint).scheme
    if scheme not in _PLAINTEXT:
        return endpoint
    _logger.info("OTEL_EXPORTER_OTLP_ENDPOINT has the scheme %s; reading it as %s.", scheme, _PLAINTEXT[scheme])
    return _PLAINTEXT[scheme] + endpoint[len(scheme) :]


def make_global(provider: trace.TracerProvider) -> None:
    """
    Make `provider` what `opentelemetry.trace.get_tracer` uses, unless the application has set its own.

    One that was set up here is held by nobody for that: the next one takes its place.
    """
    if isinstance(provider, OwnTracerProvider):
        global_provider().forward_to(provider)
        provider = global_provider()
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)


@lru_cache(maxsize=8)
def _resource_of_the_process(pid: int, environ: object, service: tuple[tuple[str, str], ...]) -> Resource:
    """The detectors have threads of their own, which cost more than all else of a provider; once will do."""
    return Resource.create(dict(service))


def _resource(settings: Settings, redactor: SpanRedactor) -> Resource:
    # With what OTEL_RESOURCE_ATTRIBUTES and the detectors say of the process.
    resource = _resource_of_the_process(
        os.getpid(),
        tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("OTEL_"))),
        (
            ("service.name", settings.service.name),
            ("service.version", settings.service.version),
            ("deployment.environment.name", settings.service.env),
            ("vcs.ref.head.revision", settings.service.commit),
        ),
    )
    return Resource(redactor.attributes(resource.attributes), resource.schema_url)


__all__ = ["OwnTracerProvider", "application_provider", "build_server_spans", "exporter_url", "make_global"]

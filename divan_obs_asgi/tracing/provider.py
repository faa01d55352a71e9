"""Builds the tracer provider of the OpenTelemetry SDK from the flags. Requires the extra `tracing`."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.queue import DropReason, ExportQueue, Limits
from divan_obs_asgi.tracing.export.redaction import RedactingExporter, SpanRedactor
from divan_obs_asgi.tracing.frameworks import AdoptingIdGenerator, AdoptingSampler, AdoptingSpanProcessor
from divan_obs_asgi.tracing.global_provider import OwnTracerProvider, global_provider
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.spans.fast import FastServerSpans
from divan_obs_asgi.tracing.spans.limits import span_limits

_logger = logging.getLogger("divan_obs_asgi.tracing")
_PLAINTEXT = {"grpc": "http", "grpcs": "https"}


def application_provider() -> trace.TracerProvider | None:
    """Return the global provider if the application or an agent has set one."""
    provider = trace.get_tracer_provider()
    defaults = (trace.ProxyTracerProvider, trace.NoOpTracerProvider, OwnTracerProvider)
    return None if isinstance(provider, defaults) else provider


def build_server_spans(
    settings: Settings,
    exporter: SpanExporter | None,
    redaction: RedactionPolicy,
    dropped: Callable[[DropReason, int], None],
    failed: Callable[[Exception], None],
) -> FastServerSpans:
    """
    Return server spans of a new provider, with resource, sampler and export queue from the flags.

    It starts no thread and opens no connection before the first span, so it can be built before a fork.

    Args:
        exporter: used instead of OTLP over gRPC to OTEL_EXPORTER_OTLP_ENDPOINT.
        redaction: the policy that redacts the resource and every span before the export.
        dropped: called with the reason and the number of dropped spans.
        failed: called with an exception of the exporter.
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
        sampler,
        _resource(settings, redactor),
        active_span_processor=processors,
        id_generator=ids,
        span_limits=span_limits(settings),
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
        weakref.finalize(provider, _finish, weakref.ref(queue)).atexit = False
        provider.add_span_processor(queue)
    load = load_exporter if queue is not None and exporter is None else None
    spans = FastServerSpans(settings, provider, processors, sampler, queue, load)
    if settings.tracing.native == "defer":
        processors.add_span_processor(AdoptingSpanProcessor(spans.adopt))
    return spans


def _finish(queue: weakref.ref[ExportQueue]) -> None:
    abandoned = queue()
    if abandoned is not None:
        abandoned.finish_in_background()


def _exporter_of(settings: Settings) -> Callable[[], SpanExporter] | None:
    endpoint = settings.otlp.traces.endpoint
    if endpoint is None:
        return None
    for name in ("grpc", "opentelemetry.exporter.otlp.proto.grpc"):
        # It is imported later, but what is missing has to be reported at start-up.
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    timeout_s = min(settings.otlp.traces.timeout_s, settings.tracing.export_timeout_ms / 1000)

    def make() -> SpanExporter:
        from divan_obs_asgi.tracing.export.otlp_grpc import GrpcExporter

        # The URL is computed at the first export, because that may log: by then `init` has installed the log handler.
        return GrpcExporter(exporter_url(endpoint), timeout=timeout_s)

    return make


def load_exporter() -> None:
    """Import the exporter and gRPC; the first export would do it, while requests wait for the interpreter."""
    import divan_obs_asgi.tracing.export.otlp_grpc  # noqa: F401


def exporter_url(endpoint: str) -> str:
    """
    Return `endpoint` with a scheme that the exporter understands.

    The exporter uses TLS for every scheme except `http`, so `grpc://collector:4317` would try a TLS handshake with a
    plaintext port for ever.
    """
    scheme = urlsplit(endpoint).scheme
    if scheme not in _PLAINTEXT:
        return endpoint
    _logger.info("OTEL_EXPORTER_OTLP_ENDPOINT has the scheme %s; using %s instead.", scheme, _PLAINTEXT[scheme])
    return _PLAINTEXT[scheme] + endpoint[len(scheme) :]


def make_global(provider: trace.TracerProvider) -> None:
    """
    Make `opentelemetry.trace.get_tracer` use `provider`, unless the application has set its own.

    A provider of this library is referenced only weakly, and the next one replaces it.
    """
    if isinstance(provider, OwnTracerProvider):
        global_provider().forward_to(provider)
        provider = global_provider()
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)


@lru_cache(maxsize=8)
def _resource_of_the_process(pid: int, environ: object, service: tuple[tuple[str, str], ...]) -> Resource:
    """Return the resource, cached: its detectors run in threads, which cost more than the rest of a provider."""
    return Resource.create(dict(service))


def _resource(settings: Settings, redactor: SpanRedactor) -> Resource:
    # Includes OTEL_RESOURCE_ATTRIBUTES and the attributes that the detectors find.
    resource = _resource_of_the_process(
        os.getpid(),
        tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("OTEL_"))),
        (
            *settings.otel.resource_attributes,
            ("service.name", settings.service.name),
            ("service.version", settings.service.version),
            ("deployment.environment.name", settings.service.env),
            ("vcs.ref.head.revision", settings.service.commit),
        ),
    )
    return Resource(redactor.attributes(resource.attributes), resource.schema_url)


__all__ = [
    "OwnTracerProvider",
    "application_provider",
    "build_server_spans",
    "exporter_url",
    "load_exporter",
    "make_global",
]

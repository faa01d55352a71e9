"""Builds the tracer provider of the OpenTelemetry SDK from the flags. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from divan_obs_asgi.otlp.answers import DropReason
from divan_obs_asgi.otlp.resource import resource_of
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.build import Terminal, build_queues, loader_of
from divan_obs_asgi.tracing.export.redaction import SpanRedactor
from divan_obs_asgi.tracing.frameworks import AdoptingIdGenerator, AdoptingSampler, AdoptingSpanProcessor
from divan_obs_asgi.tracing.global_provider import OwnTracerProvider, global_provider
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.spans.fast import FastServerSpans
from divan_obs_asgi.tracing.spans.limits import span_limits


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
    terminal: Terminal | None = None,
) -> FastServerSpans:
    """
    Return server spans of a new provider, with resource, sampler and export queue from the flags.

    It starts no thread and opens no connection before the first span, so it can be built before a fork.

    Args:
        exporter: used instead of OTLP to OTEL_EXPORTER_OTLP_ENDPOINT.
        redaction: the policy that redacts the resource and every span before the export.
        dropped: called with the reason and the number of dropped spans.
        failed: called with an exception of the exporter.
        terminal: where OTEL_TRACES_EXPORTER=console writes.
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
        resource_of(settings, redactor.attributes),
        active_span_processor=processors,
        id_generator=ids,
        span_limits=span_limits(settings),
    )
    queues = tuple(build_queues(settings, exporter, redaction, redactor, dropped, failed, terminal))
    for queue in queues:
        provider.add_span_processor(queue)
        queue.finish_with(provider)
    load = loader_of(settings) if exporter is None else None
    spans = FastServerSpans(settings, provider, processors, sampler, queues, load)
    if settings.tracing.native == "defer":
        processors.add_span_processor(AdoptingSpanProcessor(spans.adopt))
    return spans


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


__all__ = ["OwnTracerProvider", "application_provider", "build_server_spans", "make_global"]

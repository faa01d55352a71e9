"""The tracer provider of the OpenTelemetry SDK, set up from the flags. Imported only where tracing is on."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.redacting import RedactingExporter, SpanRedactor
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.server_span import FastServerSpans
from divan_obs_asgi.version import __version__

_logger = logging.getLogger("divan_obs_asgi.tracing")
_PLAINTEXT = {"grpc": "http", "grpcs": "https"}


def build_server_spans(settings: Settings, exporter: SpanExporter | None, policy: RedactionPolicy) -> FastServerSpans:
    """
    Return server spans through a new provider with resource, sampler and batch processor from the flags.

    Args:
        exporter: used in place of OTLP over gRPC to OTEL_EXPORTER_OTLP_ENDPOINT.
        policy: what the resource and every span go through before the exporter sees them.
    """
    redactor = SpanRedactor(policy)
    sampler = TraceSampler(settings.traces_sampler, settings.traces_sampler_arg)
    processors = SynchronousMultiSpanProcessor()
    provider = TracerProvider(sampler, _resource(settings, redactor), active_span_processor=processors)
    if exporter is None and settings.otlp_endpoint is not None:
        exporter = OTLPSpanExporter(endpoint=exporter_url(settings.otlp_endpoint))
    if exporter is None:
        _logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is not set: spans are not exported.")
    else:
        provider.add_span_processor(BatchSpanProcessor(RedactingExporter(exporter, redactor)))
    return FastServerSpans(provider, processors, sampler, __version__)


def exporter_url(endpoint: str) -> str:
    """
    Return `endpoint` as the exporter reads it.

    It takes every scheme but `http` for TLS, so that `grpc://collector:4317` would shake hands with a plaintext
    port for ever (PITFALLS P8).
    """
    scheme = urlsplit(endpoint).scheme
    if scheme not in _PLAINTEXT:
        return endpoint
    _logger.info("OTEL_EXPORTER_OTLP_ENDPOINT has the scheme %s; reading it as %s.", scheme, _PLAINTEXT[scheme])
    return _PLAINTEXT[scheme] + endpoint[len(scheme) :]


def make_global(provider: trace.TracerProvider) -> None:
    """Make `provider` what `opentelemetry.trace.get_tracer` uses, unless the application has set its own."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)


def _resource(settings: Settings, redactor: SpanRedactor) -> Resource:
    # With what OTEL_RESOURCE_ATTRIBUTES and the detectors say of the process.
    resource = Resource.create(
        {
            "service.name": settings.service_name,
            "deployment.environment.name": settings.env,
            "vcs.ref.head.revision": settings.commit,
        }
    )
    return Resource(redactor.attributes(resource.attributes), resource.schema_url)


__all__ = ["build_server_spans", "exporter_url", "make_global"]

"""The tracer provider of the OpenTelemetry SDK, set up from the flags. Imported only where tracing is on."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)

from divan_obs_asgi.settings import Settings

_logger = logging.getLogger("divan_obs_asgi.tracing")
_PLAINTEXT = {"grpc": "http", "grpcs": "https"}


def build_provider(settings: Settings) -> TracerProvider:
    """Return a provider with resource, sampler, and an OTLP gRPC exporter where an endpoint is configured."""
    provider = TracerProvider(resource=_resource(settings), sampler=_sampler(settings))
    if settings.otlp_endpoint is None:
        _logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is not set: spans are not exported.")
    else:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=exporter_url(settings.otlp_endpoint))))
    return provider


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


def _resource(settings: Settings) -> Resource:
    return Resource.create(
        {
            "service.name": settings.service_name,
            "deployment.environment.name": settings.env,
            "vcs.ref.head.revision": settings.commit,
        }
    )


def _sampler(settings: Settings) -> Sampler:
    ratio = settings.traces_sampler_arg
    samplers: dict[str, Sampler] = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "parentbased_always_on": DEFAULT_ON,
        "parentbased_always_off": DEFAULT_OFF,
    }
    known = samplers.get(settings.traces_sampler)
    if known is not None:
        return known
    if settings.traces_sampler == "traceidratio":
        return TraceIdRatioBased(ratio)
    return ParentBasedTraceIdRatio(ratio)


__all__ = ["build_provider", "exporter_url", "make_global"]

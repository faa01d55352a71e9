"""OTEL_CONFIG_FILE: OpenTelemetry's declarative configuration builds the provider. Requires the extra `tracing`."""

from __future__ import annotations

from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.otlp.sdk_private import processors_of, set_processors
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.redaction import SpanRedactor
from divan_obs_asgi.tracing.propagation.propagators import Propagation
from divan_obs_asgi.tracing.spans.disabled import DisabledServerSpans
from divan_obs_asgi.tracing.spans.tracer import TracerServerSpans


def spans_of_config_file(path: str, settings: Settings, policy: RedactionPolicy) -> TracerServerSpans | None:
    """
    Return the server spans of the provider that a file describes; None if nothing is installed that reads the file.

    Raises:
        ImproperlyConfigured: if the file cannot be read or used.
    """
    try:
        from opentelemetry.configuration import configure_sdk, load_config_file
    except ImportError:
        return None
    try:
        config: Any = load_config_file(path)
        configure_sdk(config)
    except Exception as error:
        reason = policy.redact_text(str(error))
        raise ImproperlyConfigured(f"OTEL_CONFIG_FILE cannot be used: {type(error).__name__}: {reason}") from None
    provider: Any = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        # The file disables the SDK, or it has no section for traces.
        return DisabledServerSpans(settings)
    _redact_spans_of(provider, SpanRedactor(policy))
    spans = TracerServerSpans(settings, provider)
    if config.propagator is not None:
        spans.use_propagation(Propagation.of(propagate.get_global_textmap()))
    return spans


def _redact_spans_of(provider: Any, redactor: SpanRedactor) -> None:
    """Redact each span before the processors of a provider get it."""
    processors = processors_of(provider)
    if processors is None:
        raise ImproperlyConfigured(
            "OTEL_CONFIG_FILE cannot be used: this version of opentelemetry-sdk has no place to redact spans; unset it."
        )
    set_processors(provider, RedactingProcessors(processors, redactor))


class RedactingProcessors(SpanProcessor):
    """Passes redacted copies of ended spans to the processors of a provider."""

    def __init__(self, processors: Any, redactor: SpanRedactor) -> None:
        self._processors = processors
        self._redactor = redactor

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._processors.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self._processors.on_end(self._redactor.span(span))

    def add_span_processor(self, processor: SpanProcessor) -> None:
        self._processors.add_span_processor(processor)

    def shutdown(self) -> None:
        self._processors.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._processors.force_flush(timeout_millis))


__all__ = ["RedactingProcessors", "spans_of_config_file"]

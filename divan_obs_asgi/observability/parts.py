"""The parts of a bundle, each made from the flags."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.lifecycle.background import Background
from divan_obs_asgi.lifecycle.development import why_development
from divan_obs_asgi.lifecycle.drain import Drain
from divan_obs_asgi.logs import ByteStream, FlightRecorder, Lines, Logs, OwnLoggers, RootLevel, Sampler, Sink
from divan_obs_asgi.logs.console import form_for, has_colours, is_for_people
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.otlp.exports import Exports
from divan_obs_asgi.probes.engine.registry import ProbeRegistry
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.runtime.gc_freeze import freeze_once
from divan_obs_asgi.runtime.pools import PoolRegistry
from divan_obs_asgi.runtime.process import register_process_collectors, set_build_info
from divan_obs_asgi.runtime.redis_streams import RedisStreams, client_factory
from divan_obs_asgi.runtime.stalls import RecentStalls
from divan_obs_asgi.runtime.watchdog import Watchdog
from divan_obs_asgi.settings import MisspeltFlag, Settings
from divan_obs_asgi.settings.metrics import EXPONENTIAL

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import TracerProvider

    from divan_obs_asgi.tracing.spans.server import ServerSpans

# The most misspelt flags that the warning at start-up names.
_SHOWN_MISSPELT = 10


def build_metrics(settings: Settings, policy: RedactionPolicy) -> Metrics:
    """Return the metrics; those of several workers share a directory."""
    shared = settings.enabled and settings.metrics.multiproc_dir
    return Metrics(
        policy,
        settings.metrics.namespace,
        settings.metrics.max_series,
        created=settings.metrics.created,
        directory=Path(shared) if shared else None,
        exemplars=settings.otel.exemplar_filter,
        exponential=settings.otlp.metrics.endpoint is not None and settings.metrics.histograms == EXPONENTIAL,
    )


def build_log(
    settings: Settings, lines: Lines, metrics: Metrics, faults: InternalErrors, stream: ByteStream | None
) -> Logs:
    """Return the log: sampling, flight recorder, and the sink that writes to `stream` (default: standard output)."""
    sink = Sink(
        stream,
        dropped=lambda level: metrics.logs_dropped.labels(level).inc(),
        failed=lambda error: faults.report("sink", error),
        form=form_for(settings.logs.format, stream, os.environ, dev=settings.dev_is_explicit),
    )
    logs = settings.logs
    return Logs(
        lines,
        Sampler(logs.sampling_rate_info, logs.sampling_budget),
        FlightRecorder(logs.recorder_lines, logs.recorder_bytes, logs.slow_ms / 1e3, sink.put),
        OwnLoggers(logs.recorder_loggers),
        sink,
        _root_level(settings),
        faults,
        restores=logs.restore,
        removed=lambda: metrics.log_handler_removed.inc(),  # Made at its first use.
    )


def build_drain(settings: Settings, metrics: Metrics, probes: ProbeRegistry, faults: InternalErrors) -> Drain:
    """Return the drain; readiness follows it."""

    def set_draining(drains: bool) -> None:
        metrics.draining.set(drains)
        probes.update_ready()

    return Drain(
        settings.health.drain_delay_s,
        faults,
        set_draining,
        signals=settings.health.drain_enabled,
        why_development=lambda: why_development(sys._getframe(), dev=settings.dev_is_explicit),
    )


def build_spans(
    settings: Settings,
    provider: TracerProvider | None,
    exporter: SpanExporter | None,
    metrics: Metrics,
    policy: RedactionPolicy,
    faults: InternalErrors,
    sink: Sink,
    stream: ByteStream | None,
) -> ServerSpans | None:
    """
    Return what makes server spans, through `provider` or one that is built from the flags; None if tracing is off.

    Raises:
        ImproperlyConfigured: if tracing is on and OpenTelemetry is not installed.
    """
    if not (settings.enabled and settings.tracing.enabled):
        return None
    try:
        from divan_obs_asgi.otlp.answers import DROP_REASONS, DropReason
        from divan_obs_asgi.tracing.config_file import spans_of_config_file
        from divan_obs_asgi.tracing.export.build import Terminal
        from divan_obs_asgi.tracing.provider import application_provider, build_server_spans
        from divan_obs_asgi.tracing.spans.disabled import DisabledServerSpans
        from divan_obs_asgi.tracing.spans.tracer import TracerServerSpans
    except ImportError:
        raise ImproperlyConfigured(
            "OBS_TRACING_ENABLED is true and OpenTelemetry is not installed: "
            "pip install 'divan-obs-asgi[tracing]', or set OBS_TRACING_ENABLED=false."
        ) from None
    if settings.otel.disabled:
        return DisabledServerSpans(settings)
    if provider is None and exporter is None:
        provider = application_provider()
        if provider is None and settings.otel.config_file:
            spans = spans_of_config_file(settings.otel.config_file, settings, policy)
            if spans is not None:
                return spans
    if provider is not None:
        return TracerServerSpans(settings, provider)

    def lost(reason: DropReason, count: int) -> None:
        metrics.trace_spans_dropped.labels(reason).inc(count)

    def start_at_zero() -> None:
        metrics.start_at_zero(metrics.trace_spans_dropped, reason=DROP_REASONS)

    metrics.registry.later(start_at_zero)
    return build_server_spans(
        settings,
        exporter,
        metrics.counting(policy, "span"),
        dropped=lost,
        failed=lambda error: faults.report("tracing", error),
        terminal=Terminal(
            lambda text: sink.put(text, logging.INFO),
            is_for_people(settings.logs.format, stream, os.environ),
            has_colours(stream, os.environ),
        ),
    )


def build_exports(
    settings: Settings, lines: Lines, sink: Sink, metrics: Metrics, policy: RedactionPolicy, faults: InternalErrors
) -> Exports:
    """
    Return the exports of log lines and metrics by OTLP; none by default.

    Raises:
        ImproperlyConfigured: if one is asked for and OpenTelemetry is not installed.
    """
    signals = settings.otlp
    if not settings.enabled or settings.otel.disabled or not (signals.logs.endpoint or signals.metrics.endpoint):
        return Exports()
    try:
        from divan_obs_asgi.observability.signal_exports import signal_exports

        return Exports(*signal_exports(settings, lines, sink, metrics, policy, faults))
    except ImportError:
        raise ImproperlyConfigured(
            "OTEL_LOGS_EXPORTER or OTEL_METRICS_EXPORTER is otlp and OpenTelemetry is not installed: "
            "pip install 'divan-obs-asgi[tracing]', or set it to none."
        ) from None


def build_background(
    settings: Settings, metrics: Metrics, faults: InternalErrors, stalls: RecentStalls, pools: PoolRegistry
) -> Background:
    """Return the background tasks that report on the process, its connection pools and its Redis streams."""
    background = Background(faults)
    if not settings.enabled:
        return background
    metrics.registry.later(partial(set_build_info, metrics, settings))
    metrics.registry.later(partial(register_process_collectors, metrics.registry))
    if metrics.workers is not None:
        background.add("process_series", partial(metrics.workers.keep_updating, metrics.registry.collectors))
        background.add("pools", pools.run, later=True)
    if settings.runtime.watchdog_enabled:
        stall_s = settings.runtime.watchdog_stall_ms / 1e3
        watchdog = Watchdog(metrics, faults, stall_s=stall_s, starting=background.is_starting, stalls=stalls)
        background.when_started("watchdog", watchdog.begin)
        background.add("watchdog", watchdog.run)
    if settings.runtime.gc_freeze:
        background.when_started("gc_freeze", freeze_once)
    if settings.runtime.redis_streams:
        connect = client_factory(settings.service.redis_url)
        interval_s = settings.runtime.redis_streams_interval_s
        streams = RedisStreams(metrics, faults, settings.runtime.redis_streams, connect, interval_s=interval_s)
        background.add("redis_streams", streams.run)
    return background


def warn_of_missing_endpoint() -> None:
    """Log that spans are not exported."""
    logging.getLogger("divan_obs_asgi.tracing").warning(
        "OTEL_EXPORTER_OTLP_ENDPOINT is not set: spans are not exported."
    )


def warn_of_variables_without_effect(settings: Settings) -> None:
    """Log the variables of OpenTelemetry that are set and have no effect, with what to do."""
    # The application's own provider, or an agent's, reads them by itself.
    if settings.otel.disabled or _has_foreign_provider():
        return
    names = [f"{name} ({instead})" for name, instead in settings.without_effect]
    if settings.tracing.enabled and settings.otel.config_file:
        names.append(
            "OTEL_CONFIG_FILE (pip install opentelemetry-configuration, which needs opentelemetry-sdk 1.44 or newer)"
        )
    if not settings.tracing.enabled:
        names = [f"{name} (set OBS_TRACING_ENABLED=true)" for name in settings.otlp.endpoints_of_traces]
    if not names:
        return
    logging.getLogger("divan_obs_asgi.settings").warning(
        "Variables of OpenTelemetry without effect: %s. See docs/opentelemetry.md.", ", ".join(names)
    )


def _has_foreign_provider() -> bool:
    if "opentelemetry.trace" not in sys.modules:
        return False
    try:
        from divan_obs_asgi.tracing.provider import application_provider
    except ImportError:
        return True  # Of an installation without the SDK, nothing is known.
    return application_provider() is not None


def warn_of_misspelt_flags(misspelt: Sequence[MisspeltFlag]) -> None:
    """Log the variables that resemble a flag; at most ten of them."""
    # The log line must not be cut: OBS Studio, for one, may have set many.
    shown = [f"{name} (did you mean {nearest}?)" if nearest else name for name, nearest in misspelt[:_SHOWN_MISSPELT]]
    if len(misspelt) > _SHOWN_MISSPELT:
        shown.append(f"and {len(misspelt) - _SHOWN_MISSPELT} more")
    logging.getLogger("divan_obs_asgi.settings").warning(
        "Environment variables that are not flags are ignored: %s.", ", ".join(shown)
    )


def _root_level(settings: Settings) -> RootLevel:
    numbers = logging.getLevelNamesMapping()
    recorder_level = numbers[settings.logs.recorder_level] if settings.logs.recorder_lines else None
    debug_requests = settings.console.debug_key is not None
    return RootLevel(numbers[settings.logs.level], recorder_level, debug_requests=debug_requests)


__all__ = [
    "build_background",
    "build_drain",
    "build_exports",
    "build_log",
    "build_metrics",
    "build_spans",
    "warn_of_missing_endpoint",
    "warn_of_misspelt_flags",
    "warn_of_variables_without_effect",
]

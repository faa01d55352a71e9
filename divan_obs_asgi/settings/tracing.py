"""Flags of spans and their export."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import (
    boolean,
    conventions,
    one_of,
    positive_integer,
    seconds,
    share,
    some_of,
)

# The names that the OpenTelemetry specification gives to OTEL_TRACES_SAMPLER.
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
NATIVE_MODES = ("suppress", "nest", "defer")
CLIENT_ADDRESSES = ("none", "network", "full")
TRACE_HEADERS = ("traceparent", "traceresponse", "server-timing")
CLIENTS = ("httpx", "requests", "sqlalchemy", "asyncpg", "psycopg", "aiosqlite", "redis")
CLIENT_SPANS = ("own", "contrib")


@dataclass(frozen=True, kw_only=True)
class TracingSettings:
    """Which requests and calls become spans, and where spans go."""

    enabled: bool = flag(
        "OBS_TRACING_ENABLED", boolean, False, "Create a server span for every request; needs the extra `tracing`."
    )
    sampler: str = flag("OTEL_TRACES_SAMPLER", one_of(*SAMPLERS), "parentbased_traceidratio", "Sampler of traces.")
    sampler_arg: float = flag(
        "OTEL_TRACES_SAMPLER_ARG", share, 1.0, "Share of traces that a traceidratio sampler records, from 0 to 1."
    )
    queue_size: int = flag(
        "OTEL_BSP_MAX_QUEUE_SIZE", positive_integer, 2048, "Maximum number of spans in the export queue."
    )
    batch_size: int = flag(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", positive_integer, 512, "Maximum number of spans in one export request."
    )
    delay_ms: int = flag(
        "OTEL_BSP_SCHEDULE_DELAY", positive_integer, 5000, "Maximum delay between exports, in milliseconds."
    )
    export_timeout_ms: int = flag(
        "OTEL_BSP_EXPORT_TIMEOUT",
        positive_integer,
        30_000,
        "Maximum time of an export of spans, in milliseconds; the shorter one of this and the OTLP timeout.",
    )
    shutdown_timeout_s: float = flag(
        "OBS_TRACING_SHUTDOWN_TIMEOUT_S", seconds, 5.0, "Maximum time to export pending spans at shutdown, in seconds."
    )
    native: str = flag(
        "OBS_TRACING_NATIVE",
        one_of(*NATIVE_MODES),
        "suppress",
        "Server spans of frameworks that trace themselves: suppress, nest or defer (docs/tracing.md).",
    )
    clients: tuple[str, ...] = flag(
        "OBS_TRACING_CLIENTS",
        some_of(*CLIENTS),
        CLIENTS,
        "Client libraries to trace, if they are installed: httpx,requests,sqlalchemy,asyncpg,psycopg,aiosqlite,redis.",
    )
    client_spans: str = flag(
        "OBS_TRACING_CLIENT_SPANS",
        one_of(*CLIENT_SPANS),
        "own",
        "Spans of SQL and Redis calls: own, or contrib (OpenTelemetry's instrumentations).",
    )
    response_headers: tuple[str, ...] = flag(
        "OBS_TRACING_RESPONSE_HEADERS",
        some_of(*TRACE_HEADERS),
        ("traceparent",),
        "Response headers that carry the trace id: traceparent, traceresponse, server-timing.",
    )
    client_address: str = flag(
        "OBS_TRACING_CLIENT_ADDRESS",
        one_of(*CLIENT_ADDRESSES),
        "none",
        "`client.address` of server spans: none, network (last part removed) or full.",
    )
    keep_errors: bool = flag(
        "OBS_TRACING_KEEP_ERRORS",
        boolean,
        False,
        "Export spans of failed or slow requests even if they were not sampled.",
    )
    keep_slow_s: float = flag(
        "OBS_TRACING_KEEP_SLOW_S",
        seconds,
        1.0,
        "Requests that take longer (seconds) count as slow for OBS_TRACING_KEEP_ERRORS.",
    )
    keep_budget: int = flag(
        "OBS_TRACING_KEEP_BUDGET",
        positive_integer,
        10,
        "Maximum spans per second that OBS_TRACING_KEEP_ERRORS exports.",
    )
    semconv_opt_in: tuple[str, ...] = flag(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        conventions,
        (),
        "`http/dup` and `database/dup` add the old attribute names (`http.status_code`, `db.statement`).",
    )


__all__ = [
    "CLIENTS",
    "CLIENT_ADDRESSES",
    "CLIENT_SPANS",
    "NATIVE_MODES",
    "SAMPLERS",
    "TRACE_HEADERS",
    "TracingSettings",
]

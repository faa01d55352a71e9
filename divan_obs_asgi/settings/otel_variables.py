"""Every variable of OpenTelemetry's specification and of its SDK for Python: whether it works here, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Literal, NamedTuple

from divan_obs_asgi.settings.otel_parsers import malformed_pairs

Effect = Literal["works", "not applicable", "not supported, warned about"]
_WORKS: Effect = "works"
_ELSEWHERE: Effect = "not applicable"
_NOT: Effect = "not supported, warned about"


class OtelVariable(NamedTuple):
    """
    One variable of OpenTelemetry.

    Attributes:
        why: how it works, or why it does not.
        instead: what to do if it is set and has no effect.
        harmless: values that need no warning.
    """

    effect: Effect
    why: str
    instead: str = ""
    harmless: tuple[str, ...] = ()


def _works(why: str) -> OtelVariable:
    return OtelVariable(_WORKS, why)


def _elsewhere(why: str) -> OtelVariable:
    return OtelVariable(_ELSEWHERE, why)


def _not(why: str, instead: str, *harmless: str) -> OtelVariable:
    return OtelVariable(_NOT, why, instead, harmless)


_OTLP = {
    "ENDPOINT": "The collector's address; `/v1/traces` is added to a general one for HTTP.",
    "PROTOCOL": "`grpc` (the default) or `http/protobuf`.",
    "HEADERS": "Headers of each export; a signal's own ones replace the general ones. Never shown.",
    "TIMEOUT": "Seconds, as in OpenTelemetry's SDK for Python; a value from 1000 on is milliseconds.",
    "COMPRESSION": "`gzip` or `none`.",
    "CERTIFICATE": "Certificates that the collector is verified with.",
    "CLIENT_KEY": "Key of the client certificate.",
    "CLIENT_CERTIFICATE": "Client certificate.",
    "INSECURE": "Plaintext for an endpoint without a scheme.",
}
_OTLP_OF_SIGNAL = {**_OTLP, "ENDPOINT": "The collector's address for this signal; for HTTP the whole URL."}
_LIMITS = {
    "ATTRIBUTE_COUNT": "Attributes of a span, an event or a link.",
    "ATTRIBUTE_VALUE_LENGTH": "Longer texts are cut.",
    "SPAN_ATTRIBUTE_COUNT": "Overrides OTEL_ATTRIBUTE_COUNT_LIMIT for spans.",
    "SPAN_ATTRIBUTE_VALUE_LENGTH": "Overrides OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT for spans.",
    "SPAN_EVENT_COUNT": "Events of a span; the oldest ones are dropped.",
    "SPAN_LINK_COUNT": "Links of a span; the oldest ones are dropped.",
    "EVENT_ATTRIBUTE_COUNT": "Attributes of an event.",
    "LINK_ATTRIBUTE_COUNT": "Attributes of a link.",
}
_SERVERS = ("ASGI", "FASTAPI", "STARLETTE", "DJANGO", "FALCON")
_CLIENTS = ("HTTPX", "REQUESTS")
_CAPTURED = tuple(
    f"HTTP_CAPTURE_HEADERS_{side}_{what}" for side in ("SERVER", "CLIENT") for what in ("REQUEST", "RESPONSE")
)

OTEL_VARIABLES: dict[str, OtelVariable] = {
    "OTEL_SDK_DISABLED": _works("No spans and no export; the caller's trace is propagated as it came."),
    "OTEL_CONFIG_FILE": _works("Builds the provider, if `opentelemetry-configuration` is installed."),
    "OTEL_SERVICE_NAME": _works("If OBS_SERVICE_NAME is not set."),
    "OTEL_RESOURCE_ATTRIBUTES": _works("Attributes of the resource; names the service if no OBS_ flag does."),
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": _works("The SDK's detectors: `otel`, `process`, `os`, `host`, ..."),
    "OTEL_PROPAGATORS": _works("The same list for incoming and outgoing headers."),
    "OTEL_TRACES_SAMPLER": _works("The six samplers of the specification that need no further service."),
    "OTEL_TRACES_SAMPLER_ARG": _works("The share of a traceidratio sampler."),
    "OTEL_TRACES_EXPORTER": _works("`otlp`, `console`, both, or `none`."),
    "OTEL_LOGS_EXPORTER": _works("`otlp`, or `none`; lines are on standard output in any case, which is `console`."),
    "OTEL_METRICS_EXPORTER": _works("`otlp`, or `none`; /metrics is served in any case, which is `prometheus`."),
    **{f"OTEL_EXPORTER_OTLP_{name}": _works(why) for name, why in _OTLP.items()},
    **{f"OTEL_EXPORTER_OTLP_TRACES_{name}": _works(why) for name, why in _OTLP.items()},
    **{f"OTEL_EXPORTER_OTLP_LOGS_{name}": _works(why) for name, why in _OTLP_OF_SIGNAL.items()},
    **{f"OTEL_EXPORTER_OTLP_METRICS_{name}": _works(why) for name, why in _OTLP_OF_SIGNAL.items()},
    "OTEL_EXPORTER_OTLP_SPAN_INSECURE": _not("An old name.", "set OTEL_EXPORTER_OTLP_TRACES_INSECURE"),
    "OTEL_EXPORTER_OTLP_METRIC_INSECURE": _not("An old name.", "set OTEL_EXPORTER_OTLP_METRICS_INSECURE"),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": _works("`cumulative`, `delta`, or `lowmemory`, as `delta`."),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": _works(
        "`explicit_bucket_histogram`, with the buckets of /metrics, or `base2_exponential_bucket_histogram`."
    ),
    "OTEL_BSP_SCHEDULE_DELAY": _works("Maximum delay between exports."),
    "OTEL_BSP_EXPORT_TIMEOUT": _works("The shorter one of this and the OTLP timeout ends an export."),
    "OTEL_BSP_MAX_QUEUE_SIZE": _works("Spans in the export queue."),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _works("Spans in one export."),
    "OTEL_BLRP_SCHEDULE_DELAY": _works("Maximum delay between exports of log lines."),
    "OTEL_BLRP_EXPORT_TIMEOUT": _works("The shorter one of this and the OTLP timeout ends an export of log lines."),
    "OTEL_BLRP_MAX_QUEUE_SIZE": _works("Log lines in the export queue."),
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": _works("Log lines in one export."),
    "OTEL_METRIC_EXPORT_INTERVAL": _works("Milliseconds between exports of metrics."),
    "OTEL_METRIC_EXPORT_TIMEOUT": _works("The shorter one of this and the OTLP timeout ends an export of metrics."),
    "OTEL_METRICS_EXEMPLAR_FILTER": _works("Which requests are exemplars of the histograms."),
    **{f"OTEL_{name}_LIMIT": _works(why) for name, why in _LIMITS.items()},
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": _elsewhere("Log lines have a limit of their own (docs/logs.md)."),
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": _elsewhere("Log lines have a limit of their own (docs/logs.md)."),
    "OTEL_LOG_LEVEL": _elsewhere("The level of the SDK's own messages, which follow LOG_LEVEL as all others do."),
    "OTEL_SEMCONV_STABILITY_OPT_IN": _works("`http/dup` and `database/dup` add the old names."),
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT": _not("There is no exporter for Zipkin.", "export to a collector by OTLP"),
    "OTEL_EXPORTER_ZIPKIN_TIMEOUT": _not("There is no exporter for Zipkin.", "export to a collector by OTLP"),
    # The exporter for Jaeger is in older SDKs only, as are the events of its logs API.
    **{
        f"OTEL_EXPORTER_JAEGER_{name}": _not("There is no exporter for Jaeger.", "export to Jaeger by OTLP")
        for name in (
            *("AGENT_HOST", "AGENT_PORT", "AGENT_SPLIT_OVERSIZED_BATCHES", "ENDPOINT", "USER", "PASSWORD", "TIMEOUT"),
            *("CERTIFICATE", "GRPC_INSECURE"),
        )
    },
    "OTEL_PYTHON_EVENT_LOGGER_PROVIDER": _elsewhere("Log lines are not made with OpenTelemetry's API."),
    "OTEL_EXPORTER_PROMETHEUS_HOST": _not("Metrics are served by the application.", "set OBS_OPS_HOST"),
    "OTEL_EXPORTER_PROMETHEUS_PORT": _not("Metrics are served by the application.", "set OBS_OPS_PORT"),
    "OTEL_PYTHON_EXCLUDED_URLS": _works("Paths without a span; the outgoing calls that match have none either."),
    **{f"OTEL_PYTHON_{name}_EXCLUDED_URLS": _works("Overrides the general one.") for name in (*_SERVERS, *_CLIENTS)},
    "OTEL_PYTHON_CONTEXT": _works("The SDK's storage of the current context."),
    "OTEL_PYTHON_TRACER_PROVIDER": _works("The provider that it names is used as the application's own."),
    "OTEL_PYTHON_METER_PROVIDER": _elsewhere("The library's metrics are not made with OpenTelemetry's API."),
    "OTEL_PYTHON_LOGGER_PROVIDER": _elsewhere("Log lines are not made with OpenTelemetry's API."),
    "OTEL_PYTHON_ID_GENERATOR": _not("Ids are random in all their bits.", "unset it", "random"),
    "OTEL_PYTHON_TRACER_CONFIGURATOR": _not("All tracers are on.", "unset it"),
    "OTEL_PYTHON_METER_CONFIGURATOR": _elsewhere("The library's metrics are not made with OpenTelemetry's API."),
    "OTEL_PYTHON_LOGGER_CONFIGURATOR": _elsewhere("Log lines are not made with OpenTelemetry's API."),
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": _elsewhere("The export has families of its own (docs/metrics.md)."),
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": _works("Client libraries that are not traced."),
    "OTEL_PYTHON_DISTRO": _elsewhere("Read by `opentelemetry-instrument`, whose provider is then used."),
    "OTEL_PYTHON_CONFIGURATOR": _elsewhere("Read by `opentelemetry-instrument`, whose provider is then used."),
    "OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH": _elsewhere("Read by `opentelemetry-instrument`."),
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": _elsewhere("Log lines have the ids in any case."),
    "OTEL_PYTHON_LOG_CORRELATION": _elsewhere("Log lines have the ids in any case."),
    "OTEL_PYTHON_LOG_FORMAT": _elsewhere("Log lines are JSON (LOG_FORMAT)."),
    "OTEL_PYTHON_LOG_LEVEL": _elsewhere("LOG_LEVEL is the level of the log lines."),
    "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": _not("Unknown methods are `_OTHER`.", "unset it", "false"),
    **{
        f"OTEL_INSTRUMENTATION_{name}": _not("Headers are never recorded: they carry credentials.", "unset it")
        for name in _CAPTURED
    },
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": _elsewhere("Headers are never recorded."),
    **{
        f"OTEL_PYTHON_EXPORTER_OTLP_{protocol}_{signal}CREDENTIAL_PROVIDER": _not(
            "Plug-ins of the SDK's exporter.", "set OTEL_EXPORTER_OTLP_HEADERS or a client certificate"
        )
        for protocol in ("GRPC", "HTTP")
        for signal in ("", "TRACES_", "LOGS_", "METRICS_")
    },
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES": _not("The export queue decides about retries.", "unset it"),
    "OTEL_EXPERIMENTAL_CONFIG_FILE": _not("An old name.", "set OTEL_CONFIG_FILE"),
}


class WithoutEffect(NamedTuple):
    """A variable that is set and has no effect, and what to do."""

    name: str
    instead: str


def without_effect(environ: Mapping[str, str]) -> Iterator[WithoutEffect]:
    """Yield each variable of OpenTelemetry that is set and has no effect."""
    for name in sorted(each for each in environ if each.startswith("OTEL_")):
        value = environ[name].strip().lower()
        variable = OTEL_VARIABLES.get(name)
        if not value:
            continue
        if variable is None:
            nearest = get_close_matches(name, OTEL_VARIABLES, 1, _MISSPELT)
            if nearest:
                yield WithoutEffect(name, f"did you mean {nearest[0]}?")
        elif variable.effect is _NOT and value not in variable.harmless:
            yield WithoutEffect(name, variable.instead)
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() not in ("", "true", "false"):
        yield WithoutEffect("OTEL_SDK_DISABLED", "only true has an effect")
    if "console" in environ.get("OTEL_METRICS_EXPORTER", "").lower():
        yield WithoutEffect("OTEL_METRICS_EXPORTER", "console prints nothing; read /metrics")
    malformed = malformed_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if malformed:
        yield WithoutEffect(
            "OTEL_RESOURCE_ATTRIBUTES", f"{malformed} malformed: write name=value pairs, separated by commas"
        )


# Variables of an operator (OTEL_RESOURCE_ATTRIBUTES_POD_NAME) are less similar than this to any known one.
_MISSPELT = 0.92

__all__ = ["OTEL_VARIABLES", "Effect", "OtelVariable", "WithoutEffect", "without_effect"]

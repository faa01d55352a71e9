"""Flags of metrics."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, directory, namespace, one_of, positive_integer

EXPONENTIAL = "base2_exponential_bucket_histogram"
TEMPORALITIES = ("cumulative", "delta", "lowmemory")


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """Whether requests are counted, the prefix of metric names, and the limit of series."""

    enabled: bool = flag("OBS_METRICS_ENABLED", boolean, True, "Count and time every request.")
    public: bool = flag(
        "OBS_METRICS_PUBLIC", boolean, False, "Serve /metrics and read-only /ops without a token (OBS_ENV=dev only)."
    )
    namespace: str = flag("OBS_NAMESPACE", namespace, "divan", "Prefix of every metric name.")
    max_series: int = flag(
        "OBS_METRICS_MAX_SERIES",
        positive_integer,
        500,
        "Maximum label sets per metric; further ones are folded into `__overflow__`.",
    )
    created: bool = flag(
        "OBS_METRICS_CREATED", boolean, False, "Expose the creation time of each series (`_created`); doubles the page."
    )
    export_interval_ms: int = flag(
        "OTEL_METRIC_EXPORT_INTERVAL",
        positive_integer,
        60_000,
        "Interval between exports of metrics by OTLP, in milliseconds.",
    )
    export_timeout_ms: int = flag(
        "OTEL_METRIC_EXPORT_TIMEOUT",
        positive_integer,
        30_000,
        "Maximum time of an export of metrics, in milliseconds; the shorter one of this and the OTLP timeout.",
    )
    temporality: str = flag(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        one_of(*TEMPORALITIES),
        "cumulative",
        "Counters and histograms by OTLP: cumulative; delta, the difference to the last export; lowmemory is delta.",
    )
    histograms: str = flag(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        one_of("explicit_bucket_histogram", EXPONENTIAL),
        "explicit_bucket_histogram",
        "Histograms by OTLP: explicit_bucket_histogram, as in /metrics, or base2_exponential_bucket_histogram.",
    )
    wait_times: bool = flag(
        "OBS_METRICS_WAIT_TIMES",
        boolean,
        False,
        "Expose what requests wait for, by route and cause; needs OBS_WAIT_TIMES_ENABLED.",
    )
    multiproc_dir: str | None = flag(
        "PROMETHEUS_MULTIPROC_DIR",
        directory,
        None,
        "Directory in which the workers of this service share their metrics, so that each worker exposes all of them.",
    )


__all__ = ["MetricSettings"]

"""The monitoring itself: scrapes, dropped log lines and spans, series overflow and redaction."""

from __future__ import annotations

from prometheus_client import Counter

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.metrics.family import Family
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import table, timeline, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import chosen, in_view, per_second
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Foreign, Series, Vector, highest, lowest
from divan_obs_asgi.ops_assets.rules.itself import CANARY


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "monitoring-itself",
        "Monitoring itself",
        "Are the other dashboards complete: is everything scraped, logged, traced and redacted?",
        (
            (_scraped(series), _exposed(series)),
            (_scrape_duration(series), _samples(series), _versions(series)),
            (_lost_lines(series), _lost_spans(series), _lost_telemetry(series)),
            (_overflow(series), _errors(series)),
            (_canary(series), _redactions(series)),
            (_draining(series), _age(series)),
        ),
    )


def _scraped(series: Series) -> Panel:
    return timeline(
        "Is every instance scraped?",
        "Red: the scrape failed. If all instances are red or none is listed, no other alert can fire.",
        Query(lowest(series.gauge(Foreign.up), "instance"), "{{instance}}"),
        alert="ServiceAbsent",
    )


def _exposed(series: Series) -> Panel:
    runs = Vector(f"count by (job, instance) ({series.gauge(Catalogue.build_info)})")
    here = lowest(series.gauge(Foreign.up), "job", "instance")
    return timeline(
        "Does every instance expose the service's metrics?",
        "Red: the scrape succeeded, but the page does not have the metrics of the service.",
        Query(Vector(f"({here} > 0) * ({runs} >= bool 1) or ({here} > 0) * 0"), "{{instance}}"),
        alert="MetricsAbsent",
    )


def _scrape_duration(series: Series) -> Panel:
    return timeseries(
        "How long does a scrape take?",
        "Seconds per scrape. A scrape that takes longer than scrape_timeout of Prometheus fails.",
        "s",
        Query(highest(series.gauge(Foreign.scrape_duration), "instance"), "{{instance}}"),
        alert="ReplicaNotScraped",
    )


def _samples(series: Series) -> Panel:
    return timeseries(
        "How many samples does a scrape return?",
        "Samples per scrape. A steady rise means that a label keeps getting new values.",
        "short",
        Query(highest(series.gauge(Foreign.scrape_samples), "instance"), "{{instance}}"),
    )


def _versions(series: Series) -> Panel:
    by = ("service_version", "commit", "version", "python")
    runs = series.gauge(Catalogue.build_info)
    return table(
        "Which versions run?",
        "Instances by service version, commit, version of divan-obs-asgi and Python. Two rows during a deployment.",
        Query(Vector(f"count by ({', '.join(by)}) ({runs})"), "Instances", "short"),
    )


def _per_second_by(series: Series, family: Family[Counter], label: str) -> Query:
    return Query(per_second(series.counter(family), label), f"{{{{{label}}}}}")


def _lost_lines(series: Series) -> Panel:
    return timeseries(
        "Are log lines dropped?",
        "Log lines per second dropped because the queue was full, by level.",
        "cps",
        _per_second_by(series, Catalogue.logs_dropped, "level"),
        alert="LogLinesDropped",
    )


def _lost_telemetry(series: Series) -> Panel:
    return timeseries(
        "Do log lines and metrics reach the collector?",
        "Log lines and exports of metrics per second that were dropped on the way to the collector, by reason.",
        "cps",
        Query(per_second(series.counter(Catalogue.otlp_dropped), "signal", "reason"), "{{signal}}: {{reason}}"),
        alert="TelemetryDropped",
    )


def _lost_spans(series: Series) -> Panel:
    return timeseries(
        "Are spans dropped?",
        "Spans per second that were dropped before they reached the collector, by instance and reason. circuit_open: "
        "the instance has stopped exporting traces.",
        "cps",
        Query(
            per_second(series.counter(Catalogue.trace_spans_dropped), "instance", "reason"),
            "{{instance}}: {{reason}}",
        ),
        alert=("SpansDropped", "TraceExportStopped"),
    )


def _overflow(series: Series) -> Panel:
    return table(
        "Which metrics have too many series?",
        "Values counted as __overflow__ in the time range, by metric and cause. Empty: no overflow.",
        Query(
            Vector(f"{in_view(series.counter(Catalogue.metrics_overflow), 'family', 'cause')} > 0"), "Values", "short"
        ),
        alert="SeriesOverflow",
    )


def _errors(series: Series) -> Panel:
    return timeseries(
        "Which parts of divan-obs-asgi fail?",
        "Internal errors per second, by component, and removals of the log handler by another logging configuration.",
        "cps",
        _per_second_by(series, Catalogue.errors, "component"),
        Query(per_second(series.counter(Catalogue.log_handler_removed), "job"), "log handler removed"),
    )


def _canary(series: Series) -> Panel:
    return timeline(
        "Does the redaction self-test pass?",
        "Red: a fake secret passed through a sink. Real secrets may be in logs, traces or metrics.",
        Query(lowest(series.gauge(Catalogue.probe_up, name=CANARY), "instance"), "{{instance}}"),
        alert="RedactionCanaryFailed",
    )


def _redactions(series: Series) -> Panel:
    return table(
        "What is redacted, and where?",
        "Redactions in the time range, by rule and sink. Many of them: some code passes secrets to that sink.",
        Query(Vector(f"{in_view(series.counter(Catalogue.redactions), 'rule', 'sink')} > 0"), "Redactions", "short"),
    )


def _draining(series: Series) -> Panel:
    return timeseries(
        "Which instances are draining?",
        "1 from the start of the drain until the process ends.",
        "none",
        Query(highest(series.gauge(Catalogue.draining), "instance"), "{{instance}}"),
    )


def _age(series: Series) -> Panel:
    started = highest(series.gauge(Foreign.process_start), "instance")
    return timeseries(
        "How long has each instance been running?",
        "Age of the newest process of each instance. If it often drops to 0, the instance keeps restarting.",
        "s",
        Query(Vector(f"time() - {started}"), "{{instance}}"),
    )


__all__ = ["board"]

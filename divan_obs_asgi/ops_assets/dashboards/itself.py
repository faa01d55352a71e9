"""The monitoring itself: scrapes, lost lines and spans, overflow, redaction."""

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
        "Can the other boards be believed: is everything scraped, logged, traced and redacted?",
        (
            (_scraped(series), _exposed(series)),
            (_scrape_duration(series), _samples(series), _versions(series)),
            (_lost_lines(series), _lost_spans(series), _circuit(series)),
            (_overflow(series), _errors(series)),
            (_canary(series), _redactions(series)),
            (_draining(series), _age(series)),
        ),
    )


def _scraped(series: Series) -> Panel:
    return timeline(
        "Is every instance scraped?",
        "Red: Prometheus did not get the page. All red, or none there: no other alert can fire.",
        Query(lowest(series.gauge(Foreign.up), "instance"), "{{instance}}"),
        alert="ServiceAbsent",
    )


def _exposed(series: Series) -> Panel:
    runs = Vector(f"count by (job, instance) ({series.gauge(Catalogue.build_info)})")
    here = lowest(series.gauge(Foreign.up), "job", "instance")
    return timeline(
        "Does every page have the service's metrics?",
        "Red: the page is there, but without the metrics of the service.",
        Query(Vector(f"({here} > 0) * ({runs} >= bool 1) or ({here} > 0) * 0"), "{{instance}}"),
        alert="MetricsAbsent",
    )


def _scrape_duration(series: Series) -> Panel:
    return timeseries(
        "How long does a scrape take?",
        "One that takes longer than Prometheus' scrape_timeout is lost.",
        "s",
        Query(highest(series.gauge(Foreign.scrape_duration), "instance"), "{{instance}}"),
        alert="ReplicaNotScraped",
    )


def _samples(series: Series) -> Panel:
    return timeseries(
        "How large is the page?",
        "Samples of one scrape. A steady rise is a label with ever new values.",
        "short",
        Query(highest(series.gauge(Foreign.scrape_samples), "instance"), "{{instance}}"),
    )


def _versions(series: Series) -> Panel:
    by = ("service_version", "commit", "version", "python")
    runs = series.gauge(Catalogue.build_info)
    return table(
        "Which versions run?",
        "Instances by version of the service, its commit, divan-obs-asgi and Python. Two rows during a deployment.",
        Query(Vector(f"count by ({', '.join(by)}) ({runs})"), "Instances", "short"),
    )


def _lost(series: Series, family: Family[Counter], label: str) -> Query:
    return Query(per_second(series.counter(family), label), f"{{{{{label}}}}}")


def _lost_lines(series: Series) -> Panel:
    return timeseries(
        "Are log lines lost?",
        "Lines per second that the full queue did not take, by level.",
        "cps",
        _lost(series, Catalogue.logs_dropped, "level"),
        alert="LogLinesDropped",
    )


def _lost_spans(series: Series) -> Panel:
    return timeseries(
        "Are spans lost?",
        "Spans per second that did not reach the collector, by reason.",
        "cps",
        _lost(series, Catalogue.trace_spans_dropped, "reason"),
        alert="SpansDropped",
    )


def _circuit(series: Series) -> Panel:
    dropped = series.counter(Catalogue.trace_spans_dropped, reason="circuit_open")
    return timeseries(
        "Which instance has stopped exporting traces?",
        "Spans per second that were dropped because the collector had failed too often.",
        "cps",
        Query(per_second(dropped, "instance"), "{{instance}}"),
        alert="TraceExportStopped",
    )


def _overflow(series: Series) -> Panel:
    return table(
        "Which metrics have too many series?",
        "Values in view that were counted as __overflow__, by metric and cause. Empty: none.",
        Query(
            Vector(f"{in_view(series.counter(Catalogue.metrics_overflow), 'family', 'cause')} > 0"), "Values", "short"
        ),
        alert="SeriesOverflow",
    )


def _errors(series: Series) -> Panel:
    return timeseries(
        "What fails inside the observability?",
        "Failures per second of its parts, and how often another logging configuration removed its handler.",
        "cps",
        _lost(series, Catalogue.errors, "component"),
        Query(per_second(series.counter(Catalogue.log_handler_removed), "job"), "log handler removed"),
    )


def _canary(series: Series) -> Panel:
    return timeline(
        "Is what is secret kept back?",
        "Red: a false secret came through a sink. Real ones may stand in logs, traces or metrics.",
        Query(lowest(series.gauge(Catalogue.probe_up, name=CANARY), "instance"), "{{instance}}"),
        alert="RedactionCanaryFailed",
    )


def _redactions(series: Series) -> Panel:
    return table(
        "What is redacted, and where?",
        "Redactions in view, by rule and sink. Many in one place: code that logs what it should not.",
        Query(Vector(f"{in_view(series.counter(Catalogue.redactions), 'rule', 'sink')} > 0"), "Redactions", "short"),
    )


def _draining(series: Series) -> Panel:
    return timeseries(
        "Which instances drain?",
        "1 from the start of a drain to the end of the process.",
        "none",
        Query(highest(series.gauge(Catalogue.draining), "instance"), "{{instance}}"),
    )


def _age(series: Series) -> Panel:
    started = highest(series.gauge(Foreign.process_start), "instance")
    return timeseries(
        "Since when does each instance run?",
        "Age of the newest process of each instance. One that often begins at 0 is restarted again and again.",
        "s",
        Query(Vector(f"time() - {started}"), "{{instance}}"),
    )


__all__ = ["board"]

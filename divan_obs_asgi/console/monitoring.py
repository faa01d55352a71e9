"""Does the monitoring work? One row for each part, with the flag or page that cures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.console.cells import children, total
from divan_obs_asgi.console.shapes import MonitoringRow

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# Prometheus scrapes once a minute at the longest by default.
_SCRAPE_S = 150.0
_MOST_SHOWN = 5


class Monitoring:
    """The rows; what was dropped counts as long as the process lives."""

    def __init__(self, obs: Observability) -> None:
        self._obs = obs
        self._text = obs.redaction.redact_text

    def rows(self) -> list[MonitoringRow]:
        """Return the rows; one that cannot be made says so, and the others are there."""
        rows: list[MonitoringRow] = []
        for make in (
            self._scrape,
            self._spans,
            self._lines,
            self._overflows,
            self._redactions,
            self._canary,
            self._handler,
            self._errors,
        ):
            try:
                rows.append(make())
            except Exception as error:
                self._obs.faults.report("console", error)
                name = make.__name__.strip("_")
                rows.append(
                    _row(name, False, name.capitalize(), "cannot be read", "divan_obs_errors_total, docs/runtime.md")
                )
        return rows

    def _scrape(self) -> MonitoringRow:
        scrapes = self._obs.metrics.scrapes
        age_s = scrapes.age_s
        if age_s is None:
            return _row(
                "scrape", False, "Last scrape", "none yet", "Scrape /metrics with OBS_ADMIN_TOKEN, docs/metrics.md"
            )
        value = (
            f"{age_s:.0f} s ago, {scrapes.seconds * 1e3:.0f} ms, {scrapes.size / 1e3:.0f} kB, "
            f"from {scrapes.scrapers} scraper{'s' * (scrapes.scrapers != 1)}"
        )
        return _row(
            "scrape", age_s < _SCRAPE_S, "Last scrape", value, "Look at the target in Prometheus, docs/metrics.md"
        )

    def _spans(self) -> MonitoringRow:
        spans = self._obs.spans
        if spans is None:
            return _row("spans", True, "Spans", "off (OBS_TRACING_ENABLED)", "")
        if not spans.exports:
            return _row("spans", False, "Spans", "not exported", "OTEL_EXPORTER_OTLP_ENDPOINT, docs/tracing.md")
        dropped = total(self._obs.metrics.trace_spans_dropped)
        queued = "" if spans.queued is None else f"{spans.queued} queued, "
        breaker = ", the last export failed" if spans.export_fails else ""
        cure = "OTEL_EXPORTER_OTLP_ENDPOINT" if spans.export_fails else "OTEL_BSP_MAX_QUEUE_SIZE"
        value = f"{queued}{dropped:.0f} dropped{breaker}"
        return _row("spans", not (dropped or spans.export_fails), "Spans", value, f"{cure}, docs/tracing.md")

    def _lines(self) -> MonitoringRow:
        dropped = total(self._obs.metrics.logs_dropped)
        return _row(
            "lines",
            not dropped,
            "Log lines",
            f"{dropped:.0f} dropped",
            "Something reads standard output too slowly, docs/logs.md",
        )

    def _overflows(self) -> MonitoringRow:
        found: dict[str, float] = {}
        for (family, _), child in children(self._obs.metrics.metrics_overflow):
            found[family] = found.get(family, 0.0) + child._value.get()
        named = [self._text(name) for name, count in sorted(found.items(), key=lambda one: -one[1]) if count]
        value = ", ".join(named[:_MOST_SHOWN]) or "none"
        return _row("overflows", not named, "Series in overflow", value, "OBS_METRICS_MAX_SERIES, /ops/cardinality")

    def _redactions(self) -> MonitoringRow:
        found: dict[str, float] = {}
        for (rule, _), child in children(self._obs.metrics.redactions):
            found[rule] = found.get(rule, 0.0) + child._value.get()
        most = sorted(found.items(), key=lambda one: -one[1])[:_MOST_SHOWN]
        return _row(
            "redactions",
            True,
            "Redactions",
            ", ".join(f"{rule} {count:.0f}" for rule, count in most if count) or "none",
            "",
        )

    def _canary(self) -> MonitoringRow:
        for result in self._obs.probes.results():
            if result.name == "redaction":
                if result.age_s is None:
                    return _row("canary", True, "Redaction canary", "not checked yet", "")
                value = "ok" if result.ok else str(result.reason)
                return _row(
                    "canary", result.ok, "Redaction canary", value, "/health/startup names the sink, docs/redaction.md"
                )
        return _row("canary", True, "Redaction canary", "not registered", "")

    def _handler(self) -> MonitoringRow:
        removed = total(self._obs.metrics.log_handler_removed)
        value = "in place" if not removed else f"removed {removed:.0f} times"
        return _row("handler", not removed, "Log handler", value, "OBS_LOGGING_RESTORE, docs/logs.md")

    def _errors(self) -> MonitoringRow:
        found = {name: child._value.get() for (name,), child in children(self._obs.metrics.errors)}
        named = [f"{self._text(name)} {count:.0f}" for name, count in found.items() if count]
        value = ", ".join(named[:_MOST_SHOWN]) or "none"
        return _row("errors", not named, "Internal errors", value, "The log lines of divan_obs_asgi.internal_errors")


def _row(name: str, ok: bool, title: str, value: str, cure: str) -> MonitoringRow:
    return {"id": name, "ok": ok, "title": title, "value": value, "cure": "" if ok else cure}


__all__ = ["Monitoring"]

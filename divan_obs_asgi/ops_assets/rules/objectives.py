"""
Burn-rate alerts for the error budget and the latency budget.

The factors and windows are those of the SRE workbook, "Alerting on SLOs": 2 % of a 30-day budget in an hour, 5 % in 6
hours, 10 % in a day, 10 % in 3 days. The short window resolves an alert soon after its cause has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, lines, number, rate, total
from divan_obs_asgi.ops_assets.rules.recorded import ERRORS, SLOW, Indicator
from divan_obs_asgi.ops_assets.rules.rule import Alert, Severity

# At low traffic one failed request is a high ratio. That is not a reason to page.
MIN_FAILURES = 10
# A service with fewer requests than this never reaches MIN_FAILURES in time.
QUIET_RATE = 0.1
QUIET_MIN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Burn:
    """A burn rate that is too high if both windows exceed it."""

    factor: Decimal
    long: str
    short: str
    severity: Severity
    pending: str


BURNS = (
    Burn(Decimal("14.4"), "1h", "5m", "page", "2m"),
    Burn(Decimal(6), "6h", "30m", "page", "15m"),
    Burn(Decimal(3), "1d", "2h", "ticket", "30m"),
    Burn(Decimal(1), "3d", "6h", "ticket", "1h"),
)


@dataclass(frozen=True, slots=True)
class Objective:
    """One of the two objectives, and the words of its alert."""

    alert: str
    burned: str
    flag: str
    article: str
    percent: float
    budget: Decimal
    indicator: Indicator
    went_wrong: str


def objectives(parameters: Parameters) -> tuple[Objective, Objective]:
    """Return the availability objective and the latency objective."""
    threshold = f"{number(Decimal(str(parameters.latency_threshold)) * 1000)} ms"
    return (
        Objective(
            "ErrorBudgetBurn",
            "error budget",
            "objective",
            "an",
            parameters.objective,
            parameters.error_budget,
            ERRORS,
            "failed",
        ),
        Objective(
            "LatencyBudgetBurn",
            "latency budget",
            "latency objective",
            "a",
            parameters.latency_objective,
            parameters.latency_budget,
            SLOW,
            f"took longer than {threshold}",
        ),
    )


def alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield an alert for each burn rate that can be reached, and the one for services with low traffic."""
    series = Series.of(parameters)
    for objective in objectives(parameters):
        yield from (_burning(series, objective, burn) for burn in BURNS if _is_reachable(objective, burn))
    yield _quiet(series)


def warnings(parameters: Parameters) -> Iterator[str]:
    """Yield one sentence for each alert that is left out because it cannot fire with these objectives."""
    for objective in objectives(parameters):
        for burn in BURNS:
            if not _is_reachable(objective, burn):
                share = number(burn.factor * objective.budget * 100)
                yield (
                    f"{objective.alert} over {burn.long} is left out: with {objective.article} {objective.flag} of"
                    f" {number(objective.percent)} % it fires only if {share} % of the requests"
                    f" {objective.went_wrong}."
                )


def _is_reachable(objective: Objective, burn: Burn) -> bool:
    return burn.factor * objective.budget < 1


def _burning(series: Series, objective: Objective, burn: Burn) -> Alert:
    limit = number(burn.factor * objective.budget)
    ratio, count = objective.indicator.ratio, objective.indicator.count
    return Alert(
        objective.alert,
        burn.severity,
        lines(
            f"{series.recorded(ratio(burn.long))} > {limit}",
            f"and on (job) {series.recorded(ratio(burn.short))} > {limit}",
            f"and on (job) {series.recorded(count(burn.long))} >= {MIN_FAILURES}",
        ),
        summary=f"{{{{ $labels.job }}}} is burning its {objective.burned} {_speed(burn.factor)}.",
        description=(
            f"Over the last {burn.long}, {{{{ $value | humanizePercentage }}}} of the requests to {{{{ $labels.job }}}}"
            f" {objective.went_wrong}. The objective of {number(objective.percent)} % allows"
            f" {number(objective.budget * 100)} %."
        ),
        board="slo",
        pending=burn.pending,
        labels={"window": burn.long},
    )


def _speed(factor: Decimal) -> str:
    return "too fast" if factor == 1 else f"{number(factor)} times too fast"


def _quiet(series: Series) -> Alert:
    requests = total(rate(series.counter(Catalogue.http_requests), "6h"), "job")
    return Alert(
        "LowTrafficErrors",
        "page",
        lines(
            f"{series.recorded(ERRORS.ratio('6h'))} > 0.5",
            f"and on (job) {series.recorded(ERRORS.count('6h'))} >= {QUIET_MIN_FAILURES}",
            f"and on (job) {requests} < {number(QUIET_RATE)}",
        ),
        summary="Most requests to {{ $labels.job }} fail, at low traffic.",
        description=(
            "Over the last 6 hours, {{ $value | humanizePercentage }} of the requests to {{ $labels.job }} failed."
            " Traffic is below one request in 10 seconds."
        ),
        board="slo",
        pending="5m",
    )


__all__ = ["BURNS", "MIN_FAILURES", "QUIET_RATE", "Burn", "Objective", "alerts", "objectives", "warnings"]

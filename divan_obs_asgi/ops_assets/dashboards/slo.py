"""The two objectives: the remaining budgets and what uses them up."""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import stat, table, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import chosen, in_view, per_second, share
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, number, total
from divan_obs_asgi.ops_assets.rules import recorded
from divan_obs_asgi.ops_assets.rules.objectives import BURNS, QUIET_RATE, Objective, objectives

_BY_ROUTE = ("route", "method")
_FACTORS = tuple(float(burn.factor) for burn in reversed(BURNS))
_OF = {
    "ErrorBudgetBurn": (recorded.FAILED_REQUESTS, recorded.REQUESTS),
    "LatencyBudgetBurn": (recorded.SLOW_REQUESTS, recorded.TIMED_REQUESTS),
}


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    availability, latency = objectives(parameters)
    return Board(
        "slo",
        "Objectives",
        "How much of the two budgets is left, and which requests use them up?",
        (
            (_left(series, availability), _kept(series, availability, "succeeded"),
             _left(series, latency), _kept(series, latency, "were fast enough")),
            (_burn(series, availability), _burn(series, latency)),
            (_failing(series), _slow(series, parameters)),
            (_outcomes(series), _traffic(series)),
        ),
        since="now-7d",
    )  # fmt: skip


def _bad(series: Series, objective: Objective, window: str) -> Vector:
    """Return the share of bad requests in the window, from the recorded rates of each instance."""

    def of(name: str) -> Vector:
        return total(Vector(f"sum_over_time({series.recorded(name)}[{window}])"), "job")

    bad, every = _OF[objective.alert]
    return share(of(bad), of(every))


def _left(series: Series, objective: Objective) -> Panel:
    allowed = number(objective.budget)
    return stat(
        f"How much of the {objective.burned} is left?",
        f"Share of the 30-day budget for an objective of {number(objective.percent)} %. Below 0: the objective is"
        " missed.",
        "percentunit",
        Query(Vector(f"1 - {_bad(series, objective, '30d')} / {allowed}"), "{{job}}"),
        alert=objective.alert,
        is_better_high=True,
        is_instant=True,
        limits=(0, 0.25),
    )


def _kept(series: Series, objective: Objective, what: str) -> Panel:
    return stat(
        f"How many requests {what}?",
        f"Share of the requests of the last 30 days. The objective is {number(objective.percent)} %.",
        "percentunit",
        Query(Vector(f"1 - {_bad(series, objective, '30d')}"), "{{job}}"),
        alert=objective.alert,
        is_better_high=True,
        is_instant=True,
        limits=(float(1 - objective.budget),),
    )


def _burn(series: Series, objective: Objective) -> Panel:
    allowed = number(objective.budget)
    return timeseries(
        f"How fast is the {objective.burned} burned?",
        "Burn rate. At 1 the budget lasts exactly 30 days. The lines are the alert thresholds: 14.4 over 1 hour and 6"
        " over 6 hours page; 3 over 1 day and 1 over 3 days open a ticket.",
        "none",
        *(
            Query(Vector(f"{_bad(series, objective, burn.long)} / {allowed}"), f"over {burn.long} {{{{job}}}}")
            for burn in BURNS
        ),
        alert=objective.alert,
        limits=_FACTORS,
    )


def _failing(series: Series) -> Panel:
    failed = in_view(series.counter(Catalogue.http_requests, status=recorded.FAILED), *_BY_ROUTE)
    return table(
        "Which routes use up the error budget?",
        "Requests with a status of 500 or above in the time range. Empty: none failed.",
        Query(Vector(f"{failed} > 0"), "Failed", "short"),
        alert="ErrorBudgetBurn",
    )


def _slow(series: Series, parameters: Parameters) -> Panel:
    every = in_view(series.count(Catalogue.http_duration), *_BY_ROUTE)
    in_time = in_view(series.buckets(Catalogue.http_duration, parameters.latency_threshold), *_BY_ROUTE)
    return table(
        "Which routes use up the latency budget?",
        f"Requests that took longer than {number(parameters.latency_threshold)} s in the time range. Empty: none did.",
        Query(Vector(f"{every} - {in_time} > 0"), "Slow", "short"),
        alert="LatencyBudgetBurn",
    )


def _outcomes(series: Series) -> Panel:
    return timeseries(
        "How do requests end?",
        "Requests per second, by outcome. Many `client_disconnect` often mean that responses are too slow.",
        "reqps",
        Query(per_second(series.counter(Catalogue.http_outcomes), "outcome"), "{{outcome}}"),
        is_stacked=True,
    )


def _traffic(series: Series) -> Panel:
    return timeseries(
        "Is there enough traffic for the ratios?",
        "Requests per second. Below the line ratios are not reliable; LowTrafficErrors then counts the failures of 6"
        " hours.",
        "reqps",
        Query(per_second(series.counter(Catalogue.http_requests), "job"), "{{job}}"),
        alert="LowTrafficErrors",
        limits=(QUIET_RATE,),
        is_better_high=True,
    )


__all__ = ["board"]

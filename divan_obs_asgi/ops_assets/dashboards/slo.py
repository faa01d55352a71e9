"""The two objectives: how much of their budgets is left, and what spends it."""

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
        "How much of the two budgets is left, and what spends it?",
        (
            (_left(series, availability, "of failed requests"), _kept(series, availability, "without a failure"),
             _left(series, latency, "of slow requests"), _kept(series, latency, "in time")),
            (_burn(series, availability, "failed requests"), _burn(series, latency, "slow requests")),
            (_failing(series), _slow(series, parameters)),
            (_ends(series), _traffic(series)),
        ),
        since="now-7d",
    )  # fmt: skip


def _bad(series: Series, objective: Objective, window: str) -> Vector:
    """Return the share of the requests in the window that went wrong, from what is recorded of each instance."""

    def of(name: str) -> Vector:
        return total(Vector(f"sum_over_time({series.recorded(name)}[{window}])"), "job")

    bad, every = _OF[objective.alert]
    return share(of(bad), of(every))


def _left(series: Series, objective: Objective, of: str) -> Panel:
    allowed = number(objective.budget)
    return stat(
        f"How much is left of the budget {of}?",
        f"Of the budget of 30 days under the objective of {number(objective.percent)} %. Below 0 it is overspent.",
        "percentunit",
        Query(Vector(f"1 - {_bad(series, objective, '30d')} / {allowed}"), "{{job}}"),
        alert=objective.alert,
        is_better_high=True,
        is_instant=True,
        limits=(0, 0.25),
    )


def _kept(series: Series, objective: Objective, how: str) -> Panel:
    return stat(
        f"How many were answered {how}?",
        f"Share of the requests of 30 days; the objective is {number(objective.percent)} %.",
        "percentunit",
        Query(Vector(f"1 - {_bad(series, objective, '30d')}"), "{{job}}"),
        alert=objective.alert,
        is_better_high=True,
        is_instant=True,
        limits=(float(1 - objective.budget),),
    )


def _burn(series: Series, objective: Objective, what: str) -> Panel:
    allowed = number(objective.budget)
    return timeseries(
        f"How fast do {what} spend their budget?",
        "At 1 it lasts for just 30 days. The lines are the factors of the alerts: 14.4 over 1 hour and 6 over 6 hours"
        " page, 3 over a day and 1 over 3 days make a ticket.",
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
        "Which routes spend the budget of failures?",
        "Requests in view whose status is 500 or more. Empty: none failed.",
        Query(Vector(f"{failed} > 0"), "Failed", "short"),
        alert="ErrorBudgetBurn",
    )


def _slow(series: Series, parameters: Parameters) -> Panel:
    every = in_view(series.count(Catalogue.http_duration), *_BY_ROUTE)
    in_time = in_view(series.buckets(Catalogue.http_duration, parameters.latency_threshold), *_BY_ROUTE)
    return table(
        "Which routes spend the budget of slowness?",
        f"Requests in view that took longer than {number(parameters.latency_threshold)} s. Empty: none did.",
        Query(Vector(f"{every} - {in_time} > 0"), "Slow", "short"),
        alert="LatencyBudgetBurn",
    )


def _ends(series: Series) -> Panel:
    return timeseries(
        "How do requests end?",
        "Requests per second by their outcome. Clients that leave early often do so because it takes too long.",
        "reqps",
        Query(per_second(series.counter(Catalogue.http_outcomes), "outcome"), "{{outcome}}"),
        is_stacked=True,
    )


def _traffic(series: Series) -> Panel:
    return timeseries(
        "Is there enough traffic to judge by?",
        "Requests per second. Below the line a ratio says little: there an alert of its own counts the failures of 6"
        " hours.",
        "reqps",
        Query(per_second(series.counter(Catalogue.http_requests), "job"), "{{job}}"),
        alert="LowTrafficErrors",
        limits=(QUIET_RATE,),
        is_better_high=True,
    )


__all__ = ["board"]

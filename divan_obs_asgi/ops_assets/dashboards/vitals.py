"""Browser vitals: what do users feel, and on which pages?"""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import stat, table, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import chosen, latency, latency_in_view, per_second, share
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector

# The share of page loads by which web.dev judges a page.
_P = 0.75
# Up to here web-vitals calls a value good.
_GOOD_S = {"LCP": 2.5, "INP": 0.2}
_GOOD_CLS = 0.1


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "web-vitals",
        "Browser vitals",
        "What do users feel, and on which pages?",
        (
            (
                _good("How many pages show their content in time?", "LCP of up to 2.5 s", _good_times(series, "LCP")),
                _good("How many pages react in time?", "INP of up to 0.2 s", _good_times(series, "INP")),
                _good("How many pages keep still?", "CLS of up to 0.1", _good_shifts(series)),
            ),
            (
                _times(series, "LCP", "Where does content come late?"),
                _times(series, "INP", "Where do pages react late?"),
            ),
            (_shifts(series), _times(series, "TTFB", "Where does the first byte come late?")),
            (_pages(series), _measured(series), _refused(series)),
        ),
    )


def _good_times(series: Series, name: str) -> Vector:
    good = series.buckets(Catalogue.web_vitals, _GOOD_S[name], name=name)
    return share(per_second(good, "job"), per_second(series.count(Catalogue.web_vitals, name=name), "job"))


def _good_shifts(series: Series) -> Vector:
    good = series.buckets(Catalogue.web_vitals_cls, _GOOD_CLS)
    return share(per_second(good, "job"), per_second(series.count(Catalogue.web_vitals_cls), "job"))


def _good(title: str, good: str, part: Vector) -> Panel:
    return stat(
        title,
        f"Share of the measured pages with a good value: {good}. A page is well where it is 75 %.",
        "percentunit",
        Query(part, "{{job}}"),
        limits=(_P,),
        is_better_high=True,
    )


def _times(series: Series, name: str, title: str) -> Panel:
    return timeseries(
        title,
        f"On three of four pages {name} was at most this, of each route.",
        "s",
        Query(latency(_P, series.buckets(Catalogue.web_vitals, name=name), "route"), "{{route}}"),
        limits=(_GOOD_S[name],) if name in _GOOD_S else (),
    )


def _shifts(series: Series) -> Panel:
    return timeseries(
        "Where do pages shift?",
        "On three of four pages CLS was at most this, of each route. It is never shown above 0.25, where poor begins.",
        "short",
        Query(latency(_P, series.buckets(Catalogue.web_vitals_cls), "route"), "{{route}}"),
        limits=(_GOOD_CLS,),
    )


def _pages(series: Series) -> Panel:
    return table(
        "Which pages are slow?",
        "On three of four pages in view these were at most this.",
        *(
            Query(latency_in_view(_P, series.buckets(Catalogue.web_vitals, name=name), "route"), name, "s")
            for name in ("LCP", "INP", "FCP", "TTFB")
        ),
    )


def _measured(series: Series) -> Panel:
    return timeseries(
        "How is what is measured rated?",
        "Vitals per second, by the rating that the browser gave them.",
        "cps",
        Query(per_second(series.counter(Catalogue.web_vitals_ratings), "rating"), "{{rating}}"),
        is_stacked=True,
    )


def _refused(series: Series) -> Panel:
    return timeseries(
        "What is refused, and why?",
        "Requests with vitals that were refused, per second. `origin` is a page that is not listed, or somebody who"
        " tries.",
        "cps",
        Query(per_second(series.counter(Catalogue.web_vitals_rejected), "reason"), "{{reason}}"),
    )


__all__ = ["board"]

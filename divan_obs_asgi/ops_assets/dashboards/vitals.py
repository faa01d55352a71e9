"""Browser vitals: loading, responsiveness and layout shifts, by page."""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import stat, table, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import chosen, latency, latency_in_view, per_second, share
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector

# web.dev rates a page by the 75th percentile of its page loads.
_P = 0.75
# The upper limits of the rating "good" in the web-vitals library.
_GOOD_S = {"LCP": 2.5, "INP": 0.2}
_GOOD_CLS = 0.1


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "web-vitals",
        "Browser vitals",
        "How fast and stable are pages for users, and which pages are not?",
        (
            (
                _good("How many page loads have a good LCP?", "LCP of up to 2.5 s", _good_times(series, "LCP")),
                _good("How many page loads have a good INP?", "INP of up to 0.2 s", _good_times(series, "INP")),
                _good("How many page loads have a good CLS?", "CLS of up to 0.1", _good_shifts(series)),
            ),
            (
                _times(series, "LCP", "Which routes show their content late (LCP)?"),
                _times(series, "INP", "Which routes react late (INP)?"),
            ),
            (_shifts(series), _times(series, "TTFB", "Which routes send the first byte late (TTFB)?")),
            (_pages(series), _measured(series), _rejected(series)),
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
        f"Share of the measured page loads with a good value: {good}. The target is 75 %.",
        "percentunit",
        Query(part, "{{job}}"),
        limits=(_P,),
        is_better_high=True,
    )


def _times(series: Series, name: str, title: str) -> Panel:
    return timeseries(
        title,
        f"75th percentile of {name}, by route.",
        "s",
        Query(latency(_P, series.buckets(Catalogue.web_vitals, name=name), "route"), "{{route}}"),
        limits=(_GOOD_S[name],) if name in _GOOD_S else (),
    )


def _shifts(series: Series) -> Panel:
    return timeseries(
        "Which routes shift their layout (CLS)?",
        "75th percentile of CLS, by route. Values above 0.25 (the limit of `poor`) are shown as 0.25.",
        "short",
        Query(latency(_P, series.buckets(Catalogue.web_vitals_cls), "route"), "{{route}}"),
        limits=(_GOOD_CLS,),
    )


def _pages(series: Series) -> Panel:
    return table(
        "Which pages are slow?",
        "75th percentiles in the time range, by route.",
        *(
            Query(latency_in_view(_P, series.buckets(Catalogue.web_vitals, name=name), "route"), name, "s")
            for name in ("LCP", "INP", "FCP", "TTFB")
        ),
    )


def _measured(series: Series) -> Panel:
    return timeseries(
        "How are the measured values rated?",
        "Values per second, by the rating of the browser.",
        "cps",
        Query(per_second(series.counter(Catalogue.web_vitals_ratings), "rating"), "{{rating}}"),
        is_stacked=True,
    )


def _rejected(series: Series) -> Panel:
    return timeseries(
        "Which requests are rejected, and why?",
        "Rejected requests with vitals per second, by reason. `origin`: the origin of the page is not allowed.",
        "cps",
        Query(per_second(series.counter(Catalogue.web_vitals_rejected), "reason"), "{{reason}}"),
    )


__all__ = ["board"]

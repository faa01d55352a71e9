"""Recording rules: the ratios of failed and of slow requests, over each window that an alert uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import (
    Counters,
    Series,
    Vector,
    increase,
    indented,
    lines,
    number,
    one_of,
    rate,
    total,
)
from divan_obs_asgi.ops_assets.rules.rule import Group, Record

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# Alerts need the number of failed requests in these windows.
LONG_WINDOWS = ("1h", "6h", "1d", "3d")
# A window of this length or more is too expensive to evaluate each time. A recorded value stays visible for 5 minutes.
_SLOW_FROM = WINDOWS.index("6h")
_SLOW_INTERVAL_S = 120
# Dashboards sum these rates over 30 days.
_RATES_INTERVAL_S = 60

FAILED = one_of("5..")


@dataclass(frozen=True, slots=True)
class Indicator:
    """
    Names the two recording rules of one kind of bad request.

    Attributes:
        name: `errors` or `slow`.
    """

    name: str

    def ratio(self, window: str) -> str:
        """Return the name of the rule for the share of bad requests."""
        return f"http_{self.name}:ratio_rate{window}"

    def count(self, window: str) -> str:
        """Return the name of the rule for the number of bad requests."""
        return f"http_{self.name}:increase{window}"


ERRORS = Indicator("errors")
SLOW = Indicator("slow")

# Rates per instance, for dashboards. Summing them over 30 days is cheap, and a dashboard can select instances.
REQUESTS = "http_requests:rate5m"
FAILED_REQUESTS = "http_failed:rate5m"
TIMED_REQUESTS = "http_timed:rate5m"
SLOW_REQUESTS = "http_slow:rate5m"


def groups(parameters: Parameters) -> list[Group]:
    """Return three groups: the short windows, the long windows (evaluated less often) and the rates."""
    short, long = WINDOWS[:_SLOW_FROM], WINDOWS[_SLOW_FROM:]
    return [
        Group("ratios", tuple(_records(parameters, short))),
        Group("ratios-long", tuple(_records(parameters, long)), _SLOW_INTERVAL_S),
        Group("rates", tuple(_rates(parameters)), _RATES_INTERVAL_S),
    ]


def _records(parameters: Parameters, windows: tuple[str, ...]) -> list[Record]:
    series = Series.of(parameters)
    records = []
    for window in windows:
        records.append(Record(ERRORS.ratio(window), error_ratio(series, window)))
        records.append(Record(SLOW.ratio(window), slow_ratio(series, parameters.latency_threshold, window)))
        if window in LONG_WINDOWS:
            records.append(Record(ERRORS.count(window), failures(series, window)))
            records.append(Record(SLOW.count(window), slow(series, parameters.latency_threshold, window)))
    return records


def _rates(parameters: Parameters) -> Iterator[Record]:
    series = Series.of(parameters)

    def of_each_instance(counters: Counters) -> Vector:
        return total(rate(counters, "5m"), "job", "instance")

    requests = of_each_instance(series.counter(Catalogue.http_requests))
    failed = of_each_instance(series.counter(Catalogue.http_requests, status=FAILED))
    # Long polls wait by design and are not timed.
    timed = of_each_instance(series.count(Catalogue.http_duration))
    in_time = of_each_instance(series.buckets(Catalogue.http_duration, parameters.latency_threshold))
    yield Record(REQUESTS, requests)
    yield Record(FAILED_REQUESTS, lines(failed, f"  or {requests} * 0"))
    yield Record(TIMED_REQUESTS, timed)
    yield Record(SLOW_REQUESTS, lines(timed, f"  - {in_time}"))


def error_ratio(series: Series, window: str, *by: str) -> Vector:
    """Return the share of failed requests: 0 if all succeeded, absent without any request."""
    labels = ("job", *by)
    all_requests = total(rate(series.counter(Catalogue.http_requests), window), *labels)
    return lines(
        "(",
        indented(total(rate(series.counter(Catalogue.http_requests, status=FAILED), window), *labels)),
        f"  or {all_requests} * 0",
        f") / ({all_requests} > 0)",
    )


def slow_ratio(series: Series, threshold: float, window: str, *by: str) -> Vector:
    """Return the share of requests that took longer than the threshold; absent without any request."""
    labels = ("job", *by)
    return lines(
        f"1 - {total(rate(series.buckets(Catalogue.http_duration, threshold), window), *labels)}",
        f"  / ({total(rate(series.count(Catalogue.http_duration), window), *labels)} > 0)",
    )


def failures(series: Series, window: str) -> Vector:
    """Return the number of failed requests."""
    return total(increase(series.counter(Catalogue.http_requests, status=FAILED), window), "job")


def slow(series: Series, threshold: float, window: str) -> Vector:
    """Return the number of requests that took longer than the threshold."""
    return lines(
        total(increase(series.count(Catalogue.http_duration), window), "job"),
        f"  - {total(increase(series.buckets(Catalogue.http_duration, threshold), window), 'job')}",
    )


def at_least(vector: Vector, least: int) -> str:
    """Return a condition that stops an alert of the same job from firing below `least`."""
    return f"and on (job) (\n{indented(vector)}\n) >= {number(least)}"


__all__ = [
    "ERRORS",
    "FAILED",
    "FAILED_REQUESTS",
    "LONG_WINDOWS",
    "REQUESTS",
    "SLOW",
    "SLOW_REQUESTS",
    "TIMED_REQUESTS",
    "WINDOWS",
    "Indicator",
    "at_least",
    "error_ratio",
    "failures",
    "groups",
    "slow",
    "slow_ratio",
]

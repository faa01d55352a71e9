"""What Prometheus sees of a service, minute by minute: series in the notation of `promtool test rules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

#: Values by series; both as promtool reads them.
World: TypeAlias = Mapping[str, str]

JOB, A = 'job="divan"', 'job="divan",instance="a:1"'


def flat(value: float, samples: int) -> str:
    """Return the same value at each of so many scrapes."""
    return f"{value:g}+0x{samples - 1}"


def grows(start: float, step: float, samples: int) -> str:
    """Return a counter that grows evenly."""
    return f"{start:g}+{step:g}x{samples - 1}"


def traffic(fine: str, failed: str) -> World:
    """Return a service with one route."""
    return {
        f'divan_http_requests_total{{{A},route="/x",method="GET",status="200"}}': fine,
        f'divan_http_requests_total{{{A},route="/x",method="GET",status="500"}}': failed,
    }


def latency(within: str, over: str) -> World:
    """Return a service with one route, of whose requests `within` take less than 0.4 s and `over` less than 0.5 s."""
    name = "divan_http_request_duration_seconds"
    labels = f'{A},route="/x",method="GET"'
    return {
        f'{name}_bucket{{{labels},le="0.3"}}': "0+0x2000",
        f'{name}_bucket{{{labels},le="0.4"}}': within,
        f'{name}_bucket{{{labels},le="0.5"}}': over,
        f'{name}_bucket{{{labels},le="+Inf"}}': over,
        f"{name}_count{{{labels}}}": over,
    }


def share(percent: float, failing: int, healthy: int) -> World:
    """Return 1000 requests a minute, of which so many percent fail, and then none."""
    failed = 10 * percent
    end = failed * (failing - 1)
    return traffic(
        f"{grows(0, 1000 - failed, failing)} {grows((1000 - failed) * failing, 1000, healthy)}",
        f"{grows(0, failed, failing)} {flat(end, healthy)}",
    )


def slow_share(percent: float, slow: int, healthy: int) -> World:
    """Return 1000 requests a minute, of which so many percent are slow, and then none."""
    within = 1000 - 10 * percent
    return latency(
        f"{grows(0, within, slow)} {grows(within * (slow - 1) + 1000, 1000, healthy)}", grows(0, 1000, slow + healthy)
    )


def content_is_seen(good: str, all_of_them: str) -> World:
    """Return pages of one route, of which `good` show their content between 1.8 and 2.5 s, and the others in 3 s."""
    name = "divan_web_vitals_seconds"
    labels = f'{A},name="LCP",route="/x"'
    return {
        f'{name}_bucket{{{labels},le="1.8"}}': "0+0x2000",
        f'{name}_bucket{{{labels},le="2.5"}}': good,
        f'{name}_bucket{{{labels},le="3.0"}}': all_of_them,
        f'{name}_bucket{{{labels},le="+Inf"}}': all_of_them,
        f"{name}_count{{{labels}}}": all_of_them,
    }


def each(minutes: int, times: int, then: int) -> str:
    """Return a counter that grows by one every so many minutes, and then rests."""
    return " ".join(flat(count, minutes) for count in range(times + 1)) + f" {flat(times, then)}"

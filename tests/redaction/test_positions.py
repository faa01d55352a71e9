# ruff: noqa: E501, RUF001 - a list of examples.
"""Positions in other notations than two numbers with four decimals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest

from divan_obs_asgi.redaction import RedactionPolicy

POLICY = RedactionPolicy()


@pytest.mark.parametrize(
    "text",
    [
        "lat 52.52 lon 13.40", "lon: 13.40, lat: 52.52", "lat/lon 52.52,13.40", "enlem 41.01 boylam 28.97", "52.52°N 13.40°E",
        "N52.52 E13.40", "!3d52.52!4d13.40", "/@52.52,13.40,15z", "#map=15/52.52/13.40", "?q=52.52,13.40", "?ll=52.52%2C13.40",
        "geo:52.52,13.40;u=35", "geo:37,-122", "52°31'12\"N 13°24'18\"E", "52°31′12″N, 13°24′18″E", "N 52° 31.200' E 013° 24.300'",
        "52d31m12sN 13d24m18sE", "52%C2%B031%2712%22N%2013%C2%B024%2718%22E", "$GPGGA,1,4807.038,N,01131.000,E,1", "4903.50N/07201.75W",
        "+52.5200+013.4050/", "9F4MGC22+22", "9F4MGC22%2B22", "GC22+22 Berlin", "0101000020e6100000cdcccccccccc2a40c3f5285c8f424a40",
        "0020000001000010E6402ACCCCCCCCCCCD404A428F5C28F5C3", "POINT(13.40 52.52)", "POLYGON((13.4 52.5, 13.5 52.6),(1.5 2.5, 3 4))",
        "891f1d48177ffff", "///filled.count.soap", "location: {x: 13.40, y: 52.52}", "location=Point(x=13.4, y=52.5)",
        "33U UU 90298 19737", "33U 391545 5820036", "geohash=u33db2",
    ],
)  # fmt: skip
def test_a_position_is_redacted(text: str) -> None:
    """Whatever its notation; and nothing more the second time."""
    once = POLICY.redact_text(f"at {text} now")
    assert "[redacted:position]" in once
    assert not any(
        part in once for part in ("52.5", "13.4", "8807", "filled", "1f1d48", "cccc", "CCCC", "GC22", "41.01")
    )
    assert POLICY.redact_text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "latency 3.2 longest 5.3", "POINT(3 4) clicked", "position: {x: 120, y: 340}", "position: {x: 12.5, y: 33.25}",
        "offset {x: 12.5, y: 3.5}", "file:///usr.local.bin", "/// foo.bar.baz", "12345678+22", "step 10 S 20 W", "id 8f3a5b2c1d4e5f6",
        "0101000000000000000000000000000000000000000000000000", "ratio +12.34+123.45", "2026-11-30T09:30:22+00:00", "TLS 1.3 E 1.2",
    ],
)  # fmt: skip
def test_a_look_alike_stays(text: str) -> None:
    assert POLICY.redact_text(text) == text


class Point(NamedTuple):
    x: float
    y: float


@dataclass
class Place:
    x: float
    y: float


@pytest.mark.parametrize("value", [{"x": 13.4, "y": 52.52}, Point(13.4, 52.5), Place(13.4, 52.5)])
def test_an_object_under_a_key_of_a_place_is_a_position(value: object) -> None:
    """Also the second time, when the key is known."""
    for _ in range(2):
        assert POLICY.redact({"home_location": value}) == {"home_location": "[redacted:position]"}


@pytest.mark.parametrize(
    "value",
    [
        {"position": {"x": 12.5, "y": 33.25}},
        {"location": {"x": 120, "y": 340}},
        {"location": {"x": 1200.5, "y": 340.5}},
        {"scale": {"x": 1.25, "y": 1.5}},
    ],
)
def test_pixels_stay(value: object) -> None:
    for _ in range(2):
        assert POLICY.redact(value) == value

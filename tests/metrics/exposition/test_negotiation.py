"""A scraper gets the format that it prefers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.metrics import Format, accepted_format, accepted_media_type, accepts_gzip

OPENMETRICS = "application/openmetrics-text"
# What Prometheus 2.55 and 3.x send.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        (BROWSER, Format.TEXT),
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("application/json", Format.TEXT),
        (OPENMETRICS, Format.OPENMETRICS),
        ("Application/OpenMetrics-Text ; Version=1.0.0 ; Q=0.1", Format.OPENMETRICS),
        (f'{OPENMETRICS};version="1.0.0"', Format.OPENMETRICS),
        (f"{OPENMETRICS};q=0", Format.TEXT),
        (f"{OPENMETRICS};q=0.3,text/plain;q=0.9", Format.TEXT),
        (f"text/plain;q=0.3,{OPENMETRICS};q=0.9", Format.OPENMETRICS),
        (f"{OPENMETRICS},text/plain", Format.TEXT),
        (f"{OPENMETRICS};q=0.3,*/*;q=0.9", Format.TEXT),
        (f"{OPENMETRICS};q=0.3,text/*;q=0.2,*/*;q=0.9", Format.OPENMETRICS),
        (f"{OPENMETRICS};version=2.0.0,text/plain;q=0.1", Format.TEXT),
        (f"{OPENMETRICS};q=nan", Format.TEXT),
        (f"{OPENMETRICS};q=2", Format.TEXT),
        (f"{OPENMETRICS};q=0.0001", Format.TEXT),
        ("text/plain;q=0.9;version=0.0.4," + OPENMETRICS, Format.OPENMETRICS),
    ],
)
def test_the_preferred_format_is_sent(accept: str, expected: Format) -> None:
    """The quality decides; it is text with equal quality, and if neither format or version is accepted."""
    assert accepted_format(accept) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
        (BROWSER, "text/html"),
        ("text/html;q=0.4, application/json;q=0.5", "application/json"),
        ("text/*", "text/html"),
        ("text/*;q=0.9, text/html;q=0, */*;q=0.1", "application/json"),
        ("application/*;q=0.5, text/html;q=0.6", "text/html"),
        (PROMETHEUS_3, OPENMETRICS),
        (f"{OPENMETRICS};version=7", "application/json"),
    ],
)
def test_the_preferred_media_type_is_sent(accept: str, expected: str) -> None:
    """The most specific range decides; the first offer is the default."""
    assert accepted_media_type(accept, ("application/json", "text/html", OPENMETRICS)) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0.001", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("br, *;q=0.1", True),
        ("identity", False),
        ("gzipped", False),
    ],
)
def test_the_page_is_compressed_if_the_client_accepts_it(header: str, expected: bool) -> None:
    """A wildcard accepts it; an empty header does not."""
    assert accepts_gzip(header) is expected


@given(
    st.text() | st.lists(st.sampled_from([OPENMETRICS, "text/plain", ";", ",", "q=", "0.5", "*/*", "="])).map("".join)
)
def test_any_header_gets_a_page(header: str) -> None:
    """Every client gets a page, whatever it sends."""
    assert accepted_format(header) in Format
    assert accepts_gzip(header) in (True, False)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_quality_decides(openmetrics: int, text: int) -> None:
    """The greater one, in either order."""
    parts = [f"{OPENMETRICS};q={openmetrics / 1000:.3f}", f"text/plain;q={text / 1000:.3f}"]
    expected = Format.OPENMETRICS if openmetrics > text else Format.TEXT
    assert accepted_format(",".join(parts)) is expected
    assert accepted_format(", ".join(reversed(parts))) is expected

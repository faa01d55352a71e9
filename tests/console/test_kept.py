"""What the console keeps: each kind within its limit, and all of it within its bytes."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divan_obs_asgi.clients.description import Description
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.console import limits
from divan_obs_asgi.console.cells import quantile
from divan_obs_asgi.console.errors import ErrorGroups
from divan_obs_asgi.console.requests import ROUTE, Requests
from divan_obs_asgi.console.series import NAMES, Series
from divan_obs_asgi.console.store import Console
from divan_obs_asgi.console.trail import Trail
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.testing import http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.console.consoles import FLAGS
from tests.stacks import Observed


async def application(scope: Scope, receive: Receive, send: Send) -> None: ...


ROUTES = RouteTemplates(application)
FAULTS = InternalErrors(lambda component: None)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Traffic:
    """Finished requests, without a stack."""

    def __init__(self, max_bytes: int = limits.CHANGES * 2**20) -> None:
        self.clock = Clock()
        self.console = Console(Observed({**FLAGS, "OBS_CONSOLE_BYTES": str(max_bytes)}).obs, self.clock)
        self.requests: Requests = self.console.requests

    def add(self, route: str = "/x", *, status: int = 200, seconds: float = 0.001, lines: int = 0) -> RequestRecord:
        record = RequestRecord(http_scope("/"), ROUTES, FAULTS)
        record.route, record.status, record.duration_s = route, status, seconds
        record.outcome = "error" if status >= 500 else "ok"
        for _ in range(lines):
            self.console.feed.line(record, b"x" * 700)
        self.console.feed.finish(record)
        return record

    def kept(self, name: str) -> list[str]:
        self.requests.sort()
        return [entry.raw[ROUTE] for entry in getattr(self.requests, name)]


def test_a_flood_of_one_route_removes_no_other() -> None:
    """Of the latest requests, twenty belong to one route at most."""
    traffic = Traffic()
    for number in range(100):
        traffic.add(f"/r{number}")
    for _ in range(10_000):
        traffic.add("/flood")
    latest = traffic.kept("latest")
    assert latest.count("/flood") == limits.LATEST_OF_A_ROUTE
    assert len(set(latest)) == 101


def test_a_flood_of_good_requests_removes_no_failed_one() -> None:
    """Failed ones have a ring of their own, and so do the slowest of ten minutes."""
    traffic = Traffic()
    for number in range(3):
        traffic.add(f"/failed{number}", status=500)
    traffic.add("/slow", seconds=9.0)
    for number in range(20_000):
        traffic.add(f"/r{number % 500}")
    assert traffic.kept("failed") == ["/failed0", "/failed1", "/failed2"]
    assert traffic.kept("slowest")[0] == "/slow"
    assert len(traffic.kept("latest")) == limits.LATEST
    assert len(traffic.kept("slowest")) == limits.SLOWEST
    for _ in range(300):
        traffic.add("/failed", status=503)
    assert traffic.kept("failed") == ["/failed"] * limits.FAILED
    traffic.clock.seconds += limits.SLOWEST_S + 1
    traffic.add("/later")
    assert "/slow" not in traffic.kept("slowest")


def test_the_oldest_go_first_where_the_bytes_are_used_up() -> None:
    """And the state says how many are gone."""
    traffic = Traffic(256 * 1024)
    for number in range(150):
        traffic.add(f"/r{number}", status=500, lines=20)
    latest = traffic.kept("latest")
    assert latest[-1] == "/r149"
    assert traffic.requests.bytes <= 128 * 1024
    assert traffic.requests.forgotten_bytes > 0
    entries = traffic.requests.entries()
    assert [entry.number for entry in entries] == sorted(entry.number for entry in entries)
    forgotten = traffic.console.snapshot(traffic.console.collect())["forgotten"]
    assert forgotten["requests"] == 150 - len(entries)


def test_a_traced_call_is_described_once() -> None:
    """For its span; the console takes the description from there. Without a span it asks for one."""
    traffic = Traffic()
    record = RequestRecord(http_scope("/"), ROUTES, FAULTS)
    asked: list[str] = []

    class Span:
        description = Description("SELECT things", {"db.query.text": "SELECT ?"})

        def finish(self, error: BaseException | None) -> None: ...

    def describe(*arguments: object) -> Description:
        asked.append("again")
        return Description("SELECT others", {})

    for span in (Span(), Span(), None):
        traffic.console.feed.call(record, "sql", describe, None, (), {}, span).finish(None)
    assert asked == ["again"]
    assert [(call.name, call.text, call.count) for call in record.trail.calls.values()] == [
        ("SELECT things", "SELECT ?", 2),
        ("SELECT others", "", 1),
    ]


def test_a_request_keeps_forty_calls_twenty_lines_and_sixteen_kilobytes() -> None:
    """What is over is counted."""
    trail = Trail()
    for number in range(60):
        trail.begin("sql", f"SELECT t{number}", "")
    assert (len(trail.calls), trail.dropped_calls, trail.call_count) == (limits.CALLS, 20, 60)
    trail = Trail()
    for _ in range(30):
        trail.add_line(b"x" * 100)
    assert (len(trail), trail.dropped_lines) == (limits.LINES, 10)
    trail = Trail()
    for _ in range(30):
        trail.add_line(b"x" * 5000)
    assert trail.size <= limits.REQUEST_BYTES
    assert trail.dropped_lines == 27


def raised(kind: type[Exception], depth: int = 0) -> Exception:
    def fall(depth: int) -> None:
        if depth:
            fall(depth - 1)
        raise kind("text")

    try:
        fall(depth)
    except Exception as error:
        return error
    raise AssertionError


def test_errors_are_one_group_where_type_and_place_are_the_same() -> None:
    """However deep the recursion; of too many groups the least recent goes."""
    groups = ErrorGroups(RedactionPolicy(), 2**20, Clock())
    first = groups.add(raised(LookupError), "/a", 1)
    assert groups.add(raised(LookupError, depth=100), "/b", 2) == first
    assert groups.add(raised(ValueError), "/a", 3) != first
    group = groups.groups[first]
    assert (group.count, list(group.routes), list(group.requests)) == (2, ["/a", "/b"], [1, 2])
    assert len(group.traceback) <= limits.FRAMES
    for number in range(limits.ERRORS):
        groups.add(raised(type(f"Error{number}", (Exception,), {})), "/a", 4)
    assert (len(groups.groups), groups.forgotten) == (limits.ERRORS, 2)
    assert first not in groups.groups


def test_an_exception_whose_text_cannot_be_read_is_a_group_too() -> None:
    """And that of a database repeats data, so that it is not shown."""

    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    groups = ErrorGroups(RedactionPolicy(), 2**20, Clock())
    assert groups.groups[groups.add(Silent(), "/", 1)].message == "[redacted:unreadable]"


@pytest.mark.parametrize("steps", [0, 1, 5, 700, limits.SERIES_STEPS, 3 * limits.SERIES_STEPS + 7])
def test_an_hour_is_a_line_of_sixty_points(steps: int) -> None:
    """The oldest first; a number that is not known is a gap."""
    series = Series()
    for step in range(steps):
        series.add([float(step), None, *[0.0] * (limits.SERIES - 2)])
    lines = series.lines()
    line = [point for point in lines[NAMES[0]] if point is not None]
    assert len(lines[NAMES[0]]) <= 60
    assert line == sorted(line)
    assert set(lines[NAMES[1]]) <= {None}
    assert series.last()[NAMES[0]] == (float(steps - 1) if steps else None)


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=16), st.floats(0.01, 1.0))
@settings(max_examples=200)
def test_a_quantile_lies_between_the_edges_of_its_bucket(counts: list[int], share: float) -> None:
    """As histogram_quantile of Prometheus finds it."""
    edges = [*(float(number) for number in range(1, len(counts))), float("inf")]
    found = quantile(share, [float(count) for count in counts], edges)
    if not sum(counts):
        assert found is None
        return
    assert found is not None
    below = sum(count for count, edge in zip(counts, edges, strict=True) if edge < found)
    assert below <= share * sum(counts) + 1e-6


def test_quantiles_are_those_of_prometheus() -> None:
    """Linear inside of a bucket; in the last one its lower edge."""
    edges = [0.1, 0.2, 0.4, float("inf")]
    assert quantile(0.5, [2.0, 2.0, 0.0, 0.0], edges) == pytest.approx(0.1)
    assert quantile(0.75, [2.0, 2.0, 0.0, 0.0], edges) == pytest.approx(0.15)
    assert quantile(0.99, [0.0, 0.0, 0.0, 5.0], edges) == 0.4


@pytest.mark.slow
def test_memory_stays_within_its_bytes() -> None:
    """25,000 requests with a route, an exception text, lines and fields of their own."""
    max_bytes = 2**20
    observed = Observed({**FLAGS, "OBS_CONSOLE_BYTES": str(max_bytes)})
    tracemalloc.start()
    console = Console(observed.obs)
    sizes = []
    for number in range(25_000):
        record: Any = RequestRecord(http_scope("/"), ROUTES, FAULTS)
        record.request_id = f"{number:032d}"
        record.route, record.duration_s, record.outcome, record.status = f"/r{number}", number * 1e-6, "ok", 200
        if number % 5 == 0:
            console.feed.line(record, b'{"msg":"%032d"}' % number * 20)
        if number % 10 == 0:
            record.outcome, record.status = "error", 500
            record.error = raised(LookupError) if number % 20 else type(f"E{number}", (Exception,), {})(f"no {number}")
            record.fields = {"note": f"{number}" * 20}
        console.feed.finish(record)
        record.release()
        if number % 5_000 == 4_999:
            console.snapshot(console.collect())
            gc.collect()
            found = tracemalloc.take_snapshot().filter_traces(
                [tracemalloc.Filter(True, "*/divan_obs_asgi/console/*"), tracemalloc.Filter(True, __file__)]
            )
            sizes.append(sum(one.size for one in found.statistics("filename")))
    tracemalloc.stop()
    assert max(sizes) < 1.1 * max_bytes, sizes
    assert sizes[-1] < sizes[1] * 1.3

"""Sampling: everything up to a budget, a share of what is above, and one decision for each trace."""

from __future__ import annotations

import logging
import math
import random
from collections import Counter

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.logs import PipelineHandler, Sampler
from divan_obs_asgi.middlewares import AccessLogMiddleware, RequestIdMiddleware
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed

RATES = st.floats(0.0, 1.0)
TRACE_IDS = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def under_load(rate: float) -> Sampler:
    """Return a sampler whose budget of this second is used up."""
    sampler = Sampler(rate, 1, Clock())
    assert sampler.rate_for("", "first") == 1.0
    return sampler


def some_traces(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"{chance.getrandbits(128):032x}" for _ in range(count)]


def test_without_load_everything_is_kept() -> None:
    """Up to the budget of each second, every line is written and stands for itself."""
    clock = Clock()
    sampler = Sampler(0.0, 10, clock)
    for _ in range(5):
        assert [sampler.rate_for("", str(number)) for number in range(10)] == [1.0] * 10
        assert sampler.rate_for("", "one too many") == 0.0
        clock.now += 1.0


def test_a_budget_is_for_a_second() -> None:
    """What was not used is not saved up."""
    clock = Clock()
    sampler = Sampler(0.0, 2, clock)
    clock.now += 60.0
    kept = []
    for _ in range(8):  # Two seconds, a line each quarter of one.
        kept.append(sampler.rate_for("", "x"))
        clock.now += 0.25
    assert kept == [1.0, 1.0, 0.0, 0.0] * 2


@given(RATES, TRACE_IDS, st.text(st.characters(max_codepoint=127)))
@example(0.0, "0" * 31 + "1", "")
@example(1.0, "f" * 32, "")
def test_a_kept_line_says_what_it_stands_for(rate: float, trace_id: str, request_id: str) -> None:
    """The answer is the rate or 0; one part of `1 / rate` lines is kept, so that counts can be restored."""
    for answer in (under_load(rate).rate_for(trace_id, request_id), under_load(rate).rate_for("", request_id)):
        assert answer in (rate, 0.0)


@given(RATES, TRACE_IDS, st.text(max_size=5), st.text(max_size=5))
def test_a_trace_has_one_decision(rate: float, trace_id: str, one: str, other: str) -> None:
    """Every line of a trace is kept or dropped with the others: in every process, and whatever the request's id."""
    first, second = under_load(rate), under_load(rate)
    decision = first.rate_for(trace_id, one)
    assert first.rate_for(trace_id, other) == decision
    assert second.rate_for(trace_id, one) == decision


@given(RATES, st.from_regex(r"[A-Za-z0-9._:/+=-]{1,128}", fullmatch=True))
def test_a_request_without_a_trace_has_one_decision(rate: float, request_id: str) -> None:
    """There the request's id decides."""
    assert under_load(rate).rate_for("", request_id) == under_load(rate).rate_for("", request_id)


@given(RATES, RATES, TRACE_IDS)
def test_a_higher_rate_keeps_what_a_lower_one_keeps(one: float, other: float, trace_id: str) -> None:
    """A service that keeps more has the lines of all traces that its neighbour kept."""
    low, high = sorted((one, other))
    if under_load(low).rate_for(trace_id, ""):
        assert under_load(high).rate_for(trace_id, "")


@given(RATES, st.integers(0, 2**32))
@example(0.1, 0)
def test_the_share_that_is_kept_is_the_rate(rate: float, seed: int) -> None:
    """Within six standard deviations of what chance allows, by trace as well as by request."""
    count = 2000
    sampler = under_load(rate)
    ids = some_traces(count, seed)
    allowed = 6 * math.sqrt(count * rate * (1 - rate)) + 1
    for kept in (
        sum(sampler.rate_for(trace_id, "") > 0 for trace_id in ids),
        sum(sampler.rate_for("", request_id) > 0 for request_id in ids),
    ):
        assert abs(kept - count * rate) <= allowed


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 0), (1.0, 1000)])
def test_rates_0_and_1_are_exact(rate: float, kept: int) -> None:
    """No rounding at the ends."""
    sampler = under_load(rate)
    ids = ["0" * 32, "f" * 32, *some_traces(998, 1)]
    assert sum(sampler.rate_for(trace_id, "") > 0 for trace_id in ids) == kept


@pytest.mark.parametrize(
    ("trace_id", "rate", "kept"),
    [
        # The lower 64 bits are compared with rate * 2**64, as in OpenTelemetry's TraceIdRatioBased.
        ("f" * 16 + "7" + "f" * 15, 0.5, True),
        ("0" * 16 + "8" + "0" * 15, 0.5, False),
        ("0" * 15 + "1" + "1" + "9" * 15, 0.1, True),
        ("0" * 15 + "1" + "1" + "a" * 15, 0.1, False),
    ],
)
def test_a_line_and_its_span_are_kept_together(trace_id: str, rate: float, kept: bool) -> None:
    """At equal rates, by the rule of OpenTelemetry's ratio sampler."""
    assert (under_load(rate).rate_for(trace_id, "") > 0) is kept


# A request's decision.


def connection(scope: Scope, trace_id: str = "", request_id: str = "") -> RequestRecord:
    record = RequestRecord(scope, RouteTemplates(None), InternalErrors(count=lambda component: None))
    record.trace_id, record.request_id = trace_id, request_id
    return record


KEPT, DROPPED = "0" * 32, "f" * 32


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.3, 1.0])), max_size=60), st.integers(0, 2**32))
def test_a_requests_lines_are_kept_or_dropped_together(steps: list[tuple[int, float]], seed: int) -> None:
    """Whenever load begins or ends: all lines of a request have the answer of its first."""
    clock = Clock()
    sampler = Sampler(0.5, 3, clock)
    requests = [connection(http_scope(), trace_id) for trace_id in some_traces(6, seed)]
    answers: dict[int, set[float]] = {}
    for which, seconds in steps:
        clock.now += seconds
        answers.setdefault(which, set()).add(sampler.rate_of(requests[which]))
    assert all(len(given) == 1 for given in answers.values())


def test_load_that_begins_in_the_middle_of_a_request() -> None:
    """All lines of the request that began before are written; the next request is sampled."""
    sampler = Sampler(0.5, 1, Clock())
    before, after = connection(http_scope(), DROPPED), connection(http_scope(), DROPPED)
    assert [sampler.rate_of(before) for _ in range(3)] == [1.0] * 3
    assert [sampler.rate_of(after) for _ in range(3)] == [0.0] * 3


def test_a_websocket_is_asked_again() -> None:
    """One that was accepted on a quiet night does not write everything on the busy day after."""
    clock = Clock()
    sampler = Sampler(0.5, 1, clock)
    lost, kept = connection(websocket_scope(), DROPPED), connection(websocket_scope(), KEPT)
    assert [sampler.rate_of(lost), sampler.rate_of(lost), sampler.rate_of(kept)] == [1.0, 0.0, 0.5]
    clock.now += 1
    assert [sampler.rate_of(kept), sampler.rate_of(kept), sampler.rate_of(lost)] == [1.0, 0.5, 0.0]


# What a reader restores.


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("rate", "budget"), [(0.1, 1), (0.1, 50), (0.5, 300)])
def test_counts_are_restored_from_a_sampled_run(rate: float, budget: int, seed: int) -> None:
    """A line that was written stands for `1 / sample_rate`: their sum is the true count, as far as chance allows."""
    observed = Observed({"LOG_SAMPLING_RATE_INFO": str(rate), "LOG_SAMPLING_BUDGET": str(budget)})
    logger = logging.Logger("shop")
    logger.addHandler(PipelineHandler(observed.obs.log))
    chance = random.Random(seed)
    true: Counter[str] = Counter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(sales := chance.randrange(3)):
            logger.info("sold")
        true["sold"] += sales
        status = chance.choice([200, 200, 200, 404, 500])
        true[f"{status}"] += 1
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    async def ask() -> None:
        for _ in range(1000):
            request_id = f"{chance.getrandbits(64):x}".encode()
            await converse(stack, http_scope(headers=[(b"x-request-id", request_id)]))

    stack = build_stack(app, observed.obs, [RequestIdMiddleware, AccessLogMiddleware])
    anyio.run(ask)
    restored: Counter[str] = Counter()
    for line in observed.lines():
        # Those were written because of how their request ended, and stand for themselves.
        if not line.get("recorded"):
            restored[line["msg"] if line["msg"] == "sold" else str(line["status"])] += 1 / line["sample_rate"]
    assert restored["500"] == true["500"], "errors are never sampled"
    for what, lines_of_one in (("200", 1), ("404", 1), ("sold", 2)):
        # Six standard deviations, if every line had been above the budget.
        allowed = 6 * math.sqrt(lines_of_one * true[what] * (1 - rate) / rate)
        assert abs(restored[what] - true[what]) <= allowed

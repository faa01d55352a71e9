"""Sampling: everything up to a budget, a share of what is above, and one decision for each trace."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.logs import Sampler

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
def test_none_and_all_are_exact(rate: float, kept: int) -> None:
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

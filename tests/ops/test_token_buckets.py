"""How many requests a client may send."""

from __future__ import annotations

from divan_obs_asgi.ops.rate_limit import MAX_ADDRESSES
from divan_obs_asgi.ops.token_buckets import TokenBuckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_is_full_at_first_and_fills_again() -> None:
    """As many at once as a minute allows; then one for each part of the minute, and never more than these."""
    clock = Clock()
    buckets = TokenBuckets(6, clock)
    assert [buckets.take("a") for _ in range(6)] == [0.0] * 6
    assert buckets.take("a") == 10.0
    clock.now += 4.0
    assert round(buckets.take("a"), 6) == 6.0
    clock.now += 6.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0.0
    clock.now += 3600.0
    assert [buckets.take("a") > 0.0 for _ in range(7)] == [False] * 6 + [True]


def test_each_client_has_its_own() -> None:
    """One that sends too much does not stop another."""
    buckets = TokenBuckets(1, Clock())
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0.0
    assert buckets.take("b") == 0.0


def test_their_number_is_bounded() -> None:
    """Of more clients the one that sent longest ago is forgotten; one that was refused has not sent."""
    buckets = TokenBuckets(1, Clock())
    for number in range(MAX_ADDRESSES):
        buckets.take(str(number))
    assert buckets.take("0") > 0.0
    buckets.take("one more")
    assert len(buckets) == MAX_ADDRESSES
    assert buckets.take("1") > 0.0
    assert buckets.take("0") == 0.0

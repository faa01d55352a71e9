"""Any sequence of answers: every span is delivered once or counted once."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divan_obs_asgi.otlp.answers import (
    DELIVERED,
    RETRYABLE_CODES,
    RETRYABLE_STATUSES,
    Result,
    of_grpc,
    of_http,
)
from divan_obs_asgi.otlp.circuit_breaker import CircuitBreaker
from divan_obs_asgi.otlp.delivery import Delivery
from divan_obs_asgi.otlp.export_log import ExportLog
from divan_obs_asgi.otlp.spool import Spool


class Scripted:
    """An exporter of numbers with scripted results; what it takes is in `received`."""

    def __init__(self, script: list[Result], received: list[int]) -> None:
        self._script = script
        self._received = received

    def encode(self, items: Sequence[int]) -> bytes:
        return bytes(items)

    def send(self, items: Sequence[int], payload: bytes | None) -> Result:
        assert payload is not None
        result = self._script.pop() if self._script else DELIVERED
        if result.outcome == "delivered":
            self._received += payload[: len(payload) - result.rejected]
        return result

    def shutdown(self) -> None:
        """Do nothing."""


def results() -> st.SearchStrategy[Result]:
    http = st.builds(of_http, st.integers(100, 599), st.just(""), st.none() | st.just("9"), st.just(b"\xff"))
    grpc = st.builds(of_grpc, st.sampled_from([*sorted(RETRYABLE_CODES), "INTERNAL"]), st.just(""), st.none())
    rejected = st.just(Result("delivered", "partial success", rejected=1))
    return st.one_of(http, grpc, rejected, st.just(DELIVERED), st.just(Result("failed", "unknown")))


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [False, True])
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_every_span_is_delivered_or_counted_once(on_disk: bool, data: st.DataObject) -> None:
    """Whatever the collector answers, and whenever spans arrive."""
    script = data.draw(st.lists(results(), max_size=20))
    arrivals = data.draw(st.lists(st.integers(0, 7), max_size=12))
    lost: Counter[str] = Counter()
    received: list[int] = []
    now = [0.0]
    with tempfile.TemporaryDirectory() as directory:

        def dropped(reason: str, count: int) -> None:
            lost[reason] += count

        def failed(error: Exception) -> None:
            raise AssertionError from error

        log = ExportLog()
        spool = Spool(Path(directory), 10**6, dropped, failed, log) if on_disk else None
        breaker = CircuitBreaker(lambda: now[0], lambda: 1.0)
        delivery: Delivery[int] = Delivery(lambda: Scripted(script, received), breaker, 3, dropped, failed, log, spool)
        ended = 0
        for count in arrivals:
            delivery.queue.extend(range(ended, ended + count))
            ended += count
            now[0] += data.draw(st.sampled_from([0.1, 5.0, 100.0]))
            delivery.run_round(at_once=data.draw(st.booleans()))
        while script:
            delivery.run_round(at_once=True)
            delivery.queue.append(ended)
            ended += 1
        assert delivery.run_round(at_once=True)
        assert delivery.run_round(at_once=True)
        delivery.finish()
        delivery.close()
    assert len(set(received)) == len(received)
    assert len(received) + sum(lost.values()) == ended
    assert lost["shutdown"] == 0


def test_the_specification_says_what_is_retried() -> None:
    """The lists of the OTLP specification, and nothing else."""
    retried = {status for status in range(100, 600) if of_http(status, "", None, b"x").outcome == "retry"}
    assert retried == RETRYABLE_STATUSES == {429, 502, 503, 504}
    assert of_grpc("RESOURCE_EXHAUSTED", "", 3.0) == Result("retry", "gRPC RESOURCE_EXHAUSTED", retry_after_s=3.0)
    assert of_grpc("RESOURCE_EXHAUSTED", "", None).reason == "export_failed"
    assert of_grpc("RESOURCE_EXHAUSTED", "Received message larger than max", None).reason == "too_large"


def test_a_collector_that_asks_for_a_pause_gets_it() -> None:
    """Not the shorter one of the circuit breaker."""
    script, received = [of_http(503, "", "30", b"")], list[int]()
    now = [0.0]
    breaker = CircuitBreaker(lambda: now[0], lambda: 0.8)
    delivery: Delivery[int] = Delivery(
        lambda: Scripted(script, received), breaker, 3, lambda *_: None, lambda _: None, ExportLog(), None
    )
    delivery.queue.append(1)
    for now[0] in (0.0, 29.0, 30.0):
        delivery.run_round(at_once=False)
        assert received == ([1] if now[0] == 30.0 else [])

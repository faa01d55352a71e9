"""When the circuit opens after failed exports, and for how long."""

from __future__ import annotations

from divan_obs_asgi.otlp.circuit_breaker import LONGEST_PAUSE_S, CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock, jitter=lambda: 1.0)


def test_a_new_circuit_is_closed() -> None:
    """Exports are allowed until one fails."""
    circuit = breaker(Clock())
    assert (circuit.is_open, circuit.wait_s()) == (False, 0.0)


def test_each_failure_doubles_the_pause_up_to_a_minute() -> None:
    """1, 2, 4, ... 60 seconds: if a collector is down for an hour, there is one attempt per minute."""
    clock = Clock()
    circuit = breaker(clock)
    pauses = []
    for _ in range(8):
        circuit.failed()
        pauses.append(circuit.wait_s())
        clock.now += pauses[-1]
        assert circuit.is_open
        assert circuit.wait_s() == 0.0, "one attempt may be made"
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, LONGEST_PAUSE_S]


def test_a_success_closes_the_circuit_and_resets_the_pause() -> None:
    """The next failure counts as the first one again."""
    circuit = breaker(Clock())
    for _ in range(5):
        circuit.failed()
    circuit.succeeded()
    assert (circuit.is_open, circuit.wait_s()) == (False, 0.0)
    circuit.failed()
    assert circuit.wait_s() == 1.0

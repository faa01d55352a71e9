"""What is counted in plain numbers is told to the metrics in full, whoever asks and whenever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.family import EVENT_BUCKETS_S
from divan_obs_asgi.metrics.tallies import Tally
from divan_obs_asgi.socketio_ext.series import Handling

SECONDS = st.one_of(st.floats(0, 10), st.sampled_from(EVENT_BUCKETS_S))
LABELS = {"namespace": "/", "event": "say"}
DURATION = "divan_socketio_event_duration_seconds"


@given(st.lists(st.one_of(SECONDS, st.none())))
@example([EVENT_BUCKETS_S[0], None, EVENT_BUCKETS_S[-1], 6.0])
def test_calls_are_told_as_if_each_had_been_observed(steps: list[float | None]) -> None:
    """Into the same buckets, an edge into its own; asking in between (None) changes nothing."""
    metrics, reference = Metrics(), Metrics()
    handling = Handling(metrics, "/", "say", plain=True)
    for seconds in steps:
        if seconds is None:
            handling.tell()
        else:
            handling.took(seconds)
            reference.socketio_event_duration.labels("/", "say").observe(seconds)
    handling.tell()

    def buckets(of: Metrics) -> list[float | None]:
        edges = [*map(str, EVENT_BUCKETS_S), "+Inf"]
        return [of.registry.get_sample_value(f"{DURATION}_bucket", {**LABELS, "le": edge}) for edge in edges]

    assert buckets(metrics) == buckets(reference)
    took = [seconds for seconds in steps if seconds is not None]
    told = metrics.registry.get_sample_value(f"{DURATION}_sum", LABELS) or 0.0
    assert abs(told - sum(took)) < 1e-9


def test_nothing_is_lost_or_told_twice_while_others_read() -> None:
    """A scrape reads in a thread of its own while events go on."""
    metrics = Metrics()
    tally, handling = Tally(metrics.socketio_upgrades), Handling(metrics, "/", "say", plain=True)
    metrics.registry.before += [tally.tell, handling.tell]
    with ThreadPoolExecutor(1) as pool:
        pages = pool.submit(lambda: [metrics.render() for _ in range(50)])
        for _ in range(20_000):
            tally.value += 1
            handling.events += 1
        assert pages.result()
    page = metrics.render().decode()
    assert "divan_socketio_upgrades_total 20000.0" in page
    assert 'divan_socketio_events_total{event="say",namespace="/"} 20000.0' in page


def test_a_handler_that_was_never_called_has_no_series() -> None:
    """A connect is no event, and what has no handler takes no time."""
    metrics = Metrics()
    handling = Handling(metrics, "/", "connect", plain=False)
    handling.tell()
    assert metrics.label_sets()["socketio_events_total"] == 0
    handling.took(0.1)
    handling.tell()
    assert metrics.label_sets()["socketio_events_total"] == 0
    assert metrics.label_sets()["socketio_event_duration_seconds"] == 1

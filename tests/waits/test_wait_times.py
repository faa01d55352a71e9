"""What a request waited for, with a clock of its own: every moment counts for one cause."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.connection.gc_pauses import GcPauses, pauses
from divan_obs_asgi.connection.wait_times import CAUSES, Cause, ThreadCall, WaitTimes, shown


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_wait_that_began_last_counts() -> None:
    """Of two calls at the same time, no moment is counted twice."""
    clock = Clock()
    waited = WaitTimes(clock, running=True)
    clock.now += 1
    waited.begin("sql")
    waited.suspend()
    clock.now += 2
    waited.begin("redis")
    clock.now += 4
    waited.end("redis")
    clock.now += 8
    waited.resume()
    clock.now += 16
    waited.end("sql")
    waited.suspend()
    clock.now += 32
    waited.stop()

    assert waited.seconds == {"cpu": 17.0, "sql": 10.0, "redis": 4.0, "other": 32.0}
    assert waited.counts == {"sql": 1, "redis": 1}


def test_a_blocking_call_in_the_task_counts_as_that_call() -> None:
    """A plain database driver waits while the task runs, as the event loop sees it."""
    clock = Clock()
    waited = WaitTimes(clock, running=True)
    waited.begin("sql")
    clock.now += 3
    waited.end("sql")
    clock.now += 1
    waited.stop()

    assert waited.seconds == {"sql": 3.0, "cpu": 1.0}


def test_a_wait_that_has_not_ended_lasts_to_the_end() -> None:
    """A request that is cancelled in a query has waited for it; what happens later does not count."""
    clock = Clock()
    waited = WaitTimes(clock)
    waited.begin("sql")
    clock.now += 5
    waited.stop(103.0)
    clock.now += 7
    waited.end("sql")
    waited.begin("http")

    assert waited.seconds == {"sql": 3.0}
    assert waited.in_all(4.0) == {"sql": 3.0, "other": 1.0}
    assert waited.counts == {"sql": 1}


def test_the_garbage_collector_counts_for_itself() -> None:
    """A pause within a query is not time of the database."""
    clock = Clock()
    waited = WaitTimes(clock)
    waited.begin("sql")
    clock.now += 5
    pauses.total_s += 2.0
    try:
        waited.end("sql")
    finally:
        pauses.total_s -= 2.0

    assert waited.seconds == {"gc": 2.0, "sql": 3.0}


def test_a_collection_that_had_begun_before_has_no_length() -> None:
    """The measuring may begin within one."""
    one = GcPauses()
    one._callback("stop", {})

    assert one.total_s == 0.0


def test_processor_time_in_a_thread_is_taken_from_the_rest() -> None:
    """What a function does in its thread besides computing is not the processor."""
    clock = Clock()
    waited = WaitTimes(clock)
    waited.begin("thread")
    clock.now += 1
    call = waited.enter_thread()
    clock.now += 5
    waited.leave_thread(call, 2.0)
    waited.stop()

    assert waited.seconds == {"thread": 1.0, "other": 3.0, "cpu": 2.0}


def test_the_line_shows_calls_with_their_number() -> None:
    """Counts for calls, milliseconds for all; a cause that did not happen is left out."""
    assert shown({"sql": 7}, {"sql": 0.812, "loop": 0.04, "gc": 0.035, "cpu": 0.01204, "other": 0.003}) == {
        "sql": {"n": 7, "ms": 812.0},
        "loop_ms": 40.0,
        "gc_ms": 35.0,
        "cpu_ms": 12.0,
        "other_ms": 3.0,
    }


_STEPS = st.tuples(
    st.sampled_from(["begin", "end", "suspend", "resume", "enter", "leave"]),
    st.sampled_from(CAUSES),
    st.floats(-5, 60, allow_nan=False),  # A clock may go backward.
    st.floats(0, 5),
    st.booleans(),
)


@given(st.lists(_STEPS, max_size=40))
def test_the_sum_is_the_duration(steps: list[tuple[str, Cause, float, float, bool]]) -> None:
    """Whatever begins and ends in whatever order and thread: no exception, nothing negative, nothing twice."""
    clock = Clock()
    highest, before = clock.now, pauses.total_s
    waited = WaitTimes(clock, running=True)

    def take(what: str, cause: Cause) -> None:
        if what == "begin":
            waited.begin(cause)
        elif what == "end":
            waited.end(cause)
        elif what == "enter":
            waited.enter_thread()
        elif what == "leave":
            waited.leave_thread(ThreadCall(), 1.0)
        else:
            getattr(waited, what)()

    try:
        for what, cause, passed, paused, elsewhere in steps:
            clock.now += passed
            pauses.total_s += paused
            highest = max(highest, clock.now)
            if elsewhere:
                thread = threading.Thread(target=take, args=(what, cause))
                thread.start()
                thread.join()
            else:
                take(what, cause)
        waited.stop(highest)
    finally:
        pauses.total_s = before
    duration_s = highest - 100.0
    seconds = waited.in_all(duration_s)

    assert all(one >= 0.0 for one in seconds.values())
    assert sum(waited.seconds.values()) <= duration_s + 1e-6
    assert abs(sum(seconds.values()) - duration_s) < 1e-6


def test_threads_may_begin_and_end_at_once() -> None:
    """Many threads of one request lose no wait."""
    waited = WaitTimes()

    def call() -> None:
        for _ in range(500):
            waited.begin("sql")
            waited.end("sql")

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    waited.stop()

    assert waited.counts["sql"] == 4000
    assert not waited._open


def test_a_request_that_nobody_asks_about_keeps_no_notes() -> None:
    """A request that has ended well, and in time, costs no memory; what its tasks do afterwards is not noted."""
    waited = WaitTimes(Clock())
    waited.begin("sql")
    waited.forget()
    waited.end("sql")
    waited.begin("http")

    assert not waited.counts
    assert not waited.seconds

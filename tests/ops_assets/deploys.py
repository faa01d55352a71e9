"""Deploys as Prometheus sees them: counters reset, instances appear and disappear, processes drain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from tests.ops_assets.worlds import World

MINUTES = 90
_GONE = "_"


class Fleet:
    """
    The processes of a service over time; a series is a value for each minute.

    Every counter has a past: one that starts anew must not look like growth, and an old failure not like a new one.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = defaultdict(lambda: [_GONE] * MINUTES)

    def run(self, instance: str, start: int, end: int, *, drain: int = 0, fresh: bool = True) -> Fleet:
        """
        Have a process serve from one minute to another.

        Args:
            drain: minutes before its end at which it begins to leave.
            fresh: whether it starts at the first minute, with every counter at zero.
        """
        begun = start * 60 if fresh else -36_000
        past = 0 if fresh else 1000
        for minute in range(start, end):
            draining = minute >= end - drain
            age = minute - start + past
            for name, labels, value in self._page(age, draining, fresh, minute, begun):
                self._set(name, instance, labels, minute, value)
            self._set("up", instance, "", minute, 1)
        # One scrape meets a process that has gone, before its target does.
        if end < MINUTES:
            self._set("up", instance, "", end, 0)
            self._leave(instance, end)
        return self

    def _page(
        self, age: int, draining: bool, fresh: bool, minute: int, begun: float
    ) -> Iterator[tuple[str, str, float]]:
        old = 0 if fresh else 1
        route = 'route="/x",method="GET"'
        yield "divan_http_requests_total", f'{route},status="200"', 600 * age
        yield "divan_http_requests_total", f'{route},status="500"', 0.2 * age
        yield "divan_http_request_duration_seconds_bucket", f'{route},le="0.3"', 590 * age
        yield "divan_http_request_duration_seconds_bucket", f'{route},le="0.4"', 597 * age
        yield "divan_http_request_duration_seconds_bucket", f'{route},le="+Inf"', 600 * age
        yield "divan_http_request_duration_seconds_count", route, 600 * age
        yield "divan_socketio_clients", 'namespace="/"', 0 if draining else min(100, 3 * age)
        yield "divan_socketio_packets_total", 'direction="in"', 300 * age
        # Clients of the process before poll with its sessions, once each.
        yield "divan_socketio_refused_total", 'reason="unknown_session"', 30 if old else min(100, 60 * age)
        yield "process_start_time_seconds", "", begun
        yield "divan_draining", "", draining
        # The first check of what a new process depends on may fail.
        yield "divan_health_ready", "", not draining and not (fresh and age < 2)
        yield "divan_redis_up", "", not draining
        yield "divan_postgres_up", "", not draining
        yield "divan_probe_up", 'name="redis"', not draining
        yield "divan_probe_up", 'name="redaction"', 1
        # The first requests wait for connections to open, and some got none before the process was replaced.
        yield "divan_pool_connections", 'pool="main",state="in_use"', 10 if fresh and age < 2 else 4
        yield "divan_pool_limit", 'pool="main"', 10
        yield "divan_pool_wait_seconds_sum", 'pool="main"', 500 if old else 90 * min(age, 2)
        yield "divan_pool_exhausted_total", 'pool="main"', 50 if old else min(age, 3)
        # What a process imports late holds its loop up.
        yield "divan_event_loop_stalls_total", "", 50 if old else min(age, 3)
        yield "divan_obs_build_info", f'version="{2 if fresh else 1}"', 1
        yield "divan_jobs_runs_total", 'name="snapshot",result="error"', 7 * old
        yield "divan_jobs_runs_total", 'name="snapshot",result="cancelled"', draining
        yield "divan_jobs_last_success_timestamp_seconds", 'name="snapshot"', minute * 60 if age > 10 else 0
        # Nobody reads while the readers start.
        behind = fresh and age < 8
        yield "divan_redis_stream_lag", 'stream="events",group="lb"', 20 * age if behind else 5
        yield "divan_redis_stream_oldest_pending_seconds", 'stream="events",group="lb"', 60 * age if behind else 0
        yield "divan_log_records_dropped_total", 'level="INFO"', 40 * old
        yield "divan_trace_spans_dropped_total", 'reason="queue_full"', 30 * old
        yield "divan_trace_spans_dropped_total", 'reason="circuit_open"', 20 * old
        yield "divan_trace_spans_dropped_total", 'reason="shutdown"', 10 * draining
        yield "divan_otlp_dropped_total", 'signal="logs",reason="queue_full"', 30 * old
        yield "divan_otlp_dropped_total", 'signal="logs",reason="shutdown"', 10 * draining
        yield "divan_metrics_overflow_total", 'family="http_requests_total",cause="limit"', 9 * old

    def _set(self, name: str, instance: str, labels: str, minute: int, value: float) -> None:
        series = f'{name}{{job="divan",instance="{instance}"{"," if labels else ""}{labels}}}'
        self._values[series][minute] = f"{float(value):g}"

    def _leave(self, instance: str, minute: int) -> None:
        """Prometheus marks what a failed scrape did not bring, and then what a target that is gone had."""
        for series, values in self._values.items():
            if f'instance="{instance}"' in series:
                values[minute if not series.startswith("up{") else min(minute + 1, MINUTES - 1)] = "stale"

    def world(self) -> World:
        return {series: " ".join(values) for series, values in self._values.items()}


def restart() -> World:
    """Both instances restart in place, one after the other; they keep their names."""
    fleet = Fleet()
    for instance, at in (("a:1", 30), ("b:1", 36)):
        fleet.run(instance, 0, at, drain=3, fresh=False).run(instance, at + 2, MINUTES)
    return fleet.world()


def rolling() -> World:
    """New instances with new names start, and the old ones drain for 8 minutes."""
    fleet = Fleet()
    for old, new, at in (("a:1", "c:1", 30), ("b:1", "d:1", 40)):
        fleet.run(old, 0, at + 8, drain=8, fresh=False).run(new, at, MINUTES)
    return fleet.world()


def recreate() -> World:
    """The only instance stops, and the next one starts 3 minutes later."""
    return Fleet().run("a:1", 0, 30, drain=1, fresh=False).run("b:1", 34, MINUTES).world()


DEPLOYS: dict[str, Callable[[], World]] = {"restart": restart, "rolling": rolling, "recreate": recreate}

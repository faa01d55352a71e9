"""For every alert: what makes it fire, what just does not, and what ends it."""

from __future__ import annotations

from tests.ops_assets.story import Story
from tests.ops_assets.worlds import JOB, A, World, each, flat, grows, latency, share, slow_share, traffic

INSTANCE = {"instance": "a:1"}
GROUP = {"stream": "events", "group": "lb"}


def up(a: str, b: str | None = None) -> World:
    world = {f"up{{{A}}}": a}
    return world if b is None else {**world, f'up{{{JOB},instance="b:1"}}': b}


def one(name: str, labels: str, values: str) -> World:
    return {f"divan_{name}{{{A}{',' if labels else ''}{labels}}}": values}


def clients(values: str) -> World:
    return {
        **one("socketio_clients", 'namespace="/"', values),
        f"process_start_time_seconds{{{A}}}": flat(-36_000, 120),
        **one("draining", "", flat(0, 120)),
    }


def job(runs: str, result: str = "error") -> World:
    return one("jobs_runs_total", f'name="snapshot",result="{result}"', runs)


def succeeded(values: str) -> World:
    return one("jobs_last_success_timestamp_seconds", 'name="snapshot"', values)


def stream(name: str, values: str) -> World:
    return one(f"redis_stream_{name}", 'stream="events",group="lb"', values)


def spans(reason: str, values: str) -> World:
    return one("trace_spans_dropped_total", f'reason="{reason}"', values)


def probe(name: str, values: str) -> World:
    return one("probe_up", f'name="{name}"', values)


def overflow(values: str) -> World:
    return one("metrics_overflow_total", 'family="http_requests_total",cause="limit"', values)


def of_budget(window: str, percent: float, of: str = "failed") -> str:
    allowed = "99.9 % allows 0.1 %" if of == "failed" else "99 % allows 1 %"
    return f"In the last {window} {percent:g}% of the requests to divan {of}; the objective of {allowed}."


SLOW = "took longer than 400 ms"
NO_TARGET = (
    "Prometheus has no target of the job divan, or cannot scrape any of them, for 5 minutes. No other alert of"
    " this service can fire meanwhile."
)

TRAFFIC = [
    Story(
        "HighErrorRate",
        share(6, 21, 30),
        quiet=8,
        fires=15,
        resolved=30,
        says="6% of the requests to divan in the last 5 minutes were answered with a status of 500 or more.",
        # Just below 5 %; and a quiet night, in which every request fails, but there are 9 of them in 10 minutes.
        below=(share(4.9, 60, 1), traffic(flat(0, 61), grows(0, 0.9, 61))),
    ),
    Story(
        "ApiLatencyP95High",
        slow_share(10, 26, 30),
        quiet=12,
        fires=20,
        resolved=34,
        says="The 95th percentile of the latency of divan over the last 5 minutes is 450ms.",
        # 9 slow requests in 15 minutes, of 9.
        below=(slow_share(4.9, 60, 1), latency(flat(0, 61), grows(0, 0.6, 61))),
    ),
    Story(
        "SocketClientDrop",
        clients("100+0x20 40+0x30"),
        quiet=20,
        fires=23,
        resolved=28,
        says=(
            "60% of the Socket.IO clients that were connected to divan 5 minutes ago are gone; no process has started"
            " or drained in the last 10 minutes."
        ),
        # Half of them; and all of few.
        below=(clients("100+0x20 50+0x40"), clients("19+0x20 0+0x40")),
    ),
]

OBJECTIVES = [
    Story("ErrorBudgetBurn/1h", share(1.5, 11, 20), 1, 5, 20, of_budget("1h", 1.5),
          (share(1.4, 60, 1), traffic(flat(0, 61), f"{grows(0, 1, 10)} {flat(9, 50)}")), labels={"window": "1h"}),
    Story("ErrorBudgetBurn/6h", share(0.7, 26, 50), 13, 20, 60, of_budget("6h", 0.7),
          (share(0.5, 60, 1), traffic(flat(0, 61), f"{grows(0, 1, 10)} {flat(9, 50)}")), labels={"window": "6h"}),
    Story("ErrorBudgetBurn/1d", share(0.4, 41, 140), 28, 35, 170, of_budget("1d", 0.4),
          (share(0.2, 60, 1),), labels={"window": "1d"}),
    # 1000 requests in 5 minutes.
    Story("ErrorBudgetBurn/3d", share(0.2, 20, 90), 80, 90, 480, of_budget("3d", 0.2),
          (share(0.09, 60, 1),), 300, labels={"window": "3d"}, step=5),
    Story("LatencyBudgetBurn/1h", slow_share(15, 11, 20), 1, 5, 20, of_budget("1h", 15, SLOW),
          (slow_share(14, 60, 1), latency(flat(0, 61), f"{grows(0, 1, 10)} {flat(9, 50)}")), labels={"window": "1h"}),
    Story("LatencyBudgetBurn/6h", slow_share(7, 26, 50), 13, 20, 60, of_budget("6h", 7, SLOW),
          (slow_share(5.9, 60, 1),), labels={"window": "6h"}),
    Story("LatencyBudgetBurn/1d", slow_share(4, 41, 140), 28, 35, 170, of_budget("1d", 4, SLOW),
          (slow_share(2.9, 60, 1),), labels={"window": "1d"}),
    Story("LatencyBudgetBurn/3d", slow_share(2, 16, 90), 55, 70, 450, of_budget("3d", 2, SLOW),
          (slow_share(0.9, 60, 1),), 300, labels={"window": "3d"}, step=5),
    Story(
        "LowTrafficErrors",
        # A failure every half hour; then a request a minute that is fine.
        traffic(f"{flat(0, 191)} {grows(1, 1, 40)}", each(30, 6, 80)),
        quiet=140,
        fires=190,
        resolved=225,
        says="100% of the requests to divan in the last 6 hours failed, at less than one request in 10 seconds.",
        # 4 failures; 5 of 10; and what is no quiet service.
        below=(
            traffic(flat(0, 300), each(30, 4, 80)),
            traffic(each(30, 5, 80), each(30, 5, 80)),
            traffic(f"{grows(0, 8, 400)} {flat(3192, 400)}", f"{flat(0, 400)} {grows(8, 8, 400)}"),
        ),
        below_for=790,
    ),
]  # fmt: skip

SERVICE = [
    Story(
        "ServiceAbsent",
        {f"up{{{A}}}": "_x9 1+0x20", 'up{job="other",instance="o:1"}': flat(1, 40)},
        quiet=3,
        fires=7,
        resolved=11,
        says=NO_TARGET,
        below=(up("1+0x5 0+0x4 1+0x50"),),
    ),
    Story(
        "ServiceAbsent",
        up("1+0x5 0+0x7 1+0x20", "0+0x13 1+0x20"),
        quiet=9,
        fires=12,
        resolved=16,
        says=NO_TARGET,
        below=(up("1+0x60", "0+0x60"),),
    ),
    Story(
        "ReplicaNotScraped",
        up("1+0x5 0+0x10 1+0x20", flat(1, 40)),
        quiet=9,
        fires=12,
        resolved=18,
        says=(
            "The scrapes of a:1 of divan fail for 5 minutes, while those of other instances succeed."
        ),
        below=(up("1+0x5 0+0x4 1+0x50", flat(1, 61)), up(flat(0, 61), flat(0, 61))),
        labels=INSTANCE,
    ),
    Story(
        "MetricsAbsent",
        {**up(flat(1, 40)), **one("obs_build_info", 'version="1"', "_x14 1+0x20")},
        quiet=8,
        fires=12,
        resolved=16,
        says=(
            "a:1 of divan is scraped, but its page has no divan_obs_build_info for 10 minutes: alerts and dashboards do"
            " not see it."
        ),
        below=({**up(flat(1, 61)), **one("obs_build_info", 'version="1"', "_x9 1+0x60")},),
        labels=INSTANCE,
    ),
    Story(
        "ServiceUnready",
        one("health_ready", "", "1+0x5 0+0x10 1+0x20"),
        quiet=9,
        fires=12,
        resolved=18,
        says=(
            "/health/ready of a:1 of divan fails for 5 minutes: balancers send it no requests."
        ),
        # Too short; a check that is not critical; and what drains.
        below=(
            one("health_ready", "", "1+0x5 0+0x4 1+0x50"),
            {**probe("s3", "0+0x60"), **one("health_ready", "", "1+0x60")},
            {**one("health_ready", "", "0+0x60"), **one("draining", "", "1+0x60")},
        ),
        labels=INSTANCE,
    ),
    Story("RedisDown", one("redis_up", "", "1+0x5 0+0x5 1+0x20"), 7, 9, 13,
          "Redis has not answered at least one instance of divan in time for 2 minutes.",
          (one("redis_up", "", "1+0x5 0+0x1 1+0x50"),)),
    Story("PostgresDown", one("postgres_up", "", "1+0x5 0+0x5 1+0x20"), 7, 9, 13,
          "PostgreSQL has not answered at least one instance of divan in time for 2 minutes.",
          (one("postgres_up", "", "1+0x5 0+0x1 1+0x50"),)),
    Story(
        "EventLoopStalls",
        one("event_loop_stalls_total", "", f"{grows(0, 1, 17)} {flat(16, 20)}"),
        quiet=8,
        fires=15,
        resolved=26,
        says=(
            "How often code blocked the event loop of a:1 of divan in the last 10 minutes: 10. Every request of that"
            " process waited meanwhile."
        ),
        below=(one("event_loop_stalls_total", "", grows(0, 0.4, 61)),),
        labels=INSTANCE,
    ),
]  # fmt: skip

WORK = [
    Story("JobFailed", job("0+0x5 1+0x60"), 4, 7, 40,
          "Runs of the job snapshot of divan that failed in the last 15 minutes: 1.",
          (job(grows(0, 1, 61), "cancelled"), job(grows(0, 1, 61), "ok"), job(flat(7, 61))),
          labels={"name": "snapshot"}),
    # 25 hours are 1500 minutes.
    Story(
        "JobNotRun",
        succeeded(f"60+0x304 {flat(91_200, 20)}"),
        quiet=1495,
        fires=1515,
        resolved=1530,
        says="The job snapshot of divan last succeeded 1d 1h 14m 0s ago; expected at least once in 25h.",
        below=(succeeded(f"600+0x300 {flat(90_300, 20)}"),),
        below_for=1510,
        labels={"name": "snapshot"},
        step=5,
    ),
    Story(
        "JobNotRun",
        succeeded(f"0+0x310 {flat(93_300, 20)}"),
        quiet=1495,
        fires=1515,
        resolved=1565,
        # promtool's time begins at 0: what never happened is no older than that.
        says="The job snapshot of divan last succeeded 1d 1h 15m 0s ago; expected at least once in 25h.",
        # It exists for a day; and it is removed.
        below=(succeeded("0+0x290"), succeeded("6000+0x100 _x250")),
        below_for=1600,
        labels={"name": "snapshot"},
        step=5,
    ),
    Story("StreamLagGrowing", stream("lag", "101+10x25 0+0x30"), 12, 20, 30,
          "301 entries of the stream events wait for the group lb, and their number has grown for 15 minutes.",
          (stream("lag", "0+1x99"), stream("lag", flat(500, 61)), stream("lag", "0+100x8 800-100x7 5+0x50")),
          labels=GROUP),
    Story("StreamPendingTooLong", stream("oldest_pending_seconds", "0+60x14 0+0x20"), 9, 12, 17,
          "The oldest entry of the stream events that the group lb was given and has not acknowledged is 12m 0s old.",
          (stream("oldest_pending_seconds", flat(300, 61)), stream("oldest_pending_seconds", "0+60x9 0+0x50")),
          labels=GROUP),
]  # fmt: skip

ITSELF = [
    Story("LogLinesDropped", one("log_records_dropped_total", 'level="INFO"', "0+0x5 3+0x40"), 4, 7, 20,
          "Log lines of divan that found the queue full in the last 10 minutes: 3.",
          (one("log_records_dropped_total", 'level="INFO"', flat(7, 61)),)),
    Story("SpansDropped", spans("queue_full", f"{grows(0, 10, 12)} {flat(110, 30)}"), 5, 10, 25,
          "Spans of divan that were dropped in the last 10 minutes (queue_full): 100.",
          (spans("shutdown", grows(0, 10, 61)), spans("queue_full", flat(7, 61))), labels={"reason": "queue_full"}),
    Story("TraceExportStopped", spans("circuit_open", f"{grows(0, 10, 12)} {flat(110, 30)}"), 5, 10, 25,
          "The collector does not take the spans of a:1 of divan: its circuit breaker is open. Spans that were dropped"
          " in the last 10 minutes: 100.",
          (spans("shutdown", grows(0, 10, 61)), spans("circuit_open", flat(7, 61))), labels=INSTANCE),
    Story("SeriesOverflow", overflow(f"{grows(0, 1, 16)} {flat(15, 30)}"), 5, 15, 35,
          "Values of http_requests_total in divan that were counted as __overflow__ in the last 15 minutes (limit):"
          " 15.",
          (overflow(flat(7, 61)),), labels={"family": "http_requests_total", "cause": "limit"}),
    Story("RedactionCanaryFailed", probe("redaction", "1+0x5 0+0x5 1+0x20"), 5, 7, 13,
          "A false secret came through a sink of a:1 of divan, or the sink failed: real ones may stand in its logs,"
          " traces or metrics.",
          (probe("redaction", flat(1, 61)), probe("redis", flat(0, 61))), labels=INSTANCE),
]  # fmt: skip

STORIES = [*TRAFFIC, *OBJECTIVES, *SERVICE, *WORK, *ITSELF]

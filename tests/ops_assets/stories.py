"""For every alert: series that make it fire, series just below the limit, and when it resolves."""

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


def refusals(refused: float, accepted: float) -> World:
    """Refused things and accepted packets a minute, for 40 minutes."""
    return {
        **one(
            "socketio_refused_total", 'reason="unknown_session"', f"{grows(0, refused, 40)} {flat(refused * 40, 60)}"
        ),
        **one("socketio_packets_total", 'direction="in"', f"{grows(0, accepted, 40)} {flat(accepted * 40, 60)}"),
    }


def job(runs: str, result: str = "error") -> World:
    return one("jobs_runs_total", f'name="snapshot",result="{result}"', runs)


def pool(in_use: str, waited: str = "0x0", exhausted: str = "0x0") -> World:
    """Values of a pool of ten connections: those in use, the seconds waited and the callers without one."""
    return {
        **one("pool_connections", 'pool="main",state="in_use"', in_use),
        **one("pool_limit", 'pool="main"', flat(10, 60)),
        **one("pool_wait_seconds_sum", 'pool="main"', waited),
        **one("pool_exhausted_total", 'pool="main"', exhausted),
    }


def succeeded(values: str) -> World:
    return one("jobs_last_success_timestamp_seconds", 'name="snapshot"', values)


def stream(name: str, values: str) -> World:
    return one(f"redis_stream_{name}", 'stream="events",group="lb"', values)


def spans(reason: str, values: str) -> World:
    return one("trace_spans_dropped_total", f'reason="{reason}"', values)


def telemetry(reason: str, values: str) -> World:
    return one("otlp_dropped_total", f'signal="logs",reason="{reason}"', values)


def probe(name: str, values: str) -> World:
    return one("probe_up", f'name="{name}"', values)


def overflow(values: str) -> World:
    return one("metrics_overflow_total", 'family="http_requests_total",cause="limit"', values)


def of_budget(window: str, percent: float, of: str = "failed") -> str:
    allowed = "99.9 % allows 0.1 %" if of == "failed" else "99 % allows 1 %"
    return f"Over the last {window}, {percent:g}% of the requests to divan {of}. The objective of {allowed}."


SLOW = "took longer than 400 ms"
NO_TARGET = (
    "For 5 minutes, Prometheus has had no target for the job divan, or could not scrape any of them. While this"
    " alert fires, no other alert of this service can fire."
)
NO_CONNECTION = (
    "For 5 minutes, callers of divan got no connection from the pool main, or waited for one while at least 90 % of its"
    " connections were in use."
)

TRAFFIC = [
    Story(
        "HighErrorRate",
        share(6, 21, 30),
        quiet=8,
        fires=15,
        resolved=30,
        says="Over the last 5 minutes, 6% of the requests to divan had a status of 500 or above.",
        # Just below 5 %; and low traffic, in which all 9 requests of 10 minutes fail.
        below=(share(4.9, 60, 1), traffic(flat(0, 61), grows(0, 0.9, 61))),
    ),
    Story(
        "ApiLatencyP95High",
        slow_share(10, 26, 30),
        quiet=12,
        fires=20,
        resolved=34,
        says="Over the last 5 minutes, the 95th percentile of the request latency of divan is 450ms.",
        # All of the 9 requests in 15 minutes are slow.
        below=(slow_share(4.9, 60, 1), latency(flat(0, 61), grows(0, 0.6, 61))),
    ),
    Story(
        "SocketClientDrop",
        clients("100+0x20 40+0x30"),
        quiet=20,
        fires=23,
        resolved=28,
        says=(
            "60% of the Socket.IO clients that were connected to divan 5 minutes ago are no longer connected. No"
            " process started or drained in the last 10 minutes."
        ),
        # Exactly half of the clients; and all clients of a service with few.
        below=(clients("100+0x20 50+0x40"), clients("19+0x20 0+0x40")),
    ),
    Story(
        "SocketRefusals",
        refusals(20, 80),
        quiet=10,
        fires=25,
        resolved=70,
        says=(
            "Over the last 10 minutes, divan refused or dropped 20% of the requests, packets and events of its"
            " Socket.IO clients."
        ),
        # A tenth of them; and nearly all that a quiet service gets.
        below=(refusals(10, 90), refusals(4, 0.1)),
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
        # A failure every half hour; then a successful request every minute.
        traffic(f"{flat(0, 191)} {grows(1, 1, 40)}", each(30, 6, 80)),
        quiet=140,
        fires=190,
        resolved=225,
        says="Over the last 6 hours, 100% of the requests to divan failed. Traffic is below one request in 10 seconds.",
        # 4 failures; 5 failures of 10 requests; and a service with more traffic.
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
            "For 5 minutes, scrapes of a:1 of divan have failed. Scrapes of other instances succeed."
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
            "For 10 minutes, Prometheus has scraped a:1 of divan without finding divan_obs_build_info. Alerts and"
            " dashboards do not cover this instance."
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
            "For 5 minutes, /health/ready of a:1 of divan has failed. Load balancers do not send it requests."
        ),
        # Too short; a failed check that is not critical; and a process that drains.
        below=(
            one("health_ready", "", "1+0x5 0+0x4 1+0x50"),
            {**probe("s3", "0+0x60"), **one("health_ready", "", "1+0x60")},
            {**one("health_ready", "", "0+0x60"), **one("draining", "", "1+0x60")},
        ),
        labels=INSTANCE,
    ),
    Story("RedisDown", one("redis_up", "", "1+0x5 0+0x5 1+0x20"), 7, 9, 13,
          "For 2 minutes, the health check of Redis has failed on at least one instance of divan.",
          (one("redis_up", "", "1+0x5 0+0x1 1+0x50"),)),
    Story("PostgresDown", one("postgres_up", "", "1+0x5 0+0x5 1+0x20"), 7, 9, 13,
          "For 2 minutes, the health check of PostgreSQL has failed on at least one instance of divan.",
          (one("postgres_up", "", "1+0x5 0+0x1 1+0x50"),)),
    Story(
        "EventLoopStalls",
        one("event_loop_stalls_total", "", f"{grows(0, 1, 17)} {flat(16, 20)}"),
        quiet=8,
        fires=15,
        resolved=26,
        says=(
            "Code blocked the event loop of a:1 of divan 10 times in the last 10 minutes. While it is blocked, every"
            " request of that process waits."
        ),
        below=(one("event_loop_stalls_total", "", grows(0, 0.4, 61)),),
        labels=INSTANCE,
    ),
    Story(
        "PoolExhausted",
        # A caller in a minute gets no connection.
        pool(flat(10, 60), exhausted=f"{grows(0, 1, 17)} {flat(16, 40)}"),
        quiet=8,
        fires=15,
        resolved=26,
        says=NO_CONNECTION,
        below=(pool(flat(10, 61), exhausted=grows(0, 0.4, 61)),),
        labels={"pool": "main"},
    ),
    Story(
        "PoolExhausted",
        # Two callers wait at any time.
        pool(f"{flat(9, 20)} {flat(2, 40)}", waited=grows(0, 120, 60)),
        quiet=4,
        fires=12,
        resolved=22,
        says=NO_CONNECTION,
        # Half a caller waits; and the wait is for new connections of a pool with room.
        below=(pool(flat(10, 61), waited=grows(0, 30, 61)), pool(flat(8, 61), waited=grows(0, 120, 61))),
        labels={"pool": "main"},
    ),
]  # fmt: skip

WORK = [
    Story("JobFailed", job("0+0x5 1+0x60"), 4, 7, 40,
          "Failed runs of the job snapshot of divan in the last 15 minutes: 1.",
          (job(grows(0, 1, 61), "cancelled"), job(grows(0, 1, 61), "ok"), job(flat(7, 61))),
          labels={"name": "snapshot"}),
    # 25 hours are 1500 minutes.
    Story(
        "JobNotRun",
        succeeded(f"60+0x304 {flat(91_200, 20)}"),
        quiet=1495,
        fires=1515,
        resolved=1530,
        says="The job snapshot of divan last succeeded 1d 1h 14m 0s ago. It must succeed at least once in 25h.",
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
        # The clock of promtool begins at 0, so the age of a success that never happened is the time of the test.
        says="The job snapshot of divan last succeeded 1d 1h 15m 0s ago. It must succeed at least once in 25h.",
        # A job that has existed for less than a day; and a removed job.
        below=(succeeded("0+0x290"), succeeded("6000+0x100 _x250")),
        below_for=1600,
        labels={"name": "snapshot"},
        step=5,
    ),
    Story("StreamLagGrowing", stream("lag", "101+10x25 0+0x30"), 12, 20, 30,
          "301 entries of the stream events are not delivered to the group lb yet. Their number has grown for 15"
          " minutes.",
          (stream("lag", "0+1x99"), stream("lag", flat(500, 61)), stream("lag", "0+100x8 800-100x7 5+0x50")),
          labels=GROUP),
    Story("StreamPendingTooLong", stream("oldest_pending_seconds", "0+60x14 0+0x20"), 9, 12, 17,
          "The oldest pending entry of the stream events was delivered to the group lb 12m 0s ago and is not"
          " acknowledged.",
          (stream("oldest_pending_seconds", flat(300, 61)), stream("oldest_pending_seconds", "0+60x9 0+0x50")),
          labels=GROUP),
]  # fmt: skip

ITSELF = [
    Story("LogLinesDropped", one("log_records_dropped_total", 'level="INFO"', "0+0x5 3+0x40"), 4, 7, 20,
          "Log lines of divan dropped in the last 10 minutes because the queue was full: 3.",
          (one("log_records_dropped_total", 'level="INFO"', flat(7, 61)),)),
    Story("SpansDropped", spans("queue_full", f"{grows(0, 10, 12)} {flat(110, 30)}"), 5, 10, 25,
          "Spans of divan dropped in the last 10 minutes (reason: queue_full): 100.",
          (spans("shutdown", grows(0, 10, 61)), spans("queue_full", flat(7, 61))), labels={"reason": "queue_full"}),
    Story("TraceExportStopped", spans("circuit_open", f"{grows(0, 10, 12)} {flat(110, 30)}"), 5, 10, 25,
          "The collector does not accept spans from a:1 of divan, so the circuit breaker of the exporter is open. Spans"
          " dropped in the last 10 minutes: 100.",
          (spans("shutdown", grows(0, 10, 61)), spans("circuit_open", flat(7, 61))), labels=INSTANCE),
    Story("TelemetryDropped", telemetry("circuit_open", f"{grows(0, 10, 12)} {flat(110, 30)}"), 5, 10, 25,
          "Items of the signal logs of divan dropped in the last 10 minutes (reason: circuit_open): 100.",
          (telemetry("shutdown", grows(0, 10, 61)), telemetry("queue_full", flat(7, 61))),
          labels={"signal": "logs", "reason": "circuit_open"}),
    Story("SeriesOverflow", overflow(f"{grows(0, 1, 16)} {flat(15, 30)}"), 5, 15, 35,
          "Values of http_requests_total in divan counted as __overflow__ in the last 15 minutes (cause: limit): 15.",
          (overflow(flat(7, 61)),), labels={"family": "http_requests_total", "cause": "limit"}),
    Story("RedactionCanaryFailed", probe("redaction", "1+0x5 0+0x5 1+0x20"), 5, 7, 13,
          "The redaction self-test of a:1 of divan failed: a fake secret passed through a sink, or the sink failed."
          " Real secrets may be in its logs, traces or metrics.",
          (probe("redaction", flat(1, 61)), probe("redis", flat(0, 61))), labels=INSTANCE),
]  # fmt: skip

STORIES = [*TRAFFIC, *OBJECTIVES, *SERVICE, *WORK, *ITSELF]

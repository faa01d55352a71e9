"""A run with load and failures, scraped by a real Prometheus with the exported configuration and rules."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.parameters import Parameters
from examples.divan.events import STREAM
from examples.divan.storage import redis_of
from tests.ops_assets.board_queries import LEAST_S, Query, faster_rules, queries
from tests.ops_assets.campus import PAIRS, TOKEN, Backend, Campus
from tests.patience import PATIENCE_S
from tests.servers.otlp import OtlpReceiver
from tests.servers.postgres import PostgresServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.redis import RedisServer

# For alerts that need a past of their own, on a machine that is as busy as it likes.
FAILURE_S = 8 * PATIENCE_S

Alert = tuple[str, str]
BURNS = ("1h", "6h", "1d", "3d")
# Redis is stopped (every run of the job fails, the service is not ready), a route answers 500, one blocks the loop, and
# one takes longer than a request may.
MUST_FIRE: set[Alert] = {
    *((name, window) for name in ("ErrorBudgetBurn", "LatencyBudgetBurn") for window in BURNS),
    *((name, "") for name in ("HighErrorRate", "ApiLatencyP95High", "ServiceUnready", "RedisDown")),
    *((name, "") for name in ("EventLoopStalls", "JobFailed")),
}
# What a slow machine raises before anything fails.
OF_SLOWNESS: set[Alert] = {
    *(("LatencyBudgetBurn", window) for window in BURNS),
    *((name, "") for name in ("ApiLatencyP95High", "EventLoopStalls")),
}
# A process that gets no processor does not count its stalls: nothing in it blocks.
UNLESS_STARVED: set[Alert] = {("EventLoopStalls", "")}
# What is over once Redis is back.
RESOLVED: set[Alert] = {("RedisDown", ""), ("ServiceUnready", "")}

# Board, panel, number of the query: why it has no data in such a run.
NO_DATA = {
    ("monitoring-itself", "Which metrics have too many series?", 0): "No metric has more series than it may.",
    ("monitoring-itself", "Do log lines and metrics reach the collector?", 0): "The collector accepts everything.",
}
# And why it has none but on a busy machine.
DATA_IF_BUSY = {
    (
        "monitoring-itself",
        "Are log lines dropped?",
        0,
    ): "Series begin with a loss; the queue is full on a busy machine only.",
}


class Prometheus(PrometheusServer):
    """A Prometheus with the exported configuration and rules, except for address, token and intervals."""

    def __init__(self, target: str, parameters: Parameters) -> None:
        super().__init__(target, TOKEN)
        self.files = exported(parameters)
        self.lag = f"{parameters.namespace}_redis_stream_lag"
        self.dropped_spans = f"sum({parameters.namespace}_trace_spans_dropped_total)"
        self.ready = f"{parameters.namespace}_health_ready"
        (self.directory / "token").write_text(TOKEN)
        config = yaml.safe_load(self.files["prometheus/prometheus.yml"])
        config["global"] = dict.fromkeys(config["global"], "1s")
        del config["alerting"]
        [scrape] = config["scrape_configs"]
        scrape["authorization"]["credentials_file"] = str(self.directory / "token")
        scrape["static_configs"] = [{"targets": [target]}]
        (self.directory / "prometheus.yml").write_text(json.dumps(config))
        (self.directory / "rules-phase8.yml").write_text(faster_rules(self.files["prometheus/rules-phase8.yml"]))

    def until(self, happened: Callable[[], bool], patience_s: float = 2 * PATIENCE_S) -> None:
        end = time.monotonic() + patience_s
        while not happened():
            if time.monotonic() > end:
                raise TimeoutError(f"firing: {self.firing()}")
            time.sleep(0.1)

    def firing(self) -> set[Alert]:
        alerts = self.data("alerts")["alerts"]
        return {named(alert["labels"]) for alert in alerts if alert["state"] == "firing"}

    def ever_firing(self, start: float, end: float) -> set[Alert]:
        found = self.data("query_range", query='ALERTS{alertstate="firing"}', start=start, end=end, step=1)
        return {named(series["metric"]) for series in found["result"]}

    def answers(self, query: Query, start: float, end: float) -> Sequence[Mapping[str, Any]]:
        """Return each series with its `values` over the range, or with its `value` at the end."""
        expression = query.over(end - start)
        if query.instant:
            found = self.data("query", query=expression, time=end)
        else:
            found = self.data("query_range", query=expression, start=start, end=end, step=1)
        result: Sequence[Mapping[str, Any]] = found["result"]
        return result


def named(labels: Mapping[str, str]) -> Alert:
    return labels["alertname"], labels.get("window", "")


@dataclass(frozen=True)
class Run:
    """The data of a Prometheus; `failing` are the alerts that fired during the failures."""

    prometheus: Prometheus
    start: float
    end: float
    failing: set[Alert]
    answers: Mapping[Query, Sequence[Mapping[str, Any]]]
    exported: OtlpReceiver

    def values(self, query: Query) -> list[str]:
        """Return all values of all series, as they are written."""
        points = (point for one in self.answers[query] for point in one.get("values") or [one["value"]])
        return [value for _, value in points]


@contextmanager
def running(parameters: Parameters, redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[Run]:
    """Run two workers through load and failures; Prometheus can be queried until the end."""
    with ExitStack() as stack:
        receiver = stack.enter_context(OtlpReceiver())
        backend = Backend(
            OBS_NAMESPACE=parameters.namespace,
            OBS_METRICS_WAIT_TIMES="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            DATABASE_URL=postgres_server.new_database(),
            REDIS_URL=redis_server.url,
        )
        stack.enter_context(closing(backend))
        # First, as it takes 5 s to find its target.
        prometheus = stack.enter_context(closing(Prometheus(f"{backend.host}:{backend.port}", parameters))).start()
        backend.start()
        yield asyncio.run(_lived_through(backend, prometheus, redis_server, receiver))


async def _lived_through(
    backend: Backend, prometheus: Prometheus, redis_server: RedisServer, receiver: OtlpReceiver
) -> Run:
    # At this pace the backend was absent until it had started.
    quiet = {*MUST_FIRE, ("ServiceAbsent", "")}
    await asyncio.to_thread(prometheus.until, lambda: prometheus.ask("up") == [1] and not prometheus.firing() & quiet)
    start = time.time()
    async with Campus(backend) as campus:
        await _load(campus, prometheus, redis_server.url)
        # A busy machine raises some of them under load already; what it does without any of that has to end.
        await asyncio.to_thread(prometheus.until, lambda: not prometheus.firing() & (MUST_FIRE - OF_SLOWNESS))
        with redis_server.down():
            failing = await _failure(campus, prometheus)
        # The last room message has made the stream anew, and its lag is known again.
        await campus.live(0)
        await asyncio.to_thread(prometheus.wait_for, f"min({prometheus.ready}) and on () {prometheus.lag}", [1])
        await asyncio.to_thread(prometheus.until, lambda: not prometheus.firing() & RESOLVED)
        await _complete(campus, prometheus, start)
        end = time.time()
    answers = {query: prometheus.answers(query, start, end) for query in queries(prometheus.files)}
    return Run(prometheus, start, end, failing, answers, receiver)


async def _load(campus: Campus, prometheus: Prometheus, redis_url: str) -> None:
    """Simulate all users while the consumer falls behind and catches up."""
    async with _repeated(*(partial(campus.live, number) for number in range(PAIRS)), campus.meet, campus.browse):
        await _fall_behind(redis_url, prometheus)


async def _fall_behind(redis_url: str, prometheus: Prometheus) -> None:
    """Add so many events at once that Prometheus sees the consumer catch up."""
    redis, waiting = redis_of({"REDIS_URL": redis_url})
    event = json.dumps({"name": "ada", "at_ms": 1})
    seen, count = f"count_over_time((deriv({prometheus.lag}[{LEAST_S}s]) < 0)[1m:1s])", 20_000
    try:
        while not await asyncio.to_thread(prometheus.ask, seen):
            async with redis.pipeline(transaction=False) as pipeline:
                for _ in range(count):
                    pipeline.xadd(STREAM, {"event": event})
                await pipeline.execute()
            # Until it has caught up, seen or not.
            with suppress(TimeoutError):
                await asyncio.to_thread(prometheus.until, lambda: bool(prometheus.ask(seen)), 2 * LEAST_S)
            count *= 2
    finally:
        await redis.aclose()
        await waiting.aclose()


async def _failure(campus: Campus, prometheus: Prometheus) -> set[Alert]:
    """Return the alerts that fire, until all expected alerts have fired."""
    firing: set[Alert] = set()
    async with _repeated(partial(campus.live, 0), campus.block, campus.freeze, *[campus.fail] * 8, *[campus.wait] * 10):
        for expected, patience_s in ((MUST_FIRE - UNLESS_STARVED, FAILURE_S), (MUST_FIRE, PATIENCE_S)):
            end = time.monotonic() + patience_s
            while not firing >= expected and time.monotonic() < end:
                await asyncio.sleep(0.5)
                firing |= await asyncio.to_thread(prometheus.firing)
    return firing


async def _complete(campus: Campus, prometheus: Prometheus, start: float) -> None:
    """Continue until every panel has data, up to a limit: a busy machine may have done little so far."""
    missing = [query for query in queries(prometheus.files) if query.key not in {*NO_DATA, *DATA_IF_BUSY}]
    patience_end = time.monotonic() + 2 * PATIENCE_S

    def still_missing() -> list[Query]:
        return [query for query in missing if not prometheus.answers(query, start, time.time())]

    missing = await asyncio.to_thread(still_missing)
    if missing:
        async with _repeated(partial(campus.live, 0), campus.meet, campus.browse, campus.block, campus.fail):
            while missing and time.monotonic() < patience_end:
                await asyncio.sleep(0.5)
                missing = await asyncio.to_thread(still_missing)


@asynccontextmanager
async def _repeated(*deeds: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Repeat each of these during the block."""
    done = asyncio.Event()

    async def repeat(deed: Callable[[], Awaitable[None]]) -> None:
        while not done.is_set():
            await deed()
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.3)

    async with asyncio.TaskGroup() as group:
        for deed in deeds:
            group.create_task(repeat(deed))
        try:
            yield
        finally:
            done.set()


__all__ = ["DATA_IF_BUSY", "MUST_FIRE", "NO_DATA", "OF_SLOWNESS", "UNLESS_STARVED", "Alert", "Run", "running"]

"""
Microseconds that a request and a count cost, and milliseconds that a page does, where several workers serve as one.

    python -m benchmarks.workers --rounds 200

Requests: what `MetricsMiddleware` adds to one, as metrics.py measures it, alone and with a ledger. Counts: an increment
of a counter and an observation of a histogram with 15 buckets, of a label set that is at hand: alone (numbers of the
process), ours (numbers of a ledger), and prometheus_client's multiprocess mode, with values mapped into memory too.
Pages: four workers with a thousand label sets each, all of them in common, of a counter (1,000 series) or of that
histogram (17,000); ours as one of the workers serves it, and prometheus_client's `generate_latest` over its
`MultiProcessCollector`. Folding: how long it takes to fold one of them after its death, which is done once. Each is
processor time of the thread; a round has each once, in a new order.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import click
import uvloop
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from benchmarks import metrics as requests
from benchmarks.measuring import heading, machine, orders, spread
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.family import DURATION_BUCKETS_S
from divan_obs_asgi.metrics.multiprocess.archive import WorkerDirectory

WORKERS = 4
LABEL_SETS = 1000
_BURST = 1000
PACKAGES = ("prometheus_client",)


@contextmanager
def their_worker(directory: Path, number: int) -> Iterator[None]:
    """Have prometheus_client's metrics be of a worker with that process id."""
    mode = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
    with (
        mock.patch.object(values, "ValueClass", mode),
        mock.patch.dict("os.environ", {"PROMETHEUS_MULTIPROC_DIR": str(directory)}),
    ):
        yield


def theirs(directory: Path, number: int) -> tuple[Counter, Histogram]:
    with their_worker(directory, number):
        counter = Counter("work_total", "Work.", ["queue", "kind"], registry=None)
        histogram = Histogram("took", "Took.", ["queue", "kind"], registry=None, buckets=DURATION_BUCKETS_S)
        return counter, histogram


def ours(directory: Path | None) -> tuple[Metrics, Counter, Histogram]:
    metrics = Metrics(directory=directory, max_series=2 * LABEL_SETS)
    counter = metrics.counter("work_total", "Work.", ["queue", "kind"])
    return metrics, counter, metrics.histogram("took", "Took.", ["queue", "kind"])


def counts(directory: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed, a thousand times each."""
    _, counter, histogram = ours(None)
    _, shared_counter, shared_histogram = ours(directory)
    with their_worker(directory, 1):
        their_counter, their_histogram = theirs(directory, 1)
        their_counter.labels("a", "b").inc()
        their_histogram.labels("a", "b").observe(1)
    found: dict[str, Callable[[], object]] = {}
    for name, one, other in (
        ("alone", counter, histogram),
        ("ours, workers", shared_counter, shared_histogram),
        ("prometheus_client, workers", their_counter, their_histogram),
    ):
        child, bucket = one.labels("a", "b"), other.labels("a", "b")
        found[f"{name}: inc"] = lambda inc=child.inc: [inc() for _ in range(_BURST)]  # type: ignore[misc]
        found[f"{name}: observe"] = lambda observe=bucket.observe: [observe(0.13) for _ in range(_BURST)]  # type: ignore[misc]
    return found


def requests_alone_and_shared(directory: Path, rounds: int) -> list[str]:
    """Return, as lines of a table, what counting adds to a request."""
    variants = {
        "alone": requests.counting(requests.OpenRecord),
        "ours, workers": requests.counting(requests.OpenRecord, PROMETHEUS_MULTIPROC_DIR=str(directory)),
    }
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return requests.report(runner.run(requests.measured(variants, rounds, 200)))


def pages(directory: Path, kind: str) -> dict[str, Callable[[], object]]:
    """Return what makes a page of label sets of this kind."""
    for folder in ("ours", "theirs"):
        (directory / folder).mkdir(parents=True)
    workers = []
    for number in range(WORKERS):
        metrics, counter, histogram = ours(directory / "ours")
        workers.append(metrics)
        with their_worker(directory / "theirs", number):
            their_counter, their_histogram = theirs(directory / "theirs", number)
            for queue in range(LABEL_SETS):
                labels = (f"queue {queue}", "slow")
                if kind == "counter":
                    counter.labels(*labels).inc(queue)
                    their_counter.labels(*labels).inc(queue)
                else:
                    histogram.labels(*labels).observe(queue / LABEL_SETS)
                    their_histogram.labels(*labels).observe(queue / LABEL_SETS)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory / "theirs"))  # type: ignore[no-untyped-call]
    page, expected = workers[0].render(), generate_latest(registry)
    assert sum(b'"queue' in line for line in page.splitlines()) == sum(
        b'"queue' in line for line in expected.splitlines()
    )
    return {
        f"{kind}: ours": workers[0].render,
        f"{kind}: prometheus_client": lambda: generate_latest(registry),
    } | {f"{kind}: kept alive": lambda: workers}


def folding_ms(directory: Path) -> float:
    """Return how long it takes to fold a worker with a thousand label sets of a histogram."""
    directory.mkdir()
    metrics, _, histogram = ours(directory)
    for queue in range(LABEL_SETS):
        histogram.labels(f"queue {queue}", "slow").observe(queue)
    assert metrics.workers is not None
    metrics.workers.ledger.close()
    begun = time.thread_time()
    WorkerDirectory(directory, "divan", 2 * LABEL_SETS).archive_dead(_fail)
    return (time.thread_time() - begun) * 1e3


def _fail(error: Exception) -> None:
    raise error


def measured(ways: dict[str, Callable[[], object]], rounds: int) -> list[dict[str, Any]]:
    """Return seconds of processor time of each way."""
    names = list(ways)
    took: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()
    for order, does_count in orders(len(names), rounds):
        for index in order:
            begun = time.thread_time()
            ways[names[index]]()
            if does_count:
                took[names[index]].append(time.thread_time() - begun)
    return [{"name": name, "median": statistics.median(took[name]), "spread": spread(took[name])} for name in names]


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=200, show_default=True, type=click.IntRange(1))
def main(rounds: int) -> None:
    """Measure, and print."""
    click.echo("\n".join(heading(machine(PACKAGES), f"{rounds} rounds of {_BURST} counts, {rounds // 10} pages")))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "requests").mkdir()
        click.echo("\n" + "\n".join(requests_alone_and_shared(directory / "requests", rounds)))
        click.echo(f"\n{'µs of a count':40} {'median':>8} {'spread':>8}")
        for row in measured(counts(directory), rounds):
            click.echo(f"{row['name']:40} {row['median'] * 1e6 / _BURST:8.3f} {row['spread'] * 1e6 / _BURST:8.3f}")
        click.echo(f"\n{f'ms of a page, {WORKERS} workers':40} {'median':>8} {'spread':>8}")
        for kind in ("counter", "histogram"):
            for row in measured(pages(directory / kind, kind), max(2, rounds // 10)):
                if "kept" not in row["name"]:
                    click.echo(f"{row['name']:40} {row['median'] * 1e3:8.1f} {row['spread'] * 1e3:8.1f}")
        click.echo(f"{'folding a dead worker, histogram':40} {folding_ms(directory / 'folding'):8.1f}")


if __name__ == "__main__":
    main()

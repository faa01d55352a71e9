"""
Where the microseconds of a request go: this stack, one part after the other.

    python -m benchmarks.pieces
    python -m benchmarks.pieces --docs

Each piece has the parts of the pieces before it. In process: processor time of all threads, as in benchmarks.overhead.
Served: by uvicorn, as in benchmarks.served: processor time of the server's process from /proc, how much of it the
event loop's thread and the others took, and collections of the garbage collector in 100,000 requests. A round times
each piece once, in a new order; the microseconds of a piece are the median of what it adds to the one before.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
from dataclasses import dataclass
from typing import Any, ClassVar

import click
import orjson
import uvloop
from starlette.types import Scope

from benchmarks.inprocess import Mode, Variant, bare
from benchmarks.measuring import heading, machine
from benchmarks.ours import ours
from benchmarks.overhead import timed
from benchmarks.served.cases import DISCARDED, LIVE, Case
from benchmarks.served.documents import ROOT, between
from benchmarks.served.figures import rows
from benchmarks.served.rounds import measured
from divan_obs_asgi import RequestRecord
from divan_obs_asgi.middlewares import (
    AccessLogMiddleware,
    ContextMiddleware,
    MetricsMiddleware,
    OpsMiddleware,
    QuietPathsMiddleware,
    RedactionMiddleware,
    RequestIdMiddleware,
    TracingMiddleware,
)
from divan_obs_asgi.middlewares.base import RecordMiddleware

PACKAGES = ("starlette", "uvicorn", "httptools", "uvloop", "opentelemetry-sdk", "prometheus_client", "orjson")


class Nothing(RecordMiddleware):
    """Has the record opened, and does nothing with it."""

    component: ClassVar[str] = "benchmark"

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        pass


@dataclass(frozen=True)
class Piece:
    """What is added, and the middlewares that there are then, outermost first."""

    name: str
    middlewares: tuple[Any, ...] = ()
    mode: Mode = "off"
    spans: str = ""


_ALL = (
    *(ContextMiddleware, RequestIdMiddleware, RedactionMiddleware, TracingMiddleware, MetricsMiddleware),
    *(AccessLogMiddleware, QuietPathsMiddleware, OpsMiddleware),
)
PIECES = (
    Piece("nothing"),
    Piece("context", (ContextMiddleware,)),
    Piece("record", (ContextMiddleware, Nothing)),
    Piece("request id", _ALL[:2]),
    Piece("redaction view", _ALL[:3]),
    Piece("metrics", (*_ALL[:3], MetricsMiddleware)),
    Piece("access line", (*_ALL[:3], *_ALL[4:6])),
    Piece("ops paths", (*_ALL[:3], *_ALL[4:])),
    Piece("span, 1 of 10 recorded", _ALL, "0.1", DISCARDED),
    Piece("every span recorded", _ALL, "on", DISCARDED),
    Piece("every span exported (OTLP)", _ALL, "on", LIVE),
)


def piece(name: str, collector: str = "") -> Variant:
    """Return the application with everything up to a piece."""
    found = next(one for one in PIECES if one.name == name)
    return ours(found.mode, collector, found.middlewares) if found.middlewares else bare()


async def in_process(rounds: int, requests: int) -> list[list[float]]:
    """Return the microseconds of each piece, round by round; spans that are exported are left out."""
    variants = [piece(one.name) for one in PIECES if one.spans != LIVE]
    gc.collect()
    gc.freeze()
    return await timed(variants, rounds, requests)


def served(rounds: int, seconds: float, server: str) -> list[dict[str, Any]]:
    """Return the figures of each piece behind a server."""
    cases = [
        Case(server, "bare", "off") if not one.middlewares else Case(server, one.name, one.mode, one.spans)
        for one in PIECES
    ]
    found = measured(cases, rounds, seconds, 0, lambda line: click.echo(line, err=True))
    steps = [
        statistics.median(
            after["cpu_us"] - before["cpu_us"] for after, before in zip(found[case], found[previous], strict=True)
        )
        for previous, case in itertools.pairwise(cases)
    ]
    return [{**one, "step_us": step} for one, step in zip(rows(found), [0.0, *steps], strict=True)]


def result_of(rounds: int, requests: int, served_rounds: int, seconds: float, server: str) -> dict[str, Any]:
    """Measure in process and behind a server."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bursts = runner.run(in_process(rounds, requests))
    gc.unfreeze()
    steps = [
        statistics.median(after - before for after, before in zip(later, earlier, strict=True))
        for earlier, later in itertools.pairwise(bursts)
    ]
    behind = served(served_rounds, seconds, server) if served_rounds else []
    pieces = []
    for number, one in enumerate(PIECES):
        within = number < len(bursts)
        pieces.append(
            {
                "name": one.name,
                "process_us": statistics.median(bursts[number]) if within else None,
                "process_step_us": (steps[number - 1] if number else 0.0) if within else None,
                "served": behind[number] if behind else None,
            }
        )
    return {
        "machine": machine(PACKAGES),
        "what": f"{rounds} rounds of {requests} requests in process; "
        f"{server}, {served_rounds} rounds of {seconds:.0f} s",
        "pieces": pieces,
    }


def cells(one: dict[str, Any]) -> list[str]:
    """Return the texts of one row."""
    found = [one["name"], *(_figure(one[name], 1) for name in ("process_us", "process_step_us"))]
    behind = one["served"]
    if behind is None:
        return found
    threads = behind["threads_us"]
    loop = threads.get("MainThread", 0.0)
    return [
        *found,
        *(_figure(behind[name], 0) for name in ("cpu_us", "step_us")),
        *(_figure(us, 0) for us in (loop, sum(threads.values()) - loop)),
        "/".join(f"{count:.0f}" for count in behind["collections"]),
        _figure(behind["garbage"], 1),
    ]


_HEADS = (
    "piece",
    "in process, µs",
    "added",
    "served, µs",
    "added",
    "its event loop",
    "other threads",
    "gc 0/1/2",
    "garbage",
)


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def markdown(result: dict[str, Any]) -> str:
    """Return the result as Markdown, readable in a terminal too."""
    table = [cells(one) for one in result["pieces"]]
    heads = _HEADS[: len(table[0])]
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    lines = [*heading(result["machine"], result["what"]), ""]
    for number, line in enumerate([heads, *table]):
        lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            lines.append("|" + "|".join(["---", *["--:"] * (len(heads) - 1)]) + "|")
    return "\n".join(lines)


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=100, show_default=True, type=click.IntRange(1), help="In process.")
@click.option("--requests", default=200, show_default=True, type=click.IntRange(1, 500), help="Per round, in process.")
@click.option("--served-rounds", default=3, show_default=True, type=click.IntRange(0), help="0: in process only.")
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(1), help="Per round, served.")
@click.option("--server", default="uvicorn", show_default=True, type=click.Choice(["uvicorn", "granian"]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--docs", is_flag=True, help="Write the table into docs/performance.md.")
def main(
    rounds: int, requests: int, served_rounds: int, seconds: float, server: str, as_json: bool, docs: bool
) -> None:
    """Measure, and print."""
    result = result_of(rounds, requests, served_rounds, seconds, server)
    if docs:
        page = ROOT / "docs" / "performance.md"
        page.write_text(between(page.read_text(), "pieces", markdown(result)))
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2) if as_json else markdown(result))


if __name__ == "__main__":
    main()

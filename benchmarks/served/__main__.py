"""
What observing costs a served request: throughput, processor time, latency, pauses, memory.

    python -m benchmarks.served --json > result.json
    python -m benchmarks.served --from result.json --docs

Servers: uvicorn (uvloop, httptools) and granian, one process each, kept on one core. Variants, the same as in process
(benchmarks.overhead): bare; ours; assembled; leanest. Modes of tracing: on (every span), 0.1, off. Recorded spans are
discarded in the process, or sent by OTLP over gRPC to a collector that decodes nothing meanwhile. wrk, with 64
connections, and the collector are on another core; without wrk a slower client in Python takes its place.

In a round each case is served by a new process, in a new order every time, warmed up for a second and measured. Figures
are medians over the rounds; shares and differences are taken from the bare application's figures of the same round.
CPU is user and system time of the server's processes, all threads, by request; `by CPU` is what the bare application
needs of it, as a share, which other load changes less than requests a second. `pause` is the longest time that the
event loop was late for a timer of 5 ms. `gc` is the number of collections by generation in 100,000 requests, and
`garbage` the objects that they freed, for each request. RSS is read after --memory-after requests, in the last round.
The garbage collector is not tuned.
"""

from __future__ import annotations

import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click
import orjson

from benchmarks.measuring import machine
from benchmarks.overhead import PACKAGES
from benchmarks.served import documents, report
from benchmarks.served.cases import MODES, SERVERS, VARIANTS, cases
from benchmarks.served.figures import rows
from benchmarks.served.load import CONNECTIONS, client
from benchmarks.served.plot import svg
from benchmarks.served.rounds import measured


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as with Ctrl-C."""
    raise KeyboardInterrupt


def result_of(
    servers: Sequence[str],
    variants: Sequence[str],
    modes: Sequence[str],
    rounds: int,
    seconds: float,
    memory_after: int,
) -> dict[str, Any]:
    """Measure, and return everything that the report shows."""
    found = measured(
        cases(servers, variants, modes), rounds, seconds, memory_after, lambda line: click.echo(line, err=True)
    )
    versions = [*PACKAGES, "opentelemetry-exporter-otlp-proto-grpc", "grpcio", "httptools", *servers]
    return {
        "machine": machine(versions),
        "client": client(),
        "connections": CONNECTIONS,
        "rounds": rounds,
        "seconds": seconds,
        "others": statistics.median(one["others"] for figures in found.values() for one in figures),
        "rows": rows(found),
        "figures": [{**vars(case), "rounds": figures} for case, figures in found.items()],
    }


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(1), help="For each case in a round.")
@click.option("--servers", multiple=True, type=click.Choice(SERVERS), help="These servers.")
@click.option("--variants", multiple=True, type=click.Choice(VARIANTS), help="These variants, beside the bare one.")
@click.option("--modes", multiple=True, type=click.Choice(MODES), help="These modes of tracing.")
@click.option("--memory-after", default=0, type=click.IntRange(0), help="Requests before memory is read; 0: not read.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the shares into this file (SVG).")
@click.option("--from", "source", type=click.File("rb"), help="Report this result of --json; measure nothing.")
@click.option("--docs", is_flag=True, help="Write table and plot into docs/benchmarks.md and README.md.")
def main(
    rounds: int,
    seconds: float,
    servers: Sequence[str],
    variants: Sequence[str],
    modes: Sequence[str],
    memory_after: int,
    as_json: bool,
    plot: Path | None,
    source: IO[bytes] | None,
    docs: bool,
) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    signal.signal(signal.SIGTERM, interrupt)
    if source is not None:
        result = orjson.loads(source.read())
    else:
        result = result_of(servers or SERVERS, variants or VARIANTS, modes or MODES, rounds, seconds, memory_after)
    if plot is not None:
        plot.write_text(svg(result))
    if docs:
        documents.write(result)
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2) if as_json else report.text(result))


if __name__ == "__main__":
    sys.exit(main())

"""
What the ops console costs: microseconds of a request in process, milliseconds of an answer, megabytes that it keeps.

    python -m benchmarks.console --rounds 200 --requests 1000000

Time: this stack with the console on and off, in one process, interleaved, with sampling at 0.1, as in
benchmarks.overhead. Nobody looks. Memory: so many requests, each with a path and an exception text of its own, a tenth
of them with a field of 100 kB; what tracemalloc finds of the console's modules after each tenth.
"""

from __future__ import annotations

import asyncio
import gc
import io
import statistics
import time
import tracemalloc
from typing import Any

import click
import orjson
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from benchmarks import inprocess
from benchmarks.measuring import heading, machine, orders, spread
from benchmarks.ours import ours
from divan_obs_asgi.testing import converse, http_scope

PACKAGES = ("starlette", "opentelemetry-sdk", "prometheus_client", "orjson", "uvloop")
TOKEN = "q8Zr2vNc5LxT0mWd"
ON = {"OBS_CONSOLE_ENABLED": "true"}
#: Microseconds that the console may add to a request.
TARGET_US = 1.5
#: The share of OBS_CONSOLE_BYTES that the console may take.
TARGET_SHARE = 1.1
_TENTHS = 10
_BIG = "x" * 100_000


async def overhead(rounds: int, requests: int) -> dict[str, float]:
    """Return what a request costs without and with the console, in microseconds."""
    variants = [inprocess.bare(), ours("0.1"), ours("0.1", further=ON)]
    for variant in variants[1:]:
        await inprocess.verify(variant)
    gc.collect()
    gc.freeze()
    took: list[list[float]] = [[], [], []]
    for order, counts in orders(len(variants), rounds):
        for index in order:
            took_us = await inprocess.burst(variants[index], requests)
            if counts:
                took[index].append(took_us)
    gc.unfreeze()
    bare, off, on = took
    return {
        "off_us": statistics.median(off),
        "on_us": statistics.median(on),
        "added_us": statistics.median(one - other for one, other in zip(on, off, strict=True)),
        "ratio": statistics.median(one / other for one, other in zip(on, off, strict=True)),
        "added_to_bare_ratio": statistics.median(
            (one - plain) / (other - plain) for one, other, plain in zip(on, off, bare, strict=True)
        ),
        "spread_us": spread(on),
    }


def failing() -> Starlette:
    """Return an application whose responses, routes and errors are invented by its client."""

    async def answer(request: Request) -> Response:
        word = request.path_params["word"]
        number = int(word.rpartition("-")[2])
        if number % 10 == 0:
            obs.logger("shop").warning("field", extra={"field": _BIG})
        if number % 10 == 1:
            raise LookupError(f"no {word}: {word * 20}")
        return PlainTextResponse("x")

    return Starlette(routes=[Route("/things/{word}", answer)])


async def memory(requests: int, max_bytes: int) -> list[dict[str, float]]:
    """Return the megabytes of the console's modules after each tenth of the requests."""
    flags = {"OBS_ADMIN_TOKEN": TOKEN, "OBS_ENV": "prod", "OBS_CONSOLE_BYTES": str(max_bytes), **ON}
    bundle = obs.Observability.from_env(flags, log_stream=io.BytesIO())
    bundle.log.sink.put = lambda line, level: None  # type: ignore[method-assign]
    stack = obs.build_stack(failing(), bundle)
    bundle.log.install()
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    tracemalloc.start()
    rows = []
    for tenth in range(_TENTHS):
        for number in range(tenth * requests // _TENTHS, (tenth + 1) * requests // _TENTHS):
            await converse(stack, http_scope(f"/things/word-{number}"))
        began = time.perf_counter()
        state = await converse(stack, http_scope("/ops/console/state", headers=headers))
        took_s = time.perf_counter() - began
        assert state.status == 200, state.body
        gc.collect()
        filters = [tracemalloc.Filter(True, "*/divan_obs_asgi/console/*"), tracemalloc.Filter(True, "*/orjson/*")]
        found = tracemalloc.take_snapshot().filter_traces(filters[:1])
        size = sum(one.size for one in found.statistics("filename"))
        traced, _ = tracemalloc.get_traced_memory()
        rows.append(
            {
                "requests": (tenth + 1) * requests // _TENTHS,
                "console_mb": size / 1e6,
                "process_mb": traced / 1e6,
                "state_ms": took_s * 1e3,
                "state_kb": len(state.body) / 1e3,
            }
        )
    tracemalloc.stop()
    return rows


def report(result: dict[str, Any]) -> str:
    """Return the result as text for people."""
    lines = heading(result["machine"], f"medians over {result['rounds']} rounds of {result['burst']} requests")
    cost = result["overhead"]
    lines += [
        "",
        f"a request, console off {cost['off_us']:.2f} us, on {cost['on_us']:.2f} us: {cost['added_us']:+.2f} us,"
        f" ratio {cost['ratio']:.3f}, of what the stack adds {cost['added_to_bare_ratio']:.3f}; target {TARGET_US} us",
        "",
        f"{'requests':>10} {'console MB':>11} {'process MB':>11} {'state ms':>9} {'state kB':>9}",
    ]
    lines += [
        f"{row['requests']:>10} {row['console_mb']:>11.2f} {row['process_mb']:>11.2f} {row['state_ms']:>9.1f}"
        f" {row['state_kb']:>9.1f}"
        for row in result["memory"]
    ]
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--rounds", default=200, show_default=True)
@click.option("--burst", default=500, show_default=True, help="Requests of one timing.")
@click.option("--requests", default=100_000, show_default=True, help="Requests of the memory run.")
@click.option("--bytes", "max_bytes", default=8 * 1024 * 1024, show_default=True, help="OBS_CONSOLE_BYTES.")
@click.option("--json", "as_json", is_flag=True)
def main(rounds: int, burst: int, requests: int, max_bytes: int, as_json: bool) -> None:
    async def run() -> dict[str, Any]:
        return {
            "machine": machine(PACKAGES),
            "rounds": rounds,
            "burst": burst,
            "overhead": await overhead(rounds, burst),
            "memory": await memory(requests, max_bytes) if requests else [],
        }

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run())
    click.echo(orjson.dumps(result).decode() if as_json else report(result))
    worst = max((row["console_mb"] for row in result["memory"]), default=0.0)
    if result["overhead"]["added_us"] > TARGET_US or worst > TARGET_SHARE * max_bytes / 1e6:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

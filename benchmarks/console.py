"""
What the ops console costs: microseconds of a request in process, milliseconds of an answer, megabytes that it keeps.

    python -m benchmarks.console --requests 1000000
    python -m benchmarks.console --rounds 0 --pages 0 --requests 20000

Time: this stack with the console on and off, in one process, interleaved, with sampling at 0.1, as in
benchmarks.overhead. Nobody looks. Each variant is there twice, because the order in which they are built matters more
than what the console costs.

Pages: five pages that ask every 2 s, and eight workers, whose ring files are full and get new requests every second.
One request in a hundred fails. The share of a core is what the answering worker uses for the pages.

Memory: so many requests, each with a path of its own; a tenth of them raises an exception with a text of its own, and
one in a thousand logs and binds a field of 1 MB. What tracemalloc finds after each tenth: of the
console's own modules, what a service with the console holds beyond one without it, and the whole process. It fails
where the second one is more than OBS_CONSOLE_BYTES and a tenth.
"""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import statistics
import time
import tracemalloc
from tempfile import TemporaryDirectory
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
from divan_obs_asgi.console.install import installed
from divan_obs_asgi.testing import converse, http_scope

PACKAGES = ("starlette", "opentelemetry-sdk", "prometheus_client", "orjson", "uvloop")
TOKEN = "q8Zr2vNc5LxT0mWd"
ON = {"OBS_CONSOLE_ENABLED": "true"}
#: Microseconds that the console may add to a request.
TARGET_US = 1.5
#: The share of OBS_CONSOLE_BYTES that the console may take.
TARGET_SHARE = 1.1
#: The share of a core that five pages may take.
TARGET_CORE = 0.01
_TENTHS = 10
# Not a divisor of ten, so that each has requests of each kind.
_ROUTES = 211
_WARM_SECONDS = 6
# Requests after which a service keeps nothing more.
_SETTLED = 5000
_BIG = "x" * 1_000_000
_PAGES, _WORKERS, _POLL_S = 5, 8, 2
# Requests of a worker in a second: their ring has room for 200, whatever the rate.
_PER_SECOND = 250
_FAILS_ONE_IN = 100


async def overhead(rounds: int, requests: int) -> dict[str, float]:
    """Return what a request costs without and with the console, in microseconds."""
    variants = [inprocess.bare(), *(ours("0.1", further=further) for further in ({}, ON, ON, {}))]
    for variant in variants[1:]:
        await inprocess.verify(variant)
    gc.collect()
    gc.freeze()
    took: list[list[float]] = [[] for _ in variants]
    for order, counts in orders(len(variants), rounds):
        for index in order:
            took_us = await inprocess.burst(variants[index], requests)
            if counts:
                took[index].append(took_us)
    gc.unfreeze()
    bare = took[0]
    off, on = (
        [(one + other) / 2 for one, other in zip(*pair, strict=True)]
        for pair in ((took[1], took[4]), (took[2], took[3]))
    )
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


def failing(bundle: obs.Observability, one_in: int = 10) -> Starlette:
    """Return an application of many routes, whose errors, lines and fields are invented by its client."""

    async def answer(request: Request) -> Response:
        word = request.path_params["word"]
        number = int(word.rpartition("-")[2])
        if number % 1000 == 1:
            bundle.log.bind(field=f"{number} {_BIG}")
            obs.logger("shop").warning("big", extra={"field": f"{number} {_BIG}"})
        if number % one_in == 1:
            for part in range(4):
                obs.logger("shop").warning("part %d of %s", part, word, extra={"field": word * 100})
            raise LookupError(f"no {word}: {word * 20}")
        return PlainTextResponse("x")

    return Starlette(routes=[Route(f"/things/{shelf}/{{word}}", answer) for shelf in range(_ROUTES)])


def path_of(number: int) -> str:
    """Return a path that no other request has."""
    return f"/things/{number % _ROUTES}/word-{number}"


async def pages(seconds: int) -> dict[str, float]:
    """Return what five pages cost the worker that answers them, while eight workers serve."""
    with TemporaryDirectory() as directory:
        flags = {"OBS_ADMIN_TOKEN": TOKEN, "OBS_ENV": "prod", "PROMETHEUS_MULTIPROC_DIR": directory, **ON}
        bundles = [obs.Observability.from_env(flags, log_stream=io.BytesIO()) for _ in range(_WORKERS)]
        logging.getLogger("shop").addHandler(logging.NullHandler())
        stacks = [obs.build_stack(failing(bundle, _FAILS_ONE_IN), bundle) for bundle in bundles]
        consoles = [installed(bundle) for bundle in bundles]
        now = 0.0
        for console in consoles:
            parts: list[Any] = [console, console.requests, console.errors, console.changes, console.peers]
            for part in parts:
                part._clock = lambda: now
        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        cursors = [b""] * _PAGES
        took: list[float] = []
        written: list[float] = []
        sizes: list[int] = []
        number = 0
        for second in range(_WARM_SECONDS + seconds):
            now = float(second)
            if second == _WARM_SECONDS:
                # As a service has frozen what it has loaded; here are eight of them.
                gc.collect()
                gc.freeze()
            for stack in stacks:
                for _ in range(_PER_SECOND):
                    number += 1
                    await converse(stack, http_scope(path_of(number)))
            for console in consoles:
                console.tick()
                began = time.process_time()
                console.peers.write(console.collect())  # type: ignore[attr-defined]
                written.append(time.process_time() - began)
            for page in range(_PAGES):
                # They do not ask at one moment.
                asks_at = page * _POLL_S / _PAGES
                if int(asks_at) != second % _POLL_S:
                    continue
                now = second + asks_at % 1
                query = b"since=" + cursors[page]
                scope = {**http_scope("/ops/console/state", headers=headers), "query_string": query}
                began = time.process_time()
                done = await converse(stacks[0], scope)
                lasted = time.process_time() - began
                cursors[page] = orjson.loads(done.body)["cursor"].encode()
                if second >= _WARM_SECONDS:
                    took.append(lasted)
                    sizes.append(len(done.body))
    gc.unfreeze()
    return {
        "share": sum(took) / seconds,
        "answer_ms": statistics.mean(took) * 1e3,
        "slowest_ms": max(took) * 1e3,
        "write_ms": statistics.median(written) * 1e3,
        "largest_kb": max(sizes) / 1e3,
    }


async def memory(requests: int, max_bytes: int) -> list[dict[str, float]]:
    """Return the megabytes that the console holds after each tenth of the requests."""
    # What a service without it keeps is reached soon: series, routes and caches, all of them limited. The first round
    # fills the caches of the process.
    for _ in range(2):
        (without,) = await traced({}, min(requests, _SETTLED), 1)
    rows = await traced({"OBS_CONSOLE_BYTES": str(max_bytes), **ON}, requests, _TENTHS)
    for row in rows:
        row["added_mb"] = row["process_mb"] - without["process_mb"]
    return rows


async def traced(further: dict[str, str], requests: int, looks: int) -> list[dict[str, float]]:
    """Return what tracemalloc finds after each of so many parts of the requests."""
    flags = {"OBS_ADMIN_TOKEN": TOKEN, "OBS_ENV": "prod", **further}
    bundle = obs.Observability.from_env(flags, log_stream=io.BytesIO())
    bundle.log.sink.put = lambda line, level: None  # type: ignore[method-assign]
    stack = obs.build_stack(failing(bundle), bundle)
    bundle.log.install()
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    tracemalloc.start()
    rows = []
    for look in range(looks):
        for number in range(look * requests // looks, (look + 1) * requests // looks):
            await converse(stack, http_scope(path_of(number)))
        began = time.perf_counter()
        state = await converse(stack, http_scope("/ops/console/state", headers=headers))
        took_s = time.perf_counter() - began
        assert state.status == (200 if further else 404), state.body
        gc.collect()
        filters = [tracemalloc.Filter(True, "*/divan_obs_asgi/console/*")]
        found = tracemalloc.take_snapshot().filter_traces(filters)
        size = sum(one.size for one in found.statistics("filename"))
        traced_bytes, _ = tracemalloc.get_traced_memory()
        rows.append(
            {
                "requests": (look + 1) * requests // looks,
                "console_mb": size / 1e6,
                "process_mb": traced_bytes / 1e6,
                "state_ms": took_s * 1e3,
                "state_kb": len(state.body) / 1e3,
            }
        )
        click.echo(f"{rows[-1]['requests']:>10} {size / 1e6:>11.2f} {traced_bytes / 1e6:>11.2f}", err=True)
    tracemalloc.stop()
    return rows


def _cost_line(cost: dict[str, float]) -> str:
    return (
        f"a request, console off {cost['off_us']:.2f} us, on {cost['on_us']:.2f} us: {cost['added_us']:+.2f} us,"
        f" ratio {cost['ratio']:.3f}, of what the stack adds {cost['added_to_bare_ratio']:.3f}; target {TARGET_US} us"
    )


def _memory_line(row: dict[str, float]) -> str:
    return (
        f"{row['requests']:>10} {row['console_mb']:>11.2f} {row['added_mb']:>9.2f} {row['process_mb']:>11.2f}"
        f" {row['state_ms']:>9.1f}"
        f" {row['state_kb']:>9.1f}"
    )


def _pages_line(looked: dict[str, float]) -> str:
    return (
        f"{_PAGES} pages, {_WORKERS} workers: {looked['share']:.2%} of a core, an answer {looked['answer_ms']:.1f} ms"
        f" (slowest {looked['slowest_ms']:.1f}), at most {looked['largest_kb']:.0f} kB; a worker writes its file in"
        f" {looked['write_ms']:.1f} ms a second; target {TARGET_CORE:.0%}"
    )


def report(result: dict[str, Any]) -> str:
    """Return the result as text for people."""
    lines = heading(result["machine"], f"medians over {result['rounds']} rounds of {result['burst']} requests")
    cost, looked = result["overhead"], result["pages"]
    if cost:
        lines += ["", _cost_line(cost)]
    if looked:
        lines += ["", _pages_line(looked)]
    if not result["memory"]:
        return "\n".join(lines)
    lines += [
        "",
        f"{'requests':>10} {'modules MB':>11} {'added MB':>9} {'process MB':>11} {'state ms':>9} {'state kB':>9}",
    ]
    lines += map(_memory_line, result["memory"])
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--rounds", default=200, show_default=True)
@click.option("--burst", default=500, show_default=True, help="Requests of one timing.")
@click.option("--requests", default=100_000, show_default=True, help="Requests of the memory run.")
@click.option("--pages", "seconds", default=30, show_default=True, help="Seconds that the pages look; 0 for none.")
@click.option("--bytes", "max_bytes", default=8 * 1024 * 1024, show_default=True, help="OBS_CONSOLE_BYTES.")
@click.option("--json", "as_json", is_flag=True)
def main(rounds: int, burst: int, requests: int, seconds: int, max_bytes: int, as_json: bool) -> None:
    async def run() -> dict[str, Any]:
        return {
            "machine": machine(PACKAGES),
            "rounds": rounds,
            "burst": burst,
            "overhead": await overhead(rounds, burst) if rounds else {},
            "pages": await pages(seconds) if seconds else {},
            "memory": await memory(requests, max_bytes) if requests else [],
        }

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run())
    click.echo(orjson.dumps(result).decode() if as_json else report(result))
    worst = max((row["added_mb"] for row in result["memory"]), default=0.0)
    if worst > TARGET_SHARE * max_bytes / 1e6:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

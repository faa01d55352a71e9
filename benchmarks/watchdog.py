"""
What the watchdog costs a service that has nothing to do, in percent of a core.

    python -m benchmarks.watchdog --seconds 60 --rounds 4

A Starlette app with our stack, served by uvicorn and asked by nobody, with `OBS_WATCHDOG_ENABLED` true and false, on
asyncio and on uvloop; processor time of the whole process over some seconds, from two seconds after its start. A round
has one with it and one without it side by side, so that neighbours disturb both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from typing import Literal, TypeAlias, cast, get_args

import click
import uvicorn
from starlette.applications import Starlette

import divan_obs_asgi as obs
from benchmarks.measuring import heading, machine

Loop: TypeAlias = Literal["asyncio", "uvloop"]
LOOPS: tuple[Loop, ...] = get_args(Loop)
PACKAGES = ("uvicorn", "uvloop")
_SETTLED_S = 2.0


def serve(loop: Loop, watchdog: bool, seconds: float) -> None:
    """Serve for a while, and print how many percent of a core that took."""
    app = Starlette()
    obs.init(app, obs.Observability.from_env({"OBS_WATCHDOG_ENABLED": str(watchdog).lower()}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, loop=loop, log_config=None))

    def measure() -> None:
        time.sleep(_SETTLED_S)
        took, passed = -time.process_time(), -time.monotonic()
        time.sleep(seconds)
        took, passed = took + time.process_time(), passed + time.monotonic()
        sys.stderr.write(f"{took / passed * 100}\n")
        server.should_exit = True

    threading.Thread(target=measure, daemon=True).start()
    server.run()


def side_by_side(loop: Loop, seconds: float) -> tuple[float, float]:
    """Return what a process with the watchdog, and one without it, take."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.watchdog", "--child", loop, state, "--seconds", str(seconds)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for state in ("on", "off")
    ]
    on, off = (float(process.communicate()[1]) for process in started)
    return on, off


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1))
@click.option("--rounds", default=4, show_default=True, type=click.IntRange(1))
@click.option("--child", type=(click.Choice(LOOPS), click.Choice(["on", "off"])), hidden=True)
def main(seconds: float, rounds: int, child: tuple[str, str] | None) -> None:
    """Measure, and print."""
    if child is not None:
        loop, state = child
        serve(cast(Loop, loop), state == "on", seconds)
        return
    click.echo("\n".join(heading(machine(PACKAGES), f"{rounds} rounds of {seconds:g} s")))
    click.echo(f"\n{'% of a core, idle':20} {'with':>8} {'without':>8} {'added':>8} {'least':>8} {'most':>8}")
    for each in LOOPS:
        took = [side_by_side(each, seconds) for _ in range(rounds)]
        with_it, without = (statistics.median(column) for column in zip(*took, strict=True))
        added = [on - off for on, off in took]
        figures = (with_it, without, statistics.median(added), min(added), max(added))
        click.echo(f"{each:20} {'  '.join(f'{figure:7.2f}' for figure in figures)}")


if __name__ == "__main__":
    main()

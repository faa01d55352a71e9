"""
What a server of the benchmark imports: `benchmarks.served.application:make`, a factory.

The environment names the variant. When the server ends, the process writes one line of JSON into the file
`BENCHMARK_REPORT`: how late the event loop was, how often the garbage collector ran, processor time by thread.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.inprocess import Mode, bare

#: Seconds between two looks at the event loop.
EVERY_S = 0.005
# Later than this is worth a note; the list of a minute stays small.
_NOTED_S = 0.002
_USER, _SYSTEM = 11, 12


def made(variant: str, mode: Mode, collector: str) -> ASGIApp:
    """Return the application of a variant; what it does not need is not imported."""
    if variant == "bare":
        return bare().app
    if variant == "ours":
        from benchmarks.ours import ours

        return ours(mode, collector).app
    if variant in ("assembled", "leanest"):
        from benchmarks import peers

        return getattr(peers, variant)(mode, collector).app  # type: ignore[no-any-return]
    from benchmarks.pieces import piece

    return piece(variant, collector).app


def thread_times_s() -> dict[str, float]:
    """Return user and system seconds of each thread of this process, by its name in Python."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            name = names.get(int(task.name), "native")
            found[name] = found.get(name, 0) + (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
    return found


class Watched:
    """
    Hands connections through, and watches the process between start-up and shutdown.

    A connection costs one call more, of a plain function, for every variant alike.
    """

    def __init__(self, app: ASGIApp, report: str) -> None:
        self.app = app
        self._report = report
        self._late: list[tuple[float, float]] = []

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        return self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_report() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                # The library's threads are still there.
                self._write(before, threads_s)
            return message

        before, threads_s = gc.get_stats(), thread_times_s()
        watch = asyncio.create_task(self._watch())
        try:
            await self.app(scope, receive_and_report, send)
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(EVERY_S)
            now = time.monotonic()
            late_s = now - before - EVERY_S
            if late_s >= _NOTED_S:
                self._late.append((now, late_s))

    def _write(self, before: list[dict[str, int]], threads_s: dict[str, float]) -> None:
        generations = list(zip(before, gc.get_stats(), strict=True))
        report = {
            "late": self._late,
            "collections": [now["collections"] - then["collections"] for then, now in generations],
            "garbage": sum(now["collected"] - then["collected"] for then, now in generations),
            "threads_s": {name: took - threads_s.get(name, 0) for name, took in thread_times_s().items()},
        }
        Path(self._report).write_bytes(orjson.dumps(report) + b"\n")


def make() -> ASGIApp:
    """Return the application that the environment names."""
    environ = os.environ
    app = made(environ["BENCHMARK_VARIANT"], cast(Mode, environ["BENCHMARK_MODE"]), environ["BENCHMARK_COLLECTOR"])
    return Watched(app, environ["BENCHMARK_REPORT"])


__all__ = ["made", "make"]

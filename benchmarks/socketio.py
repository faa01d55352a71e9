"""
Microseconds that observing a Socket.IO event costs, and bytes that a connected client costs, in process.

    python -m benchmarks.socketio --rounds 300

Variants of one server with one handler, `chat send`: bare (`socketio.AsyncServer`); ours with metrics alone, with a
span that no sampler records, with one that is recorded, and with everything (recorded, and a line for each event);
admin, python-socketio's own instrumentation, in production and in development mode, with its page open. What is timed
is the packet handler, as Engine.IO calls it with a packet that has arrived: from the text to the end of the handler.

Each is proved before it is timed. A round times every variant once, in a new order, over some hundred events, in
processor time of the whole process: the queue of log lines is written within it, that of spans between the timings.
What a variant adds is taken from the bare server's time in the same round; figures are medians over the rounds.

Memory: 10,000 clients connect in process, by handshakes that came through the stack, and tracemalloc measures the
additional memory; twice, bare and ours.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import orjson
import socketio
import uvloop
from engineio.async_socket import AsyncSocket

import divan_obs_asgi as obs
from benchmarks.inprocess import SERVICE, Discard, Misconfigured, Sink, new_scope
from benchmarks.measuring import heading, machine, orders, spread
from benchmarks.overhead import profile_of
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send

EVENT = "chat send"
PACKET = '2["chat send",{"room":"r-17","text":"Is anybody at the library?","reply_to":null}]'
PACKAGES = ("python-socketio", "python-engineio", "opentelemetry-sdk", "prometheus_client", "orjson", "uvloop")
CLIENTS = 10_000

#: The flags of each variant of ours.
FLAGS: dict[str, dict[str, str]] = {
    "metrics": {"OBS_TRACING_ENABLED": "false", "OBS_ACCESS_LOG_ENABLED": "false"},
    "unsampled": {"OTEL_TRACES_SAMPLER_ARG": "0", "OBS_ACCESS_LOG_ENABLED": "false"},
    "recorded": {"OTEL_TRACES_SAMPLER_ARG": "1", "OBS_ACCESS_LOG_ENABLED": "false"},
    "everything": {"OTEL_TRACES_SAMPLER_ARG": "1", "LOG_SAMPLING_RATE_INFO": "1"},
}
#: Microseconds that an event may cost more.
TARGETS = {"metrics": 3.0, "unsampled": 6.0, "recorded": 20.0}
#: Spans and lines of an event.
EXPECTED = {"metrics": (0, 0), "unsampled": (0, 0), "recorded": (1, 0), "everything": (1, 1)}
ADMIN = ("production", "development")
VARIANTS = ("bare", *FLAGS, *(f"admin {mode}" for mode in ADMIN))


class Client:
    """A client, as far as the server knows it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.eio_sid = server.eio.generate_id()
        self.socket = server.eio.sockets[self.eio_sid] = AsyncSocket(server.eio, self.eio_sid)
        self.socket.connected = self.socket.upgraded = True

    async def connect(self, namespace: str = "", handshake: Mapping[str, object] | None = None) -> None:
        environ = {"HTTP_UPGRADE": "websocket", "asgi.scope": handshake or {}}
        await self.server.eio.handlers["connect"](self.eio_sid, environ)
        await self.server.eio.handlers["message"](self.eio_sid, f"0{namespace}")

    def received(self) -> int:
        """Discard what was sent to the client, and return how much it was."""
        count = self.socket.queue.qsize()
        for _ in range(count):
            self.socket.queue.get_nowait()
        return int(count)


@dataclass
class Variant:
    """A server, a client of it, and where to see what came of an event."""

    name: str
    client: Client
    page: Client | None = None
    observed: obs.Observability | None = None
    sink: Sink | None = None
    exporter: Discard | None = None

    async def burst(self, events: int) -> float:
        """Return the microseconds of processor time that an event took, over `events` of them."""
        gc.collect()
        handle, eio_sid = self.client.server.eio.handlers["message"], self.client.eio_sid
        start = time.process_time()
        for _ in range(events):
            await handle(eio_sid, PACKET)
        if self.observed is not None:
            self.observed.log.sink.flush()
        took_s = time.process_time() - start
        if self.observed is not None:
            self.observed.flush()
        if self.page is not None:
            self.page.received()
        return took_s / events * 1e6

    async def verify(self) -> None:
        """
        Send some events, and look what came of them.

        Raises:
            Misconfigured: if it is not what the variant is for.
        """
        await self.burst(10)
        if self.observed is not None:
            assert self.exporter is not None
            assert self.sink is not None
            value = self.observed.metrics.registry.get_sample_value
            labels = {"namespace": "/", "event": EVENT}
            counted = value("divan_socketio_events_total", labels)
            counts = (counted, value("divan_socketio_event_duration_seconds_count", labels))
            spans, lines = EXPECTED[self.name]
            if (*counts, self.exporter.spans, self.sink.lines) != (10, 10, spans * 10, lines * 10):
                raise Misconfigured(f"{self.name}: {counts}, {self.exporter.spans} spans and {self.sink.lines} lines.")
        if self.page is not None:
            await self.client.server.eio.handlers["message"](self.client.eio_sid, PACKET)
            if self.page.received() != (self.name == "admin development"):
                raise Misconfigured(f"{self.name}: the page received something else than expected.")


def server_of(name: str) -> tuple[Any, dict[str, Any]]:
    """Return the server of a variant without its handler, and what belongs to it."""
    # The default is a task for each event; its cost does not belong to the measurement.
    options = {"async_mode": "asgi", "async_handlers": False, "namespaces": "*"}
    if name not in FLAGS:
        return socketio.AsyncServer(**options), {}
    sink, exporter = Sink(), Discard()
    flags = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": "", "OBS_SERVICE_NAME": SERVICE, **FLAGS[name]}
    observed = obs.Observability.from_env(flags, log_stream=sink, span_exporter=exporter)
    server = obs.socketio_ext.ObservedAsyncServer(obs=observed, **options)
    return server, {"observed": observed, "sink": sink, "exporter": exporter}


async def made(name: str) -> Variant:
    """Make a variant, with a client that is connected."""
    server, parts = server_of(name)

    async def send(sid: str, message: Mapping[str, object]) -> None:
        """Do nothing: what handlers do costs the same everywhere."""

    server.on(EVENT, send)
    mode = name.removeprefix("admin ")
    if mode in ADMIN:
        # Statistics are for nobody here to wait for.
        server.instrument(auth=False, mode=mode, server_stats_interval=3600)
        parts["page"] = Client(server)
        await parts["page"].connect("/admin,")
        await asyncio.sleep(0.2)  # By then the page knows the clients.
    client = Client(server)
    await client.connect("", await handshake(stack_of(parts.get("observed"))))
    if "page" in parts:
        parts["page"].received()
    if "observed" in parts:
        parts["observed"].flush()
        parts["exporter"].spans = parts["sink"].lines = 0
    return Variant(name, client, **parts)


async def no_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing: of a handshake the record is wanted."""


async def handshake(through: ASGIApp) -> Scope:
    """Return the scope of a request that came by a stack; the spans of its client's events link to it."""
    scope = new_scope()
    await through(scope, no_receive, no_send)
    return scope


def stack_of(observed: obs.Observability | None) -> ASGIApp:
    return no_app if observed is None else obs.build_stack(no_app, observed)


async def no_receive() -> Message:
    return {"type": "http.request"}


async def no_send(message: Message) -> None: ...


async def measured(names: Sequence[str], rounds: int, events: int) -> dict[str, Any]:
    """Return what each variant costs, and what it adds to the bare server."""
    variants = [await made(name) for name in dict.fromkeys(("bare", *names))]
    for variant in variants:
        await variant.verify()
    gc.collect()
    gc.freeze()
    bursts: list[list[float]] = [[] for _ in variants]
    for order, counts in orders(len(variants), rounds):
        for index in order:
            took_us = await variants[index].burst(events)
            if counts:
                bursts[index].append(took_us)
    gc.unfreeze()
    rows = [_row(variant.name, took_us, bursts[0]) for variant, took_us in zip(variants, bursts, strict=True)]
    return {"machine": machine(PACKAGES), "rounds": rounds, "events": events, "results": rows}


def _row(name: str, bursts: Sequence[float], bare: Sequence[float]) -> dict[str, Any]:
    added = [took - without for took, without in zip(bursts, bare, strict=True)]
    return {
        "name": name,
        "total_us": statistics.median(bursts),
        "added_us": statistics.median(added),
        "least_us": min(bursts) - min(bare),
        "spread_us": spread(bursts),
        "times": statistics.median(took / without for took, without in zip(bursts, bare, strict=True)),
        "target_us": TARGETS.get(name),
    }


async def held_by_clients(name: str) -> float:
    """Return the bytes that each of many connected clients holds."""
    server, parts = server_of(name)
    stack = stack_of(parts.get("observed"))
    await Client(server).connect("", await handshake(stack))
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    clients = [Client(server) for _ in range(CLIENTS)]
    for client in clients:
        await client.connect("", await handshake(stack))
        client.received()
    if parts:
        parts["observed"].flush()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / CLIENTS


async def memory() -> dict[str, float]:
    """Return what a client holds of a bare server, and of ours."""
    return {name: await held_by_clients(name) for name in ("bare", "recorded")}


def report(result: dict[str, Any]) -> str:
    """Return the result as a table for people."""
    rounds = f"medians over {result['rounds']} rounds of {result['events']} events"
    lines = [
        *heading(result["machine"], rounds),
        "",
        f"{'µs of processor per event':26} {'total':>7} {'added':>7} {'least':>7} {'spread':>7} {'times':>6}",
    ]
    for row in result["results"]:
        target = row["target_us"]
        reached = (
            ""
            if target is None
            else f"  target {target:g}: {'reached' if row['added_us'] <= target else 'NOT REACHED'}"
        )
        figures = "".join(f" {row[key]:7.1f}" for key in ("total_us", "added_us", "least_us", "spread_us"))
        lines.append(f"{row['name']:26}{figures} {row['times']:6.2f}{reached}")
    if "memory" in result:
        bare, ours = result["memory"]["bare"], result["memory"]["recorded"]
        lines += ["", f"{CLIENTS} connected clients: {bare:.0f} bytes each, ours {ours - bare:.0f} more"]
    return "\n".join(lines)


async def profiled(name: str, events: int) -> str:
    """Return where an event of a variant spends its time."""
    variant = await made(name)
    return await profile_of(lambda: variant.burst(events), name, events, ground=__file__)


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=300, show_default=True, type=click.IntRange(1))
@click.option("--events", default=400, show_default=True, type=click.IntRange(1), help="Per round and variant.")
@click.option("--only", multiple=True, type=click.Choice(VARIANTS), help="These variants, beside the bare server.")
@click.option("--profile", type=click.Choice(VARIANTS), help="Print where this one spends its time instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, events: int, only: Sequence[str], profile: str | None, as_json: bool) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if profile:
            click.echo(runner.run(profiled(profile, events)))
            return
        result = runner.run(measured(only or VARIANTS, rounds, events))
        if not only:
            result["memory"] = runner.run(memory())
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2) if as_json else report(result))


if __name__ == "__main__":
    main()

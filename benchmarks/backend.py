"""
Cost of the whole stack in the reference backend, in turns: python -m benchmarks.backend [--rounds 10] [--rate 200]

One backend runs for each stack, beside PostgreSQL, Redis and an OTLP receiver. They get requests at a steady rate, one
stack after the other: on a shared machine only figures of the same seconds can be compared. Prints
the processor time for a request (all threads of the process, from /proc) and its ratio to the stack `off`, medians over
the rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

import click

from benchmarks.load.stage import STACKS, BackendServer, Stage, staged

CONNECTIONS = 20
_ALL_STACKS: Mapping[str, Mapping[str, str]] = {
    **STACKS,
    "untraced": {**STACKS["on"], "OBS_TRACING_ENABLED": "false"},
    "all": {**STACKS["on"], "OTEL_TRACES_SAMPLER_ARG": "1"},
    "console": {**STACKS["on"], "OBS_CONSOLE_ENABLED": "true"},
}


def request_of(method: str, path: str, token: str = "", body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: divan", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


class Client:
    """A persistent connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> bytes:
        """Return the body of the response, which must be 2xx."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await self._reader.readexactly(int(length or 0))
        if not head.startswith(b"http/1.1 2"):
            raise RuntimeError(f"{request.decode()}: {head.decode()} {body.decode()}")
        return body

    def close(self) -> None:
        self._writer.close()


class Asked:
    """A backend, and the requests that it is asked."""

    def __init__(self, backend: BackendServer) -> None:
        self._backend = backend
        self.requests: dict[str, list[bytes]] = {"chat": [], "nearby": []}
        self._heartbeats: list[bytes] = []

    async def prepare(self) -> None:
        """Place as many people as there are connections, in rooms of ten."""
        host, port, run = self._backend.host, self._backend.port, secrets.token_hex(4)
        client = Client(*await asyncio.open_connection(host, port))
        for number in range(CONNECTIONS):
            room, name = f"{run}-{number // 10}", f"{run}-{number}"
            token = json.loads(await client.ask(request_of("POST", "/auth/demo", body={"name": name})))["token"]
            if number % 10 == 0:
                await client.ask(request_of("POST", "/rooms", token, {"name": room}))
            else:
                await client.ask(request_of("POST", f"/rooms/{room}/join", token))
            text = {"text": f"Message of {number}"}
            self.requests["chat"].append(request_of("POST", f"/rooms/{room}/messages", token, text))
            self.requests["nearby"].append(request_of("GET", "/proximity/nearby?radius=500", token))
            place = {"lat": 41.085 + number / 1e4, "lon": 29.044}
            self._heartbeats.append(request_of("POST", "/presence/heartbeat", token, place))

    async def cost_us(self, script: str, seconds: float, rate: float) -> float:
        """Ask at a rate, and return the processor time for a request in microseconds."""
        # Anew for each turn: the server closes a connection that has been idle for 5 s.
        clients = [
            Client(*await asyncio.open_connection(self._backend.host, self._backend.port)) for _ in range(CONNECTIONS)
        ]
        for heartbeat in self._heartbeats:  # a place is forgotten after 90 s
            await clients[0].ask(heartbeat)
        await asyncio.sleep(0.2)
        pid = self._backend.pid
        before = cpu_ns(pid)
        each = CONNECTIONS / rate
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def person(number: int) -> int:
            asked, request = 0, self.requests[script][number]
            while True:
                due = start + each * (asked + number / CONNECTIONS)
                if due > start + seconds:
                    return asked
                await asyncio.sleep(max(0.0, due - loop.time()))
                await clients[number].ask(request)
                asked += 1

        count = sum(await asyncio.gather(*map(person, range(CONNECTIONS))))
        cost_us = (cpu_ns(pid) - before) / 1000 / count
        for client in clients:
            client.close()
        return cost_us


def cpu_ns(pid: int) -> int:
    """Return what the threads of a process have used so far (/proc/PID/schedstat is that of one of them)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def by_turns(
    stage: Stage, stacks: Sequence[str], scripts: Sequence[str], rounds: int, seconds: float, rate: float
) -> dict[tuple[str, str], list[float]]:
    """Return what a request costs, by script and stack."""
    found: dict[tuple[str, str], list[float]] = {(script, stack): [] for script in scripts for stack in stacks}
    with ExitStack() as running:
        runner = running.enter_context(asyncio.Runner())
        asked = {}
        for number, stack in enumerate(stacks):
            flags = {"OTEL_EXPORTER_OTLP_ENDPOINT": stage.receiver.endpoint, **_ALL_STACKS[stack]}
            flags |= {"DATABASE_URL": stage.postgres.new_database(), "REDIS_URL": f"{stage.redis.url}/{number + 1}"}
            backend = running.enter_context(closing(BackendServer(flags))).start()
            asked[stack] = Asked(backend)
            runner.run(asked[stack].prepare())
        for turn in range(rounds + 1):
            for script in scripts:
                for stack in stacks[:: 1 if turn % 2 else -1]:
                    cost_us = runner.run(asked[stack].cost_us(script, seconds, rate))
                    if turn:  # the first warms up
                        found[script, stack].append(cost_us)
    return found


@click.command(help=__doc__)
@click.option("--rounds", default=10, show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of each turn.")
@click.option("--rate", default=200.0, show_default=True, help="Requests a second.")
@click.option("--stack", "stacks", multiple=True, type=click.Choice(list(_ALL_STACKS)), default=("off", "on", "all"))
@click.option("--script", "scripts", multiple=True, default=("chat", "nearby"))
def main(rounds: int, seconds: float, rate: float, stacks: tuple[str, ...], scripts: tuple[str, ...]) -> None:
    with staged() as stage:
        found = by_turns(stage, stacks, scripts, rounds, seconds, rate)
    click.echo(
        f"load {os.getloadavg()[0]:.1f}; {rate:g} requests a second; medians over {rounds} rounds of {seconds:g} s"
    )
    for (script, stack), costs in found.items():
        base = found.get((script, stacks[0]), costs)
        ratio = median(cost / other for cost, other in zip(costs, base, strict=True))
        click.echo(f"{script:8} {stack:9} {median(costs):6.0f} µs {ratio:5.2f}   least {min(costs):6.0f}")


if __name__ == "__main__":
    main()

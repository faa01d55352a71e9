"""One visit to a served application: started, asked for everything, ended, with what was seen."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.matrix.servers import Server, interrupted
from tests.matrix.surface import FAIL, SECRETS
from tests.patience import PATIENCE_S
from tests.servers.command import Command
from tests.servers.otlp import OtlpReceiver
from tests.servers.process import START_TIMEOUT_S

TOKEN = "let-the-matrix-in-and-nobody-else"
DRAIN_S = 0.3
SECRET_QUERY = f"?token={SECRETS['query']}&q={SECRETS['query']}"
SECRET_HEADERS = {
    "authorization": f"Bearer {SECRETS['header']}",
    "cookie": f"session={SECRETS['header']}",
    "x-anything": SECRETS["header"],
    "user-agent": SECRETS["header"],
    "referer": f"https://example.org/{SECRETS['header']}",
}


class Served(Command):
    """An application of the matrix under a server's own command."""

    # Each server writes something at its start; whether it serves is asked of itself.
    ready_line = re.compile("")

    def __init__(self, server: Server, app: str, env: dict[str, str]) -> None:
        super().__init__("", server.name, app, env=env)
        self._env |= {name: value.format(folder=self.directory) for name, value in server.env.items()}
        self._env |= {"MATRIX_FOLDER": str(self.directory)}
        self.server = server
        self.app = app
        # A connection of its own for each request: servers close one whose application has failed.
        self.client = httpx.Client(
            base_url=self.url, limits=httpx.Limits(max_keepalive_connections=0), timeout=PATIENCE_S
        )

    def command(self) -> list[str]:
        return self.server.command(self.app, self.port)

    def answers(self) -> bool:
        """Wait until the server answers; returns False where it has ended."""
        # Workers import the application after the parent has begun to listen.
        deadline = time.monotonic() + 2 * START_TIMEOUT_S
        while time.monotonic() < deadline and self.running:
            try:
                self.client.get("/health/live")
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return True
        return False

    def close(self) -> None:
        self.client.close()
        super().close()

    def end(self, send: Callable[[], object]) -> int | None:
        """Return the exit code after a signal, and None if the process is still there when patience is over."""
        send()
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return None
        # All of its output has been read, also that of its children.
        self.ended.wait(PATIENCE_S)
        return code


@dataclass(frozen=True)
class Ids:
    """What a request brings along, by which its line and its span are found."""

    request: str = field(default_factory=lambda: secrets.token_hex(16))
    trace: str = field(default_factory=lambda: secrets.token_hex(16))

    def headers(self) -> dict[str, str]:
        return {"x-request-id": self.request, "traceparent": f"00-{self.trace}-{secrets.token_hex(8)}-01"}


@dataclass
class Visit:
    """
    What was seen.

    Attributes:
        server: the server's entry in the table.
        app: the application's name.
        served: whether it answered at all.
        ids: of each request, by name.
        responses: to each request, by name; a text says why there is none.
        echoed: what a WebSocket (or an event of Socket.IO) was answered, or why not.
        output: the lines on standard output and standard error, of the first start and of the second.
        spans: those that were exported.
        exits: the exit code after each signal; None where the process did not end.
        waited: the response to the request that was in flight at SIGTERM, or why there is none.
    """

    server: Server
    app: str
    served: bool = False
    ids: dict[str, Ids] = field(default_factory=dict)
    responses: dict[str, httpx.Response | str] = field(default_factory=dict)
    echoed: str = ""
    output: dict[signal.Signals, list[str]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    exits: dict[signal.Signals, int | None] = field(default_factory=dict)
    waited: httpx.Response | str = "the request was not sent"

    def text(self) -> str:
        return "\n".join(line for lines in self.output.values() for line in lines)

    def lines(self, number: signal.Signals = signal.SIGTERM) -> list[dict[str, Any]]:
        """Return the lines that are JSON."""
        return [json.loads(line) for line in self.output.get(number, ()) if line.startswith("{")]

    def response(self, name: str) -> httpx.Response:
        found = self.responses.get(name, "it was not sent")
        assert isinstance(found, httpx.Response), f"no response to {name!r}: {found}"
        return found


def visit(server: Server, app: str) -> Visit:
    """Start the application, ask for everything, and end it by SIGTERM; in some cells, end a second start by Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # What a shell starts in the background ignores Ctrl-C, and so would the servers, which inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = Visit(server, app)
    with OtlpReceiver() as receiver:
        env = {
            "OBS_ENV": "prod",
            "OBS_ADMIN_TOKEN": TOKEN,
            "OBS_DRAIN_DELAY_S": str(DRAIN_S),
            "OBS_TRACING_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with _started(seen, env, signal.SIGTERM) as served:
            if served is not None:
                seen.served = True
                _ask(seen, served)
                _end_with_a_request_in_flight(seen, served)
        seen.spans = receiver.spans()
        if seen.served and interrupted(server.name, app):
            with _started(seen, env, signal.SIGINT) as served:
                if served is not None:
                    # As a terminal does it: all processes of its foreground group get the signal.
                    pid = served.process.pid
                    seen.exits[signal.SIGINT] = served.end(lambda: os.killpg(pid, signal.SIGINT))
    return seen


@contextmanager
def _started(seen: Visit, env: dict[str, str], number: signal.Signals) -> Iterator[Served | None]:
    """Give the started server, or None where it does not answer; keep its output in any case."""
    served = Served(seen.server, seen.app, env)
    try:
        try:
            served.start()
            answers = served.answers()
        except RuntimeError:
            answers = False
        yield served if answers else None
    finally:
        served.close()
        seen.output[number] = list(served.log)


def _ask(seen: Visit, served: Served) -> None:
    guarded = {"authorization": f"Bearer {TOKEN}"}

    def get(name: str, path: str, headers: dict[str, str]) -> httpx.Response | str:
        try:
            seen.responses[name] = served.client.get(path, headers=headers)
        except httpx.HTTPError as exc:
            seen.responses[name] = repr(exc)
        return seen.responses[name]

    for name in ("rooms", "fail"):
        ids = seen.ids[name] = Ids()
        get(name, f"/{name}/{SECRETS['path']}{SECRET_QUERY}", SECRET_HEADERS | ids.headers())
    get("without an id", "/rooms/r7", {})
    _converse(seen, served)
    for path in ("/health/live", "/health/ready", "/health/startup"):
        get(path, path, {})
    get("/metrics without a token", "/metrics", {})
    # The page may come from another worker, before the one that answered has counted.
    deadline = time.monotonic() + PATIENCE_S / 3
    while time.monotonic() < deadline:
        page = get("/metrics", "/metrics", guarded)
        if isinstance(page, str) or all(sample in page.text for sample in samples(seen.app)):
            break
        time.sleep(0.05)


def samples(app: str) -> list[str]:
    """Return what the metrics page says after a visit."""
    counted = [
        'divan_http_requests_total{method="GET",route="/rooms/{room_id}",status="200"} 2.0',
        'divan_http_requests_total{method="GET",route="/fail/{room_id}",status="500"} 1.0',
    ]
    if app == "socketio":
        return [*counted, 'divan_socketio_events_total{event="echo",namespace="/"} 3.0']
    return counted


def _converse(seen: Visit, served: Served) -> None:
    """Say something over a WebSocket, hear it again, and say what makes the application fail."""
    ids = seen.ids["echo"] = Ids()
    socketio = seen.app == "socketio"
    path = f"/socket.io/{SECRET_QUERY}&EIO=4&transport=websocket" if socketio else ""
    path = path or f"/echo/{SECRETS['WebSocket path']}{SECRET_QUERY}"
    headers = {name: value for name, value in SECRET_HEADERS.items() if name != "user-agent"} | ids.headers()
    try:
        with connect(
            f"ws://{served.host}:{served.port}{path}",
            additional_headers=headers,
            user_agent_header=SECRETS["header"],
            open_timeout=PATIENCE_S,
            close_timeout=PATIENCE_S,
            proxy=None,
        ) as websocket:
            seen.echoed = _say_by_socketio(websocket) if socketio else _say(websocket)
    except Exception as exc:
        seen.echoed = f"{exc!r}"


def _say(websocket: ClientConnection) -> str:
    websocket.send(SECRETS["WebSocket message"])
    heard = str(websocket.recv(PATIENCE_S))
    websocket.send(FAIL)
    try:
        websocket.recv(PATIENCE_S)
    except ConnectionClosed:
        return heard
    return "the WebSocket whose application failed was not closed"


def _say_by_socketio(websocket: ClientConnection) -> str:
    assert str(websocket.recv(PATIENCE_S)).startswith("0")
    websocket.send("40")
    assert str(websocket.recv(PATIENCE_S)).startswith("40")
    websocket.send("421" + json.dumps(["echo", SECRETS["WebSocket message"]]))
    heard = str(websocket.recv(PATIENCE_S))
    websocket.send("42" + json.dumps(["echo", FAIL]))
    websocket.send("422" + json.dumps(["echo", "more"]))
    # The failed event has been begun before this one, which is answered.
    assert "more" in str(websocket.recv(PATIENCE_S))
    return str(json.loads(heard.removeprefix("431"))[0])


def _end_with_a_request_in_flight(seen: Visit, served: Served) -> None:
    def wait() -> None:
        try:
            seen.waited = served.client.get("/wait", timeout=2 * PATIENCE_S)
        except httpx.HTTPError as exc:
            seen.waited = repr(exc)

    asking = threading.Thread(target=wait)
    asking.start()
    deadline = time.monotonic() + PATIENCE_S
    while not (served.directory / "waits").exists() and asking.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    seen.waited = "no response" if asking.is_alive() else seen.waited

    def terminate() -> None:
        served.process.terminate()
        if seen.server.drains:
            _until_it_says(served, "SIGTERM: not ready")
        if seen.server.waits:
            (served.directory / "gate").touch()

    seen.exits[signal.SIGTERM] = served.end(terminate)
    served.stop()
    asking.join(2 * PATIENCE_S)


def _until_it_says(served: Served, text: str) -> None:
    deadline = time.monotonic() + PATIENCE_S / 3
    while not any(text in line for line in list(served.log)) and served.running and time.monotonic() < deadline:
        time.sleep(0.02)


__all__ = ["DRAIN_S", "TOKEN", "Visit", "samples", "visit"]

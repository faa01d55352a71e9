"""`divan-obs top`: the console of a service in a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.cli.main import main
from divan_obs_asgi.cli.top_screen import cells, screen
from tests.patience import PATIENCE_S
from tests.servers.command import Command

pytestmark = pytest.mark.slow

TOKEN = "correct-horse-battery-41"
COMMAND = [sys.executable, "-m", "divan_obs_asgi", "top"]
SHOP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import divan_obs_asgi as obs


def room(request):
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/rooms/{room}", room), Route("/fail", lambda request: 1 / 0)])
obs.init(app)
"""


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OBS_")}
    return {**kept, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100", **more}


def top(*arguments: str, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *arguments], env=environ(**env), capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )
    return done.returncode, done.stdout, done.stderr


def route(name: str, rate: float, **figures: Any) -> dict[str, Any]:
    m1 = {"rate": rate, "p50": 1.0, "p95": 2.0, "p99": 3.0, "error_share": 0.0, **figures}
    return {"id": f"GET {name}", "route": name, "method": "GET", "m1": m1, "m5": m1, "line": []}


STATE: dict[str, Any] = {
    "now": 1_790_007_200.0,
    "service": {"name": "shop", "env": "prod", "version": "1.2", "commit": "abc", "started": 1_790_000_000.0}
    | {"ready": True, "draining": False},
    "workers": {"known": True, "list": [{"alive": True}, {"alive": True}, {"alive": False}]},
    "numbers": {
        "requests_per_s": {"now": 12.5, "line": [0.0, None, 6.0, 12.0]},
        "error_share": {"now": 0.0125, "line": []},
        "p95_ms": {"now": 1234.5, "line": []},
        "in_flight": {"now": 3, "line": []},
        "loop_lag_ms": {"now": None, "line": []},
        "clients": {"now": 0, "line": []},
    },
    "routes": [route("/slow", 1.0), route("/fast", 9.25, error_share=0.5), route("/none", 0.0, p50=None)],
}  # fmt: skip


class Script(ThreadingHTTPServer):
    """Answers each request with the next of these; the last one stays."""

    def __init__(self, *answers: tuple[int, Any], headers: dict[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str | None]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script.seen.append((self.path, self.headers["authorization"]))
                status, body = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(*answers: tuple[int, Any], headers: dict[str, str] | None = None) -> Iterator[Script]:
    with Script(*answers, headers=headers) as script:
        thread = threading.Thread(target=script.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield script
        finally:
            script.shutdown()
            thread.join()


# What is on the screen.


def test_the_header_and_the_routes_by_rate() -> None:
    assert screen(STATE, 100) == [
        "shop prod 1.2 abc  ready  up 2 h  2 workers, 1 ended",
        "requests 12.5/s ▁ ▅█   errors 1.2 %   p95 1234 ms   in flight 3   loop lag - ms   clients 0",
        "",
        "ROUTE (1 minute)             RATE/s   P50 ms   P95 ms   P99 ms   ERRORS",
        "GET /fast                       9.2      1.0      2.0      3.0   50.0 %",
        "GET /slow                       1.0      1.0      2.0      3.0    0.0 %",
        "GET /none                       0.0        -      2.0      3.0    0.0 %",
    ]


def test_a_narrow_terminal_has_fewer_columns() -> None:
    lines = screen(STATE, 50)
    assert "ROUTE (1 minute)          RATE/s   P95 ms   ERRORS" in lines[-4]
    assert max(map(len, lines)) <= 50


def test_a_low_terminal_says_how_many_routes_are_missing() -> None:
    state = {**STATE, "routes": [route(f"/r{number}", number) for number in range(100)]}
    lines = screen(state, 100, 12)
    assert len(lines) == 12
    assert lines[4].startswith("GET /r99 ")
    assert lines[-1] == "93 more routes"


def test_a_worker_that_knows_of_no_others_says_so() -> None:
    state = {**STATE, "workers": {"known": False, "list": []}, "service": {"draining": True}}
    assert screen(state, 100)[0] == "draining  this worker of unknown many"


def test_a_terminal_interprets_nothing_of_the_state() -> None:
    """Another program may answer at the URL; a route of the application may have been built from data."""
    hostile = "/\x1b[2J\x9b31m\u202e\r\n\0x"
    state = {**STATE, "routes": [route(hostile, 1.0)], "service": {"name": hostile}}
    assert all(line.isprintable() for line in screen(state, 100))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
PARTS = ("now", "service", "workers", "numbers", "routes")


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, JSON)),
    st.lists(st.dictionaries(st.sampled_from(["route", "method", "m1"]), JSON), max_size=5),
    st.integers(1, 200),
    st.none() | st.integers(0, 50),
)
def test_any_state_fits_the_screen(parts: dict[str, Any], routes: list[Any], width: int, height: int | None) -> None:
    """Nothing raises, no line is wider than the terminal, and there are no more lines than it has."""
    for state in (parts, {**STATE, **parts}, {**STATE, "routes": routes}):
        lines = screen(state, width, height)
        assert all(cells(line) <= width and line.isprintable() for line in lines)
        assert height is None or len(lines) <= height


# The command.


def test_once_prints_the_screen_without_escapes(tmp_path: Path) -> None:
    with serving((200, STATE)) as script:
        code, out, err = top(script.url, "--once", OBS_ADMIN_TOKEN=TOKEN)
        assert (code, err) == (0, "")
        assert out == "\n".join(screen(STATE, 100)) + "\n\n"
        file = tmp_path / "token"
        file.write_text("another-token\n")
        assert top(f"{script.url}/ops/console", "--once", "--token-file", str(file))[0] == 0
        assert top(f"{script.url}/internal/", "--once")[0] == 0
    assert script.seen == [
        ("/ops/console/state", f"Bearer {TOKEN}"),
        ("/ops/console/state", "Bearer another-token"),
        ("/internal/ops/console/state", None),
    ]


def test_json_is_for_scripts() -> None:
    """The whole state, as it came."""
    with serving((200, STATE)) as script:
        code, out, err = top(script.url, "--once", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == STATE
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {}, "401: the token is missing or wrong; set OBS_ADMIN_TOKEN, or --token-file"),
        (403, {}, "403: the service does not allow it: OBS_ADMIN_TOKEN, OBS_OPS_NETWORKS or authorize"),
        (404, {}, "404: there is no console; set OBS_CONSOLE_ENABLED=true in the service, and check the URL"),
        (429, {}, "429"),
        (500, b"\x1b[2J", "500"),
        (302, {}, "302"),
        (200, b"<html>", "the response is not the state of an ops console; check the URL"),
        (200, b"[" * 100_000, "the response is not the state of an ops console; check the URL"),
        (200, {"numbers": []}, "the response is not the state of an ops console; check the URL"),
    ],
)
def test_an_error_is_one_line(status: int, body: Any, message: str) -> None:
    with serving((status, body), headers={"location": "http://127.0.0.1:1/"}) as script:
        done = CliRunner().invoke(main, ["top", script.url, "--once"], env={"OBS_ADMIN_TOKEN": TOKEN})
        assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"Error: {message}\n")
        assert len(script.seen) == 1


def test_a_service_that_is_not_there_is_one_line() -> None:
    assert top("http://127.0.0.1:1", "--once") == (1, "", "Error: no response: Connection refused\n")


def test_a_wrong_token_or_url_is_named_and_not_shown() -> None:
    assert top("http://127.0.0.1:1", "--once", OBS_ADMIN_TOKEN="a\nsecret") == (
        1,
        "",
        "Error: The admin token has characters that a header cannot contain.\n",
    )
    code, _, err = top("shop", "--once")
    assert code == 2
    assert "expected a URL like http://127.0.0.1:8000" in err


def until_seen(script: Script, count: int, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(script.seen) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_goes_on_after_an_error_and_ends_with_ctrl_c(number: signal.Signals) -> None:
    """A service that restarts is shown again; the exit status is 0. Without a terminal there are no escapes."""
    with serving((200, STATE), (503, {}), (200, STATE)) as script:
        process = subprocess.Popen(
            [*COMMAND, script.url], env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until_seen(script, 4, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert err == "Error: 503\n"
    assert out.count("ROUTE") >= 2
    assert "\x1b" not in out


def test_a_terminal_is_left_as_it_was() -> None:
    """On a terminal it uses the alternate screen, and fits its size."""
    with serving((200, {**STATE, "routes": [route(f"/r{one}", one) for one in range(100)]}), (500, {})) as script:
        terminal, other = pty.openpty()
        env = environ(LINES="15", COLUMNS="80", TERM="xterm")
        process = subprocess.Popen([*COMMAND, script.url], env=env, stdin=other, stdout=other, stderr=other)
        os.close(other)
        shown = b""
        deadline = time.monotonic() + PATIENCE_S
        # The error of the second request is below the table.
        while b"500\x1b[K" not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # The other end is closed.
            while part := os.read(terminal, 65536):
                shown += part
        assert process.wait(PATIENCE_S) == 0
        os.close(terminal)
    text = shown.decode()
    assert text.startswith("\x1b[?1049h\x1b[?25l\x1b[H")
    assert text.endswith("\x1b[?25h\x1b[?1049l")
    first = text.split("\x1b[J")[0]
    assert first.count("\r\n") == 13
    assert "more routes" in first


def test_a_reader_that_ends_is_no_error() -> None:
    with serving((200, STATE)) as script:
        process = subprocess.Popen(
            [*COMMAND, script.url], env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        with process.stderr:
            assert process.stderr.read() == ""


def test_a_served_application_is_shown() -> None:
    """The console of a real service, with its token and without."""
    env = {"OBS_CONSOLE_ENABLED": "true", "OBS_ADMIN_TOKEN": TOKEN, "OBS_SERVICE_NAME": "shop"}
    command = Command(SHOP, "uvicorn", "app", env={**env, "OBS_TRACING_ENABLED": "false"})
    try:
        command.start()
        deadline = time.monotonic() + PATIENCE_S
        shown = ""
        while "GET /rooms/{room}" not in shown or "GET /fail" not in shown:
            assert time.monotonic() < deadline, shown
            httpx.get(f"{command.url}/rooms/canary")
            httpx.get(f"{command.url}/fail")
            code, shown, err = top(command.url, "--once", OBS_ADMIN_TOKEN=TOKEN)
            assert (code, err) == (0, "")
        code, _, err = top(command.url, "--once", OBS_ADMIN_TOKEN="wrong-token-of-a-stranger")
    finally:
        command.close()
    assert shown.startswith("shop dev")
    assert "this worker of unknown many" in shown.splitlines()[0]
    assert "canary" not in shown
    assert (code, err) == (1, "Error: 401: the token is missing or wrong; set OBS_ADMIN_TOKEN, or --token-file\n")

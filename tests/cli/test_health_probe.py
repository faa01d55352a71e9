"""`divan-obs probe`: what it says, and how it exits."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest
from click.testing import CliRunner, Result

import divan_obs_asgi as obs
from divan_obs_asgi.cli import main as cli
from divan_obs_asgi.types import Receive, Scope, Send
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.stacks import Observed


def probe(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.main, ["probe", *arguments], env=env)


def told(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    status = int(scope["path"].strip("/"))
    headers = [(b"location", b"/200")] if status == 302 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": unquote_to_bytes(scope["query_string"])})


@contextmanager
def speaking(*pieces: bytes, pause_s: float = 0.0) -> Iterator[str]:
    """Yield the URL of something that sends these bytes to whoever connects, and then waits."""
    done = threading.Event()

    def speak(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            for piece in pieces:
                connection.sendall(piece)
                if done.wait(pause_s):
                    return
            done.wait(PATIENCE_S)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/health/live"
        finally:
            done.set()
            thread.join()


def test_the_command_tells_how_the_service_is() -> None:
    """0 where it is ready; 1 and the failing checks where it is not."""
    observed = Observed()
    redis_is_up = True

    @observed.obs.probes.probe("redis")
    async def redis() -> dict[str, object]:
        if not redis_is_up:
            raise obs.ProbeFailed("refused")
        return {}

    with serve(obs.build_stack(application, observed.obs), lifespan="off") as serving:
        url = f"{serving.url}/health/ready"
        assert told(probe(url)) == (0, "200\n", "")
        redis_is_up = False
        assert told(probe(url)) == (1, "", "503: redis\n")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (204, "", (0, "204\n", "")),
        (299, "", (0, "299\n", "")),
        (302, "", (1, "", "302\n")),
        (404, "", (1, "", "404\n")),
        (500, '{"checks":{"a":{"ok":false},"B!\\u001b[1m":{"ok":false},"c":{"ok":true}}}', (1, "", "500: a\n")),
        (500, '{"checks":["a"]}', (1, "", "500\n")),
        (500, "[" * 5000, (1, "", "500\n")),
        (500, "\xff", (1, "", "500\n")),
    ],
)
def test_the_status_decides(status: int, body: str, expected: tuple[int, str, str]) -> None:
    """A redirect is no answer of the service; and of a body nothing is repeated but names of checks."""
    with serve(application, lifespan="off") as serving:
        assert told(probe(f"{serving.url}/{status}?{quote(body, encoding='latin-1')}")) == expected


def test_nobody_there_is_a_reason() -> None:
    """As the operating system puts it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert told(probe(f"http://127.0.0.1:{port}/")) == (1, "", "no response: Connection refused\n")
    assert probe("http://there-is-no-such-host.invalid/").exit_code == 1


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (b"H",) * 2000], ids=["nothing", "some", "drops"])
def test_a_service_that_hangs_does_not_hang_the_command(pieces: tuple[bytes, ...]) -> None:
    """Whether it sends nothing at all or a byte now and then."""
    with speaking(*pieces, pause_s=0.01) as url:
        started = time.monotonic()
        result = probe("--timeout", "0.3", url)
        assert told(result) == (1, "", "no response within 0.3 s\n")
        assert time.monotonic() - started < 15


def test_what_is_no_http_is_no_answer() -> None:
    """Another protocol on that port, say; what it sent is not repeated."""
    with speaking(b"-ERR unknown command 'GET'\r\n\x1b[2J\r\n") as url:
        assert told(probe(url)) == (1, "", "no response: BadStatusLine\n")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000/health",
        "/health",
        "ftp://x/",
        "http://",
        "http://a:b@x/",
        "http://x:99999/",
        "http://[",
        "http://x/health ready",
        "http://x y/",
        "http://x/\r\nHost: y",
        "http://x/gesundheit/lebendig-für-immer",
    ],
)
def test_what_is_no_url_is_a_wrong_command(url: str) -> None:
    """With a status of its own: 2."""
    result = probe(url)
    assert result.exit_code == 2
    assert "expected a URL like http://127.0.0.1:8000/health/ready" in result.stderr


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "soon"])
def test_what_is_no_time_is_a_wrong_command_too(timeout: str) -> None:
    """Nobody would know what came of it."""
    assert probe("--timeout", timeout, "http://127.0.0.1:1/").exit_code == 2


def test_no_proxy_is_asked() -> None:
    """The question is how this very process is."""
    with serve(application, lifespan="off") as serving:
        environment = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
        assert probe(f"{serving.url}/200", env=environment).exit_code == 0


def test_the_documented_commands_are_understood() -> None:
    """Those of docs/health.md, as a container would run them, where nobody listens."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "health.md").read_text()
    (listed,) = re.findall(r"command: \[divan-obs, (.*)\]", text)
    (healthcheck,) = re.findall(r"CMD \[\"divan-obs\", (.*)\]", text)
    for command in (listed, healthcheck):
        arguments = [word.strip(' "') for word in command.replace(":8000", ":1").split(",")]
        assert CliRunner().invoke(cli.main, arguments).exit_code == 1

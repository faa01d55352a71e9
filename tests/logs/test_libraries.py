"""What HTTP and WebSocket libraries log, as a reader of the log sees it; libraries and server are real."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import httpx
import hypercorn.config
import hypercorn.logging
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from divan_obs_asgi.logs.libraries import reducer_of
from divan_obs_asgi.testing import assert_no_secret
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.servers.asgi import serve
from tests.servers.process import ServerProcess
from tests.stacks import Observed

# None of them has a shape that a rule of the redaction policy knows.
SECRETS = {
    "path": "adalovelace",
    "query": "blueberrypie",
    "header": "marmaladejar",
    "answer": "windmillsong",
    "frame": "iloveyoucallme",
    "sent": "iloveyoutoo",
}


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


@pytest.fixture
def observed() -> Observed:
    """Everything at DEBUG, and no access line of ours, so that the servers' come."""
    observed = Observed({"LOG_LEVEL": "DEBUG", "LOG_SAMPLING_BUDGET": "1000000"})
    observed.obs.log.install(own_access_line=False)
    return observed


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"x-answer", SECRETS["answer"].encode()), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 418, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


def by(observed: Observed, logger: str) -> list[str]:
    return [line["msg"] for line in observed.lines() if line["logger"].startswith(logger)]


def test_httpx_logs_method_host_and_status(observed: Observed) -> None:
    """And httpcore, beneath it, its events and the names of headers."""
    with serve(shop, lifespan="off") as serving:
        url = f"{serving.url}/{SECRETS['path']}?sweet={SECRETS['query']}"
        assert httpx.get(url, headers={"x-kitchen": SECRETS["header"]}).status_code == 418
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    assert by(observed, "httpx") == [f"HTTP Request: GET {serving.url} 418"]
    result = by(observed, "httpcore")
    assert "connect_tcp.started" in result
    (answer,) = [line for line in result if line.startswith("receive_response_headers.complete")]
    assert answer.startswith("receive_response_headers.complete 418 ")
    assert "x-answer" in answer.split()
    # Of this one the address and the path are left out, too.
    assert by(observed, "uvicorn.access") == ["GET 418"]


def test_httpx_logs_the_kind_of_a_failure(observed: Observed) -> None:
    """Not its text, which may have the address."""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:9/{SECRETS['path']}")
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    assert "connect_tcp.failed ConnectError" in by(observed, "httpcore")


def test_a_websockets_client_logs_kinds_and_sizes(observed: Observed) -> None:
    """Neither path nor headers nor what is said."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept", "headers": [(b"x-answer", SECRETS["answer"].encode())]})
        await receive()
        await receive()
        await send({"type": "websocket.send", "text": SECRETS["sent"]})
        await send({"type": "websocket.close"})

    with serve(echo, lifespan="off", ws="websockets-sansio") as serving:
        url = f"{serving.ws_url}/{SECRETS['path']}?sweet={SECRETS['query']}"
        with connect(url, additional_headers={"x-kitchen": SECRETS["header"]}) as client:
            client.send(SECRETS["frame"])
            assert client.recv() == SECRETS["sent"]
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    result = by(observed, "websockets.client")
    assert f"> TEXT {len(SECRETS['frame'])} bytes" in result
    assert "< x-answer" in result
    assert "< HTTP/1.1 101" in result
    assert by(observed, "uvicorn.error").count("WebSocket accepted") == 1


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING, logging.ERROR], ids=logging.getLevelName)
def test_an_unknown_line_of_a_library_keeps_its_format_string(observed: Observed, level: int) -> None:
    """The format string; and nothing where the text was put together before."""
    library, secret = logging.getLogger("boto3.someday"), SECRETS["path"]
    library.log(level, "bucket %s is slow", secret, extra={"bucket": secret})
    library.log(level, f"bucket {secret} is gone")
    try:
        raise ConnectionError(secret)
    except ConnectionError:
        library.log(level, "no bucket", exc_info=True, stack_info=True)
    library.log(level, {"bucket": secret})
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    assert by(observed, "boto3") == ["bucket %s is slow", "[redacted:library]", "no bucket", "[redacted:library]"]
    (error,) = [line["error"] for line in observed.lines() if "error" in line]
    assert error["type"] == "ConnectionError"
    assert error["traceback"].startswith('  File "')


def test_a_value_that_begins_like_a_statement_is_hidden(observed: Observed) -> None:
    """The statement stands where its library puts it, and nowhere else."""
    text = f"select {SECRETS['path']}"
    logging.getLogger("databases").debug("Row %s", text)
    logging.getLogger("sqlalchemy.dialects.postgresql").info(f"{text}!")
    assert_no_secret(observed.stream.getvalue(), SECRETS)


@pytest.mark.parametrize(
    "said",
    [
        r"SELECT * FROM t WHERE a = '\' AND b = 'adalovelace'",
        "INSERT INTO t VALUES ('it''s adalovelace', $$adalovelace$$, \"adalovelace\")",
        "INSERT INTO t VALUES ('a' ... (1234 characters truncated) ... adalovelace', 2)",
        "SELECT 'adalovelace",
    ],
)
def test_a_statement_is_logged_without_literals(observed: Observed, said: str) -> None:
    """Whatever the database takes for one, and where it was cut."""
    logging.getLogger("databases").debug("Query: %s Args: %s", said, "()")
    logging.getLogger("sqlalchemy.engine.Engine").debug(f"{said} ")
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    assert all(line.startswith(said[:6]) for line in by(observed, "databases") + by(observed, "sqlalchemy"))


@pytest.mark.parametrize("name", ["shop", "shop.httpx", "websocket", "httpxx", "root", "uvicorn.error"])
def test_an_applications_line_is_untouched(observed: Observed, name: str) -> None:
    """Also where it writes to the server's logger, as many do, or has a library's name for a word."""
    said = "sold to ada"
    logging.getLogger(name).info(f"{said} %s", 3, extra={"room": "r7"})
    (line,) = [line for line in observed.lines() if line["logger"] == name]
    assert (line["msg"], line["room"]) == (f"{said} 3", "r7")


@pytest.mark.parametrize("name", ["pip._vendor.urllib3.connectionpool", "shop.vendor.databases.core"])
def test_a_library_that_another_brings_along_is_one(name: str) -> None:
    """A copy logs what the original does."""
    assert reducer_of(name) is not None


def test_hypercorns_access_line_has_method_and_status(observed: Observed) -> None:
    """It is there where ours is not."""
    config = hypercorn.config.Config()
    config.accesslog = "-"
    server = hypercorn.logging.Logger(config)
    observed.obs.log.adopt_server_loggers()
    assert server.access_logger is not None
    path = f"/{SECRETS['path']}"
    scope: Any = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "scheme": "http"}
    atoms = server.atoms(scope, {"status": 404, "headers": []}, 0.1)
    server.access_logger.info(config.access_log_format, atoms)
    assert_no_secret(observed.stream.getvalue(), SECRETS)
    assert by(observed, "hypercorn.access") == ["GET 404"]


# The command, as it is deployed.

APP = """
import divan_obs_asgi as obs

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await receive()
    if scope["path"].startswith("/closed"):
        await send({"type": "websocket.close"})
        return
    if scope["path"].startswith("/teapot"):
        await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
        return
    await send({"type": "websocket.accept"})
    if scope["path"].startswith("/broken"):
        raise ValueError("on purpose")
    await receive()
    await send({"type": "websocket.send", "text": "iloveyoutoo"})
    await send({"type": "websocket.close"})

app = obs.wrap(app)
"""


class Uvicorn(ServerProcess):
    """`uvicorn app:app`."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Uvicorn running")

    def __init__(self, environ: Mapping[str, str], *options: str) -> None:
        super().__init__()
        (self.directory / "shop.py").write_text(APP)
        self._options = options
        self._environ = environ
        self.log: deque[str] = deque()  # All of it.

    def command(self) -> Sequence[str]:
        own = ["--app-dir", str(self.directory), "--host", self.host, "--port", str(self.port)]
        return [sys.executable, "-m", "uvicorn", "shop:app", *own, *self._options]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return super().popen(command, env={**self._environ, **(env or {})})

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log if line.startswith("{")]


@pytest.mark.slow
@pytest.mark.parametrize("ws", ["websockets", "websockets-sansio", "wsproto"])
@pytest.mark.parametrize("level", ["info", "trace"])
@pytest.mark.parametrize("own_line", ["true", "false"])
def test_servers_do_not_log_the_data_of_a_websocket(ws: str, level: str, own_line: str) -> None:
    """Neither path, query and address of its handshake nor its messages; with our access line there are no others."""
    verdicts = {"open": "accepted", "closed": "403", "teapot": "418", "broken": "accepted"}
    environ = {"OBS_ACCESS_LOG_ENABLED": own_line, "LOG_LEVEL": "INFO", "PYTHONWARNINGS": "ignore"}
    server = Uvicorn(environ, "--ws", ws, "--log-level", level)
    clients = []
    try:
        server.start()
        for kind in verdicts:
            url = f"ws://{server.host}:{server.port}/{kind}/{SECRETS['path']}?sweet={SECRETS['query']}"
            try:
                # A socket of its own, for a server that closes at once leaves none to ask for its address.
                sock = socket.create_connection((server.host, server.port), timeout=30)
                clients.append("{}:{}".format(*sock.getsockname()))
                headers = {"x-kitchen": SECRETS["header"]}
                with connect(url, sock=sock, additional_headers=headers, open_timeout=30) as client:
                    if kind == "open":
                        client.send(SECRETS["frame"])
                        assert client.recv(timeout=30) == SECRETS["sent"]
            except InvalidStatus:
                pass
    finally:
        server.close()
    assert_no_secret(list(server.log), {**SECRETS, **{f"client {one}": one for one in clients}})
    result = [line["msg"] for line in server.lines() if line["logger"] == "uvicorn.error"]
    handshakes = [f"WebSocket {verdict}" for verdict in verdicts.values()]
    assert [line for line in result if line in handshakes] == ([] if own_line == "true" else handshakes)
    # The application's exception is logged as usual.
    assert "on purpose" in next(line["error"]["traceback"] for line in server.lines() if "error" in line)
    if level == "trace" and ws != "wsproto":
        assert f"< TEXT {len(SECRETS['frame'])} bytes" in result

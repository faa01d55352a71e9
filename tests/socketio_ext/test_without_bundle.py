"""A server that was made without a bundle takes that of the application around it; the documents show it so."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import socketio
from starlette.applications import Starlette

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Message
from tests.logs.root_logger import root_logger_kept
from tests.servers.command import Command
from tests.stacks import Observed

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "an-admin-token-for-tests"
ALONE = "import divan_obs_asgi as obs\n"
MOUNTED = """
import socketio
from starlette.applications import Starlette
import divan_obs_asgi as obs

app = Starlette()
obs.init(app)
sio = obs.socketio_ext.ObservedAsyncServer(async_mode="asgi")

@sio.on("say")
async def say(sid, text):
    return "told"

app.mount("/", socketio.ASGIApp(sio))
"""


def shown(document: str) -> str:
    """Return the first block of a document that makes a Socket.IO server."""
    found: list[str] = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return next(code for code in found if "ObservedAsyncServer" in code and "async_mode" in code)


class Client:
    """A client that speaks Engine.IO by long polling."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        opened = self.get()
        self.sid = re.search(r'"sid":"([^"]+)"', opened)[1]  # type: ignore[index]

    def get(self, **query: str) -> str:
        answer = self.http.get("/socket.io/", params={"EIO": "4", "transport": "polling", **query})
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, packet: str) -> None:
        answer = self.http.post("/socket.io/", params=self.query, content=packet)
        assert answer.status_code == 200, answer.text

    def poll(self) -> str:
        return self.get(sid=self.sid)

    @property
    def query(self) -> dict[str, str]:
        return {"EIO": "4", "transport": "polling", "sid": self.sid}


@pytest.mark.parametrize(
    ("code", "app", "event"),
    [
        (shown("docs/socketio.md"), "app", "say"),
        (ALONE + shown("README.md") + "\n@sio.on('say')\nasync def say(sid, text): return 'told'\n", "chat", "say"),
        (MOUNTED, "app", "say"),
    ],
    ids=["docs", "readme", "mounted"],
)
def test_what_the_documents_show_is_observed(code: str, app: str, event: str) -> None:
    """As it stands there: events are counted on the page of the application around it, and are lines with ids."""
    command = Command(code, "uvicorn", app, env={"OBS_ADMIN_TOKEN": TOKEN})
    try:
        command.start()
        with httpx.Client(base_url=command.url, timeout=30) as http:
            client = Client(http)
            client.post("40")
            assert client.poll().startswith("40")
            client.post(f'421["{event}","hello"]')
            assert "told" in client.poll()
            page = http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
        assert f'divan_socketio_events_total{{event="{event}",namespace="/"}} 1.0\n' in page
        assert 'divan_socketio_clients{namespace="/"} 1.0\n' in page
        assert command.line(f"EVENT / {event}")["request_id"]
    finally:
        command.close()


def chat(**arguments: Any) -> tuple[Any, ASGIApp]:
    server: Any = obs.socketio_ext.ObservedAsyncServer(async_mode="asgi", **arguments)
    return server, socketio.ASGIApp(server)


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with root_logger_kept():
        yield


def ask(*apps: Any) -> list[int | None]:
    """Return the status with which each answers a poll of a session that it does not know."""
    scope = {**http_scope(path="/socket.io/"), "query_string": b"EIO=4&transport=polling&sid=nobody"}
    end: Message = {"type": "http.request", "body": b"", "more_body": False}

    async def main() -> list[int | None]:
        return [(await converse(app, dict(scope), [end])).status for app in apps]

    return anyio.run(main)


def test_each_of_several_bundles_has_its_own_servers() -> None:
    """However they are made one after the other: a server belongs to the application that wraps it."""
    (one, inner_one), (two, inner_two) = chat(), chat()
    first, second = Observed(), Observed()
    app_two = obs.wrap(inner_two, second.obs)
    app_one = obs.wrap(inner_one, first.obs)
    ask(app_one, app_two)
    assert (one.obs, two.obs) == (first.obs, second.obs)


def test_the_innermost_stack_has_the_server() -> None:
    """An application within another one may be observed by itself."""
    server, inner = chat()
    outside, inside = Observed(), Observed()
    app = obs.wrap(obs.wrap(inner, inside.obs), outside.obs)
    ask(app)
    assert server.obs is inside.obs


def test_one_that_was_named_is_the_one() -> None:
    """`obs=` goes before whatever stands around it."""
    named, around = Observed(), Observed()
    server, inner = chat(obs=named.obs)
    ask(obs.wrap(inner, around.obs))
    assert server.obs is named.obs


def test_without_a_stack_it_is_a_plain_server(caplog: pytest.LogCaptureFixture) -> None:
    """It serves, and one line says why nothing is counted."""
    _, app = chat()
    assert ask(app, app) == [400, 400]
    said = [record.getMessage() for record in caplog.records if record.name == "divan_obs_asgi.socketio_ext.server"]
    assert said == [
        "ObservedAsyncServer is not observed: it was made without obs=, and it is not inside a stack of init or wrap."
    ]


@pytest.mark.parametrize("flag", ["OBS_ENABLED", "OBS_SOCKETIO_ENABLED"])
def test_where_it_is_switched_off_nothing_is_said(
    flag: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody wants it so."""
    monkeypatch.setenv(flag, "false")
    _, app = chat()
    framework = Starlette()
    framework.mount("/", app)
    obs.init(framework)
    caplog.set_level(logging.WARNING)
    assert ask(framework) == [400]
    assert [record for record in caplog.records if record.name.startswith("divan_obs_asgi.socketio_ext")] == []


@pytest.mark.parametrize("given", [(), ("environ",)], ids=["nothing", "no_scope"])
def test_what_is_no_scope_reaches_upstream_as_it_is(given: tuple[object, ...]) -> None:
    """A server for another framework than ASGI's is handed requests of that framework's own."""
    server = obs.socketio_ext.ObservedAsyncServer(async_mode="asgi")
    handed = []

    async def handle_request(*arguments: object) -> str:
        handed.append(arguments)
        return "answered"

    server.eio.handle_request = handle_request
    assert anyio.run(server.handle_request, *given) == "answered"
    assert handed == [given]

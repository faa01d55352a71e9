"""The Socket.IO gauges cannot drift: they are the manager's own list of clients."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import socketio

import divan_obs_asgi as obs
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.stacks import Observed


async def connected(url: str, namespace: str = "/", wait_s: float = PATIENCE_S) -> socketio.AsyncClient:
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(url, namespaces=[namespace], wait_timeout=wait_s)
    return client


def talk(server: socketio.AsyncServer, conversation: Callable[[str], Awaitable[None]]) -> None:
    """Serve `server` by a real uvicorn and let clients talk to it."""
    with serve(socketio.ASGIApp(server)) as serving:
        anyio.run(conversation, serving.url)


def server_of(observed: Observed, **options: Any) -> Any:
    return obs.socketio_ext.ObservedAsyncServer(obs=observed.obs, async_mode="asgi", **options)


async def legacy(sid: str, environ: object) -> None: ...


async def with_auth(sid: str, environ: object, auth: object) -> None: ...


@pytest.mark.parametrize("handler", [None, legacy, with_auth])
@pytest.mark.parametrize("always_connect", [False, True])
def test_a_client_counts_once_whatever_the_handlers_signature(handler: Any, always_connect: bool) -> None:
    """python-socketio calls a connect handler once or twice, by its signature; a client is one client."""
    observed = Observed()
    server = server_of(observed, always_connect=always_connect, namespaces=["/"])
    if handler is not None:
        server.on("connect", handler)

    async def echo(sid: str, text: str) -> str:
        return text

    server.on("echo", echo)

    async def conversation(url: str) -> None:
        first, second = await connected(url), await connected(url)
        assert await first.call("echo", "hi", timeout=PATIENCE_S) == "hi"
        assert observed.value("divan_socketio_clients", namespace="/") == 2
        await first.disconnect()
        with anyio.fail_after(PATIENCE_S):
            while observed.value("divan_socketio_clients", namespace="/") != 1:
                await second.call("echo", "still here", timeout=PATIENCE_S)
        await second.disconnect()

    talk(server, conversation)
    assert observed.value("divan_socketio_clients", namespace="/") == 0
    assert list(observed.samples("divan_socketio_events_total")) == [(("event", "echo"), ("namespace", "/"))]


async def refuses(sid: str, environ: object, auth: object) -> bool:
    return False


async def raises_a_refusal(sid: str, environ: object, auth: object) -> None:
    raise socketio.exceptions.ConnectionRefusedError("not you")


@pytest.mark.parametrize("handler", [refuses, raises_a_refusal])
def test_a_refused_client_is_none(handler: Any) -> None:
    """A refused connect fires no disconnect, and leaves the gauge where it was."""
    observed = Observed()
    server = server_of(observed)
    server.on("connect", handler)

    async def conversation(url: str) -> None:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await connected(url, wait_s=2)  # An old client waits that long although it has its answer.

    talk(server, conversation)
    assert observed.value("divan_socketio_clients", namespace="/") == 0


def test_a_connect_handler_that_raises_leaves_no_ghost() -> None:
    """Its exception is the server's affair as before; the client is not kept in the manager for ever."""
    observed = Observed()
    server = server_of(observed)

    async def breaks(sid: str, environ: object, auth: object) -> None:
        raise LookupError("on purpose")

    server.on("connect", breaks)

    async def conversation() -> None:
        server.environ["engine"] = {}
        with pytest.raises(LookupError, match="on purpose"):
            await server.eio.handlers["message"]("engine", "0")

    anyio.run(conversation)
    assert list(server.manager.get_participants("/", None)) == []
    assert observed.value("divan_socketio_clients", namespace="/") == 0


def test_what_a_client_invents_is_no_label() -> None:
    """Event names are client input; only registered ones become series."""
    observed = Observed()
    server = server_of(observed)

    class Chat(socketio.AsyncNamespace):
        async def on_say(self, sid: str, text: str) -> str:
            return text

    server.register_namespace(Chat("/chat"))

    async def conversation(url: str) -> None:
        client = await connected(url, "/chat")
        for number in range(20):
            await client.emit(f"invented-{number}", namespace="/chat")
        assert await client.call("say", "hi", namespace="/chat", timeout=PATIENCE_S) == "hi"
        await client.disconnect()

    talk(server, conversation)
    assert observed.samples("divan_socketio_events_total") == {
        (("event", "__unknown__"), ("namespace", "/chat")): 20,
        (("event", "say"), ("namespace", "/chat")): 1,
    }
    assert set(observed.samples("divan_socketio_clients")) == {(("namespace", "/chat"),)}


def test_a_client_that_the_server_sends_away_is_gone() -> None:
    """`disconnect` on the server's side counts like the client's own."""
    observed = Observed()
    server = server_of(observed)

    async def leave(sid: str) -> None:
        await server.disconnect(sid)

    server.on("leave", leave)

    async def conversation(url: str) -> None:
        client = await connected(url)
        gone = anyio.Event()
        client.on("disconnect", lambda *reason: gone.set())
        await client.emit("leave")
        with anyio.fail_after(PATIENCE_S):
            await gone.wait()

    talk(server, conversation)
    assert observed.value("divan_socketio_clients", namespace="/") == 0


def test_switched_off_it_is_the_plain_server() -> None:
    """OBS_SOCKETIO_ENABLED=false leaves no series, and everything does what it does there."""
    observed = Observed({"OBS_SOCKETIO_ENABLED": "false"})
    server = server_of(observed, namespaces=["/"])
    gone = anyio.Event()

    async def ask(sid: str) -> None:
        assert await server.call("question", to=sid, timeout=PATIENCE_S) == "yes"
        await server.disconnect(sid)

    server.on("ask", ask)

    async def conversation(url: str) -> None:
        client = await connected(url)
        client.on("question", lambda: "yes")
        client.on("disconnect", lambda *reason: gone.set())
        await client.emit("ask")
        with anyio.fail_after(PATIENCE_S):
            await gone.wait()

    talk(server, conversation)
    samples = [sample for family in observed.obs.metrics.registry.collect() for sample in family.samples]
    told = [sample for sample in samples if sample.name.startswith("divan_socketio_") and "_created" not in sample.name]
    # Those without labels are there from the start.
    assert {sample.name: sample.value for sample in told} == {
        "divan_socketio_upgrades_total": 0,
        "divan_socketio_pubsub_interruptions_total": 0,
    }


def test_without_python_socketio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part whose extra is missing names it."""
    monkeypatch.delitem(sys.modules, "divan_obs_asgi.socketio_ext.server")
    monkeypatch.setitem(sys.modules, "socketio", None)
    with pytest.raises(ImportError, match=r"pip install 'divan-obs-asgi\[socketio\]'"):
        _ = obs.socketio_ext.ObservedAsyncServer

"""python-socketio's own client, obeying a test as the JavaScript one does."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import base64
import gc
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import anyio
import socketio
from anyio.from_thread import start_blocking_portal

from tests.patience import PATIENCE_S
from tests.socketio_ext.javascript_client import ClientError


class _Client:
    """One client, with what it has received."""

    def __init__(self) -> None:
        self.io = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.1, randomization_factor=0)
        self.received: list[tuple[str, str, list[object]]] = []
        self.connects: dict[str, int] = {}
        self.wanted: list[str] = []
        #: Set when a call has returned; with it the server has given up waiting for the answer to `late_question`.
        self.called = anyio.Event()

    def join(self, namespace: str) -> None:
        """Listen to a namespace, before it is connected to."""

        async def kept(event: str, *args: object) -> object:
            self.received.append((namespace, event, list(args)))
            if event == "late_question":
                await self.called.wait()
            return args

        async def connected() -> None:
            self.connects[namespace] = self.connects.get(namespace, 0) + 1

        self.io.on("*", kept, namespace=namespace)
        self.io.on("connect", connected, namespace=namespace)
        self.wanted.append(namespace)


class PythonClients:
    """Any number of `socketio.AsyncClient` on one event loop in a thread, each by its name."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}
        self._leaving: list[Future[None]] = []
        self._closing = ExitStack()
        self._portal = self._closing.enter_context(start_blocking_portal("asyncio"))

    def do(self, what: str, client: str, **wish: Any) -> Any:
        """As that of `JavaScriptClients`."""
        if what == "close":
            # A client that polls waits for the answer to its last poll, and a server for nobody.
            if client in self._clients:
                self._leaving.append(self._portal.start_task_soon(self._close, self._clients.pop(client)))
            return None
        return self._portal.call(self._do, what, client, wish)

    async def _do(self, what: str, name: str, wish: dict[str, Any]) -> Any:
        client = self._clients.setdefault(name, _Client())
        try:
            return _as_json(await getattr(self, f"_{what}")(client, **wish))
        except (socketio.exceptions.SocketIOError, TimeoutError) as error:
            raise ClientError(str(error)) from error

    def end(self) -> None:
        for name in list(self._clients):
            self.do("close", name)
        for leaving in self._leaving:
            leaving.result(PATIENCE_S)
        self._closing.close()
        gc.collect()  # Here, where a test may have a filter for what its clients have left open.

    async def _connect(
        self, client: _Client, url: str, namespace: str, transports: list[str], auth: object = None
    ) -> None:
        if namespace not in client.wanted:
            client.join(namespace)
        if client.io.connected:
            # Its `connect` takes all namespaces at once; a further one is asked for as the JavaScript client does it.
            before = client.connects.get(namespace, 0)
            packet = client.io.packet_class(socketio.packet.CONNECT, data=auth or {}, namespace=namespace)
            await client.io._send_packet(packet)
            await self._until(lambda: client.connects.get(namespace, 0) > before)
            # What it asks for when it connects anew.
            client.io.connection_namespaces.append(namespace)
            return
        await client.io.connect(
            url, namespaces=[namespace], transports=transports, auth=auth, wait_timeout=int(PATIENCE_S)
        )
        await self._until(lambda: client.io.transport() == transports[-1])

    async def _emit(self, client: _Client, namespace: str, event: str, args: list[Any]) -> None:
        await client.io.emit(event, tuple(_bytes(args)), namespace=namespace)

    async def _call(self, client: _Client, namespace: str, event: str, args: list[Any]) -> Any:
        answer = await client.io.call(event, tuple(_bytes(args)), namespace=namespace, timeout=int(PATIENCE_S))
        client.called.set()
        client.called = anyio.Event()
        return answer

    async def _received(self, client: _Client, namespace: str, event: str, count: int) -> list[list[object]]:
        def fitting() -> list[list[object]]:
            return [args for space, name, args in client.received if (space, name) == (namespace, event)]

        await self._until(lambda: len(fitting()) >= count)
        return fitting()

    async def _ids(self, client: _Client, namespace: str) -> dict[str, object]:
        transport = client.io.transport()
        return {"sid": client.io.get_sid(namespace), "engine": client.io.eio.sid, "transport": transport}

    async def _drop(self, client: _Client) -> None:
        engine = client.io.eio
        await (engine.ws if client.io.transport() == "websocket" else engine.http).close()

    async def _connected(self, client: _Client, namespace: str, count: int) -> None:
        await self._until(lambda: client.connects.get(namespace, 0) >= count and client.io.connected)

    async def _disconnected(self, client: _Client, namespace: str) -> None:
        await self._until(lambda: namespace not in client.io.namespaces)

    async def _disconnect(self, client: _Client, namespace: str) -> None:
        packet = client.io.packet_class(socketio.packet.DISCONNECT, namespace=namespace)
        await client.io._send_packet(packet)
        client.io.namespaces.pop(namespace, None)

    async def _close(self, client: _Client) -> None:
        # `shutdown` does both, since 5.12.
        if client.io.connected:
            await client.io.disconnect()
        elif client.io._reconnect_task and client.io._reconnect_abort:
            client.io._reconnect_abort.set()
            await client.io._reconnect_task

    async def _until(self, happened: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE_S):
            while not happened():  # noqa: ASYNC110  # Nobody sets an event when it happens.
                await anyio.sleep(0.005)


def _bytes(value: Any) -> Any:
    """Return the arguments with the bytes that JSON could not hold."""
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    return base64.b64decode(value["$bytes"]) if isinstance(value, dict) and "$bytes" in value else value


def _as_json(value: Any) -> Any:
    """Return an answer as the JavaScript client gives it, through JSON."""
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return {"$bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value

"""Socket.IO without a network: clients whose packets go through the server's handlers of Engine.IO events."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
from typing import Any

import engineio
from engineio.async_socket import AsyncSocket

import divan_obs_asgi as obs
from tests.stacks import Observed


def server_of(observed: Observed, **options: Any) -> Any:
    """Return a server whose handlers have ended when a packet has been handled."""
    options = {"async_handlers": False, **options}
    return obs.socketio_ext.ObservedAsyncServer(obs=observed.obs, async_mode="asgi", **options)


class Client:
    """A client of Engine.IO, as far as the server knows it."""

    def __init__(self, server: Any, environ: dict[str, Any] | None = None) -> None:
        self.server = server
        self.eio_sid = server.eio.generate_id()
        self.environ = {} if environ is None else environ
        self.socket = server.eio.sockets[self.eio_sid] = AsyncSocket(server.eio, self.eio_sid)
        self.socket.connected = True
        # It is never pinged, so that it cannot be late, however long a busy machine takes.
        self.socket.last_ping = 0.0

    async def open(self) -> None:
        await self.server.eio.handlers["connect"](self.eio_sid, self.environ)

    async def send(self, packet: str | bytes) -> None:
        """Hand a packet over as Engine.IO does, which logs what handlers raise."""
        await self.server.eio.handlers["message"](self.eio_sid, packet)

    async def connect(self, namespace: str = "/", auth: str = "") -> None:
        await self.send(f"0{named(namespace)}{auth}")

    async def close(self, reason: str = "transport close") -> None:
        """End the connection, as a network does."""
        self.server.eio.sockets.pop(self.eio_sid, None)
        await self.server.eio.handlers["disconnect"](self.eio_sid, reason)

    def sid(self, namespace: str = "/") -> str:
        return str(self.server.manager.sid_from_eio_sid(self.eio_sid, namespace))

    def received(self) -> list[str]:
        """Return the packets that were sent to the client since the last time."""
        found: list[str] = []
        while True:
            try:
                packet: engineio.packet.Packet = self.socket.queue.get_nowait()
            except asyncio.QueueEmpty:
                return found
            found.append(packet.data)


def named(namespace: str) -> str:
    """Return a namespace as it stands in a packet."""
    return "" if namespace == "/" else f"{namespace},"


async def opened(server: Any, environ: dict[str, Any] | None = None) -> Client:
    client = Client(server, environ)
    await client.open()
    return client


async def connected(server: Any, namespace: str = "/") -> Client:
    client = await opened(server)
    await client.connect(namespace)
    return client


async def answers_to(server: Any, packet: str) -> list[str]:
    """Return what a client hears that has connected and sends this."""
    client = await connected(server)
    client.received()
    await client.send(packet)
    return client.received()

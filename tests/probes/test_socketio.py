"""SocketIoProbe with a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import socketio

import divan_obs_asgi as obs
from divan_obs_asgi.probes import SocketIoProbe
from tests.servers.redis import RedisServer


@asynccontextmanager
async def listening_server(url: str) -> AsyncIterator[socketio.AsyncServer]:
    """Give a server that has begun to listen, as it does with its first client."""
    server = socketio.AsyncServer(client_manager=socketio.AsyncRedisManager(url))
    server.manager.initialize()
    server.manager_initialized = True
    try:
        yield server
    finally:
        server.manager.thread.cancel()
        await anyio.lowlevel.checkpoint()
        if server.manager.pubsub is not None:
            await server.manager.pubsub.aclose()
            await server.manager.redis.aclose()


async def until_well(probe: SocketIoProbe, patience_s: float) -> None:
    with anyio.fail_after(patience_s):
        while True:
            try:
                assert await probe.check() == {"subscribed": True}
            except obs.ProbeFailed:
                await anyio.sleep(0.01)
            else:
                return


def test_a_subscribed_server_passes(redis_server: RedisServer) -> None:
    """It fails without Redis, and passes soon after its return: python-socketio retries after a second."""

    async def check() -> None:
        async with listening_server(redis_server.url) as server:
            probe = SocketIoProbe(server)
            await until_well(probe, 5.0)
            with redis_server.down():
                await anyio.lowlevel.checkpoint()  # The end of the connection is here, and wants to be read.
                with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
                    await probe.check()
            await until_well(probe, 10.0)
            await probe.aclose()

    anyio.run(check)


def test_a_new_publishing_connection_does_not_matter(redis_server: RedisServer) -> None:
    """After a failed publish python-socketio reconnects, but still listens on the old connection."""

    async def check() -> None:
        async with listening_server(redis_server.url) as server:
            probe = SocketIoProbe(server)
            await until_well(probe, 5.0)
            subscribed, first = server.manager.pubsub, server.manager.redis
            server.manager.connected = False
            await server.manager._publish({"method": "callback"})
            second = server.manager.redis
            assert server.manager.pubsub is not subscribed
            assert await probe.check() == {"subscribed": True}
            with redis_server.down():
                await anyio.lowlevel.checkpoint()
                with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
                    await probe.check()
            await until_well(probe, 10.0)
            await probe.aclose()
            # Left open by python-socketio.
            for connection in (subscribed, first, second):
                await connection.aclose()

    anyio.run(check)


def test_an_ended_listener_fails(redis_server: RedisServer) -> None:
    """Redis works, but this process does not read from it any more."""

    async def check() -> None:
        async with listening_server(redis_server.url) as server:
            probe = SocketIoProbe(server)
            await until_well(probe, 5.0)
            server.manager.thread.cancel()
            await anyio.sleep(0.01)
            with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
                await probe.check()
            await probe.aclose()

    anyio.run(check)


def test_a_subscription_that_redis_has_lost_is_stale(redis_server: RedisServer) -> None:
    """The connection is open, but no message will arrive."""

    async def check() -> None:
        async with listening_server(redis_server.url) as server:
            probe = SocketIoProbe(server)
            await until_well(probe, 5.0)
            server.manager.channel = "elsewhere"
            with pytest.raises(obs.ProbeFailed, match=r"^stale$"):
                await probe.check()
            await probe.aclose()

    anyio.run(check)


def test_a_server_without_clients_passes(redis_server: RedisServer) -> None:
    """It subscribes with its first client."""
    server = socketio.AsyncServer(client_manager=socketio.AsyncRedisManager(redis_server.url))
    assert anyio.run(SocketIoProbe(server).check) == {"subscribed": False}


def test_a_server_without_redis_is_a_start_up_error() -> None:
    """It has no other process to listen to."""
    expected = r"^The Socket\.IO server's manager is AsyncManager; expected an AsyncRedisManager\.$"
    server: Any = socketio.AsyncServer()
    with pytest.raises(obs.ImproperlyConfigured, match=expected):
        SocketIoProbe(server)


def test_a_write_only_server_is_a_start_up_error() -> None:
    """It does not listen, so the probe would always fail."""
    server: Any = socketio.AsyncServer(client_manager=socketio.AsyncRedisManager(write_only=True))
    with pytest.raises(
        obs.ImproperlyConfigured, match=r"is write_only and does not subscribe; remove SocketIoProbe\.$"
    ):
        SocketIoProbe(server)

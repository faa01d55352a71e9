"""A probe's dedicated connection: kept between checks, closed at a failure, replaced when it is old."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import pytest
import trio.testing

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.connections.dedicated import DedicatedConnection

T = TypeVar("T")


class Server:
    """Records what its connections do."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.restarts = 0
        self.up = True
        self.hangs = False


class ServerConnection:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._restarts = server.restarts

    async def open(self) -> None:
        self._server.log.append("open")
        if not self._server.up:
            raise ConnectionRefusedError("refused")

    async def ask(self) -> str:
        if self._server.hangs:
            await anyio.sleep_forever()
        if self._restarts != self._server.restarts:
            raise ConnectionResetError
        return "pong"

    async def close(self) -> None:
        self._server.log.append("close")
        if self._restarts != self._server.restarts:
            raise ConnectionResetError

    async def drop(self) -> None:
        self._server.log.append("drop")
        # A cancelled check must still finish this.
        await anyio.lowlevel.checkpoint()
        self._server.log.append("dropped")


def connection_to(server: Server, renew_s: float = 30.0) -> DedicatedConnection[ServerConnection]:
    return DedicatedConnection(lambda: ServerConnection(server), renew_s, anyio.current_time)


def in_virtual_time(function: Callable[[], Awaitable[T]]) -> T:
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(function, backend="trio", backend_options={"clock": clock})


def test_it_is_opened_once_and_closed_in_order() -> None:
    """Twenty checks use one connection."""
    server = Server()

    async def check() -> None:
        own = connection_to(server)
        for _ in range(20):
            assert await own.use(ServerConnection.ask) == "pong"
        assert server.log == ["open"]
        await own.aclose()
        await own.aclose()

    in_virtual_time(check)
    assert server.log == ["open", "close"]


def test_a_restart_between_two_checks_passes() -> None:
    """The old connection is lost, and the new server answers on a new one."""
    server = Server()

    async def check() -> None:
        own = connection_to(server)
        await own.use(ServerConnection.ask)
        server.restarts += 1
        assert await own.use(ServerConnection.ask) == "pong"

    in_virtual_time(check)
    assert server.log == ["open", "drop", "dropped", "open"]


def test_the_error_of_a_new_connection_is_raised() -> None:
    """And not the error of the old one. Neither connection is kept."""
    server = Server()

    async def check() -> None:
        own = connection_to(server)
        await own.use(ServerConnection.ask)
        server.restarts += 1
        server.up = False
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await own.use(ServerConnection.ask)
        server.up = True
        assert await own.use(ServerConnection.ask) == "pong"

    in_virtual_time(check)
    assert server.log == ["open", *["drop", "dropped", "open"] * 3]


def test_a_timeout_drops_the_connection() -> None:
    """A late response must not count for the next request. The cancellation does not cut the drop short."""
    server = Server()

    async def check() -> None:
        own = connection_to(server)
        await own.use(ServerConnection.ask)
        server.hangs = True
        with anyio.move_on_after(0.2):
            await own.use(ServerConnection.ask)
        assert server.log == ["open", "drop", "dropped"]

    in_virtual_time(check)


def test_a_drop_that_fails_does_not_hide_the_error() -> None:
    """The error that ended the check is raised, and the next check opens another connection."""
    server = Server()

    class Broken(ServerConnection):
        async def drop(self) -> None:
            raise RuntimeError("already gone")

    async def check() -> None:
        own = DedicatedConnection(lambda: Broken(server), 30.0, anyio.current_time)
        server.hangs = True
        with anyio.move_on_after(0.2) as timeout:
            await own.use(ServerConnection.ask)
        assert timeout.cancelled_caught
        server.hangs, server.up = False, False
        with pytest.raises(ConnectionRefusedError):
            await own.use(ServerConnection.ask)
        server.up = True
        assert await own.use(ServerConnection.ask) == "pong"

    in_virtual_time(check)


def test_a_timeout_of_the_client_is_not_retried() -> None:
    """The check has waited long enough."""
    server = Server()

    async def gives_up(_: ServerConnection) -> str:
        raise TimeoutError

    async def check() -> None:
        own = connection_to(server)
        await own.use(ServerConnection.ask)
        with pytest.raises(TimeoutError):
            await own.use(gives_up)

    in_virtual_time(check)
    assert server.log == ["open", "drop", "dropped"]


def test_it_is_replaced_after_renew_s() -> None:
    """A locked account fails only on new connections."""
    server = Server()

    async def check() -> None:
        own = connection_to(server, renew_s=30.0)
        for _ in range(29):
            await own.use(ServerConnection.ask)
            await anyio.sleep(1.0)
        assert server.log == ["open"]
        await anyio.sleep(1.0)
        await own.use(ServerConnection.ask)

    in_virtual_time(check)
    assert server.log == ["open", "open", "close"]


def test_a_full_server_keeps_the_old_connection() -> None:
    """The replacement is tried again after the same time."""
    server = Server()

    async def check() -> None:
        own = DedicatedConnection(
            lambda: ServerConnection(server), 30.0, anyio.current_time, is_full=lambda error: "refused" in str(error)
        )
        await own.use(ServerConnection.ask)
        server.up = False
        await anyio.sleep(30.0)
        for _ in range(20):
            assert await own.use(ServerConnection.ask) == "pong"
            await anyio.sleep(1.0)
        server.up = True
        await anyio.sleep(10.0)
        assert await own.use(ServerConnection.ask) == "pong"

    in_virtual_time(check)
    assert server.log == ["open", "open", "drop", "dropped", "open", "close"]


@pytest.mark.parametrize(
    "failure", [socket.gaierror(socket.EAI_AGAIN, "try again"), ProbeFailed("timeout")], ids=["fails", "hangs"]
)
def test_without_a_name_server_the_old_connection_stays(failure: Exception) -> None:
    """The check is about the server, and that one responds."""
    server = Server()

    class Named(ServerConnection):
        async def open(self) -> None:
            await super().open()
            if len(server.log) > 1:
                raise failure

    async def check() -> None:
        own = DedicatedConnection(lambda: Named(server), 30.0, anyio.current_time)
        for _ in range(40):
            assert await own.use(ServerConnection.ask) == "pong"
            await anyio.sleep(1.0)

    in_virtual_time(check)
    assert server.log == ["open", "open", "drop", "dropped"]


def test_a_replacement_that_hangs_fails_one_check() -> None:
    """The next check uses the old connection."""
    server = Server()

    class Hangs(ServerConnection):
        async def open(self) -> None:
            await super().open()
            if len(server.log) > 1:
                await anyio.sleep_forever()

    async def check() -> None:
        own = DedicatedConnection(lambda: Hangs(server), 30.0, anyio.current_time)
        await own.use(ServerConnection.ask)
        await anyio.sleep(30.0)
        with anyio.move_on_after(0.2) as timeout:
            await own.use(ServerConnection.ask)
        assert timeout.cancelled_caught
        assert await own.use(ServerConnection.ask) == "pong"

    in_virtual_time(check)
    assert server.log == ["open", "open", "drop", "dropped"]


def test_a_replacement_that_is_refused_drops_the_old_connection() -> None:
    """After a changed password, for example, the old connection would pass for ever."""
    server = Server()

    async def check() -> None:
        own = connection_to(server)
        await own.use(ServerConnection.ask)
        server.up = False
        await anyio.sleep(30.0)
        with pytest.raises(ConnectionRefusedError):
            await own.use(ServerConnection.ask)

    in_virtual_time(check)
    assert server.log == ["open", "open", *["drop", "dropped"] * 2]


def test_closing_a_lost_connection_is_silent() -> None:
    """The server closed it first."""
    server = Server()

    async def check() -> None:
        own = connection_to(server)
        await own.use(ServerConnection.ask)
        server.restarts += 1
        await own.aclose()

    in_virtual_time(check)
    assert server.log == ["open", "close", "drop", "dropped"]


def test_two_concurrent_calls_leave_one_connection() -> None:
    """The second call has a connection of its own meanwhile."""
    server = Server()

    async def check() -> None:
        own = connection_to(server)

        async def slowly(connection: ServerConnection) -> str:
            await anyio.sleep(0.1)
            return await connection.ask()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own.use, slowly)
            tasks.start_soon(own.use, slowly)
        await own.aclose()

    in_virtual_time(check)
    assert server.log == ["open", "open", "drop", "dropped", "close"]

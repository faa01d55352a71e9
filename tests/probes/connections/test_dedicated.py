"""A connection of the probe's own: opened once, let go of at the first failure, made anew when it is old."""

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
    """Counts what its links do."""

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
        # What is cancelled must come to its end all the same.
        await anyio.lowlevel.checkpoint()
        self._server.log.append("dropped")


def own_of(server: Server, renew_s: float = 30.0) -> DedicatedConnection[ServerConnection]:
    return DedicatedConnection(lambda: ServerConnection(server), renew_s, anyio.current_time)


def in_virtual_time(function: Callable[[], Awaitable[T]]) -> T:
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(function, backend="trio", backend_options={"clock": clock})


def test_it_is_opened_once_and_closed_in_order() -> None:
    """Twenty checks are one connection."""
    server = Server()

    async def check() -> None:
        own = own_of(server)
        for _ in range(20):
            assert await own.use(ServerConnection.ask) == "pong"
        assert server.log == ["open"]
        await own.aclose()
        await own.aclose()

    in_virtual_time(check)
    assert server.log == ["open", "close"]


def test_a_restart_between_two_checks_is_no_failure() -> None:
    """The old connection is dead, and the server that is there now answers a new one."""
    server = Server()

    async def check() -> None:
        own = own_of(server)
        await own.use(ServerConnection.ask)
        server.restarts += 1
        assert await own.use(ServerConnection.ask) == "pong"

    in_virtual_time(check)
    assert server.log == ["open", "drop", "dropped", "open"]


def test_what_is_down_is_told_as_a_new_connection_finds_it() -> None:
    """Not as the old one ended; and nothing is kept of either."""
    server = Server()

    async def check() -> None:
        own = own_of(server)
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


def test_a_timeout_lets_go_of_the_connection() -> None:
    """A late answer must not be taken for that of the next question; the end is not cut short by the cancellation."""
    server = Server()

    async def check() -> None:
        own = own_of(server)
        await own.use(ServerConnection.ask)
        server.hangs = True
        with anyio.move_on_after(0.2):
            await own.use(ServerConnection.ask)
        assert server.log == ["open", "drop", "dropped"]

    in_virtual_time(check)


def test_a_connection_that_cannot_even_be_dropped_hides_nothing() -> None:
    """What ended the check is told, and not how its connection took that; another one is made for the next check."""
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


def test_a_client_that_gives_up_first_is_not_asked_again() -> None:
    """It has waited for as long as it is to; a second time would be another wait."""
    server = Server()

    async def gives_up(_: ServerConnection) -> str:
        raise TimeoutError

    async def check() -> None:
        own = own_of(server)
        await own.use(ServerConnection.ask)
        with pytest.raises(TimeoutError):
            await own.use(gives_up)

    in_virtual_time(check)
    assert server.log == ["open", "drop", "dropped"]


def test_it_is_made_anew_in_time() -> None:
    """An account that was locked refuses new connections only."""
    server = Server()

    async def check() -> None:
        own = own_of(server, renew_s=30.0)
        for _ in range(29):
            await own.use(ServerConnection.ask)
            await anyio.sleep(1.0)
        assert server.log == ["open"]
        await anyio.sleep(1.0)
        await own.use(ServerConnection.ask)

    in_virtual_time(check)
    assert server.log == ["open", "open", "close"]


def test_where_there_is_no_room_for_another_the_old_one_goes_on() -> None:
    """It is not given up for one that cannot be had; after as long it is tried again."""
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
def test_without_a_name_server_the_old_one_goes_on(failure: Exception) -> None:
    """It is the server that is asked about, and that one answers."""
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


def test_what_hangs_when_it_is_to_be_made_anew_costs_one_check() -> None:
    """The next one asks on the old connection, and tells what that says."""
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


def test_what_cannot_be_made_anew_is_given_up() -> None:
    """Another password, say: the old connection would say "ok" for ever."""
    server = Server()

    async def check() -> None:
        own = own_of(server)
        await own.use(ServerConnection.ask)
        server.up = False
        await anyio.sleep(30.0)
        with pytest.raises(ConnectionRefusedError):
            await own.use(ServerConnection.ask)

    in_virtual_time(check)
    assert server.log == ["open", "open", *["drop", "dropped"] * 2]


def test_the_end_of_a_dead_connection_is_no_error() -> None:
    """The server has gone first; nothing is left to take leave of."""
    server = Server()

    async def check() -> None:
        own = own_of(server)
        await own.use(ServerConnection.ask)
        server.restarts += 1
        await own.aclose()

    in_virtual_time(check)
    assert server.log == ["open", "close", "drop", "dropped"]


def test_two_who_ask_at_once_leave_one_connection() -> None:
    """Whoever comes second has a connection of its own meanwhile."""
    server = Server()

    async def check() -> None:
        own = own_of(server)

        async def slowly(connection: ServerConnection) -> str:
            await anyio.sleep(0.1)
            return await connection.ask()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own.use, slowly)
            tasks.start_soon(own.use, slowly)
        await own.aclose()

    in_virtual_time(check)
    assert server.log == ["open", "open", "drop", "dropped", "close"]

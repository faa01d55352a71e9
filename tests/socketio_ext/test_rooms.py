"""How large rooms are can be seen, and not how they are called."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.socketio_ext.sockets import connected, server_of
from tests.stacks import Observed


def rooms_of(observed: Observed) -> dict[tuple[str, str], float]:
    """Return the rooms by namespace and class, those that are none left out."""
    found = observed.samples("divan_socketio_rooms").items()
    return {(dict(labels)["namespace"], dict(labels)["members"]): count for labels, count in found if count}


def test_rooms_are_counted_by_their_size() -> None:
    """Not the room that each client has for itself, and not everybody's; one that is empty again is gone."""
    observed = Observed({"OBS_SOCKETIO_ROOM_SIZES": "true"})
    server = server_of(observed, namespaces=["/", "/chat"])

    async def conversation() -> None:
        clients = [await connected(server) for _ in range(11)]
        await connected(server, "/chat")
        for client in clients:
            await server.enter_room(client.sid(), "everybody I know")
        for client in clients[:10]:
            await server.enter_room(client.sid(), "ten of them")
        for room in ("alone", "also alone"):
            await server.enter_room(clients[0].sid(), room)
        await server._rooms.measure(server.manager)
        assert rooms_of(observed) == {("/", "1"): 2, ("/", "10"): 1, ("/", "100"): 1}
        assert observed.value("divan_socketio_largest_room", namespace="/") == 11
        assert observed.value("divan_socketio_largest_room", namespace="/chat") == 0
        for client in clients:
            await client.close()
        await server._rooms.measure(server.manager)

    anyio.run(conversation)
    assert rooms_of(observed) == {}
    assert observed.value("divan_socketio_largest_room", namespace="/") == 0
    assert b"everybody I know" not in observed.obs.metrics.render()


def test_the_event_loop_goes_on_while_many_rooms_are_looked_at() -> None:
    """A room may come or go meanwhile."""
    observed = Observed({"OBS_SOCKETIO_ROOM_SIZES": "true"})
    server = server_of(observed, namespaces=["/"])
    seen: list[str] = []

    async def conversation() -> None:
        client = await connected(server)
        for number in range(2500):
            await server.enter_room(client.sid(), f"room-{number}")

        async def leave() -> None:
            seen.append("meanwhile")
            await server.leave_room(client.sid(), "room-2400")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._rooms.measure, server.manager)
            tasks.start_soon(leave)
            await checkpoint()
        seen.append("done")

    anyio.run(conversation)
    assert seen == ["meanwhile", "done"]
    assert rooms_of(observed) == {("/", "1"): 2499}


@pytest.mark.parametrize("enabled", [False, True])
def test_rooms_are_looked_at_by_flag_only(enabled: bool) -> None:
    """They are for debugging."""
    observed = Observed({"OBS_SOCKETIO_ROOM_SIZES": str(enabled)})
    server = server_of(observed, namespaces=["/"])

    async def conversation() -> None:
        client = await connected(server)
        await server.enter_room(client.sid(), "den")
        await server._compare()

    anyio.run(conversation)
    assert rooms_of(observed) == ({("/", "1"): 1} if enabled else {})

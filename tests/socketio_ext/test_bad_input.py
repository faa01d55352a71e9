"""What a client invents adds no series, holds no memory and stops nobody."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

import anyio
import pytest
import socketio

from tests.socketio_ext.sockets import connected, opened, server_of
from tests.stacks import Observed


def series_of(observed: Observed) -> int:
    return sum(
        len(family.samples)
        for family in observed.obs.metrics.registry.collect()
        if family.name.startswith("divan_socketio_")
    )


def test_invented_names_add_no_series() -> None:
    """However many events and namespaces clients think of, each kind is one series."""
    observed = Observed()
    server = server_of(observed, namespaces="*")
    server.on("say", lambda sid, *more: None)

    async def conversation() -> None:
        found: list[int] = []
        for burst in range(4):
            for number in range(250):
                client = await opened(server)
                await client.connect(f"/invented-{burst}-{number}")
                await client.connect()
                await client.send(f'2["event-{burst}-{number}"]')
                await client.send(f'2/invented-{burst}-{number},["say"]')
                await client.close()
            found.append(series_of(observed))
        assert len(set(found)) == 1

    anyio.run(conversation)
    assert observed.value("divan_socketio_events_total", namespace="/", event="__unknown__") == 1000
    assert sum(observed.samples("divan_socketio_clients").values()) == 0


class Dynamic(socketio.AsyncNamespace):
    """Finds a method for every event."""

    async def on_say(self, sid: str, *more: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return self.on_say


def test_names_that_an_object_finds_methods_for_are_the_clients() -> None:
    """Called they are, and no labels; those which stand in its class are."""
    observed = Observed()
    server = server_of(observed)
    server.register_namespace(Dynamic("/d"))

    async def conversation() -> None:
        client = await connected(server, "/d")
        for event in ("say", "one", "two"):
            await client.send(f'2/d,["{event}"]')

    anyio.run(conversation)
    events = {dict(labels)["event"]: n for labels, n in observed.samples("divan_socketio_events_total").items()}
    assert events == {"say": 1, "__unknown__": 2}
    assert observed.value("divan_socketio_event_duration_seconds_count", namespace="/d", event="__unknown__") == 2


def test_connects_are_counted_by_their_end() -> None:
    """Accepted, refused, in error, twice, and to what nobody has heard of."""
    observed = Observed()
    server = server_of(observed)

    async def on_connect(sid: str, environ: object, auth: Any) -> bool:
        return bool(auth["good"])

    server.on("connect", on_connect)

    async def conversation() -> None:
        client = await opened(server)
        await client.connect(auth='{"good":false}')
        try:
            await client.connect(auth='{"bad":1}')
        except KeyError:
            await client.connect(auth='{"good":true}')
        await client.connect(auth='{"good":true}')
        await client.connect("/nowhere")

    anyio.run(conversation)
    outcomes = {dict(labels)["outcome"]: n for labels, n in observed.samples("divan_socketio_connects_total").items()}
    assert outcomes == {"accepted": 1, "refused": 1, "error": 1, "duplicate": 1, "unknown_namespace": 1}
    assert observed.value("divan_socketio_clients", namespace="/") == 1


def test_disconnects_are_counted_by_their_reason() -> None:
    """The vocabulary is closed; what an application invents is "other"."""
    observed = Observed()
    server = server_of(observed)
    server.on("say", lambda sid: None)

    async def conversation() -> None:
        for reason in ("transport close", "ping timeout", "transport error", "because"):
            await (await connected(server)).close(reason)
        await (await connected(server)).send("1")
        await server.disconnect((await connected(server)).sid())

    anyio.run(conversation)
    reasons = {dict(labels)["reason"]: n for labels, n in observed.samples("divan_socketio_disconnects_total").items()}
    expected = ("transport_close", "ping_timeout", "transport_error", "other", "client_disconnect", "server_disconnect")
    assert reasons == dict.fromkeys(expected, 1)


def test_the_classes_of_errors_are_bounded() -> None:
    """A program that makes a class for each failure makes a hundred labels, and "_OTHER"."""
    observed = Observed()
    server = server_of(observed)

    async def fail(sid: str, number: int) -> None:
        raise type(f"Error{number}", (Exception,), {})

    server.on("fail", fail)

    async def conversation() -> None:
        client = await connected(server)
        for number in range(150):
            try:
                await client.send(f'2["fail",{number}]')
            except Exception:
                continue

    anyio.run(conversation)
    assert len(observed.samples("divan_socketio_errors_total")) == 101
    assert observed.value("divan_socketio_errors_total", namespace="/", event="fail", type="_OTHER") == 50


def test_a_gauge_that_is_off_is_corrected_and_that_is_counted() -> None:
    """Somebody who changes the manager's tables by hand is found out at the next comparison."""
    observed = Observed()
    server = server_of(observed)
    server.on("say", lambda sid: None)

    async def conversation() -> None:
        for _ in range(3):
            await connected(server)
        del server.manager.rooms["/"]
        server._watch.reconcile(server.manager, server.eio.sockets)

    anyio.run(conversation)
    assert observed.value("divan_socketio_clients", namespace="/") == 0
    assert observed.value("divan_socketio_corrections_total", gauge="clients") == 3


def test_a_client_that_goes_while_its_connect_handler_runs_leaves_no_ghost() -> None:
    """It was none yet whom python-socketio would dismiss; connected afterwards, it would be one for ever."""
    observed = Observed()
    server = server_of(observed)
    told: list[str] = []
    entered, release = anyio.Event(), anyio.Event()

    async def on_connect(sid: str, environ: object, auth: object) -> None:
        entered.set()
        await release.wait()

    server.on("connect", on_connect)
    server.on("disconnect", lambda sid, *reason: told.append(sid))

    async def conversation() -> None:
        client = await opened(server)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.connect)
            await entered.wait()
            await client.close()
            release.set()

    anyio.run(conversation)
    assert list(server.manager.get_namespaces()) == []
    assert observed.value("divan_socketio_clients", namespace="/") == 0
    assert len(told) == 1


def test_the_clients_of_several_servers_are_added_up() -> None:
    """An application may have one for its users and one for its staff; each compares its own part."""
    observed = Observed()
    servers = [server_of(observed, namespaces=["/"]) for _ in range(2)]

    def told() -> tuple[float, float]:
        clients = observed.value("divan_socketio_clients", namespace="/")
        return clients, observed.value("divan_socketio_transports", transport="polling")

    async def conversation() -> None:
        ada, bob, eve = [await connected(server) for server in (servers[0], servers[1], servers[1])]
        assert told() == (3, 3)
        for server in servers:
            await server._compare()
        assert told() == (3, 3)
        await ada.close()
        assert told() == (2, 2)
        await bob.close()
        del servers[1].manager.rooms["/"]
        servers[1].eio.sockets.clear()
        started = anyio.current_time()
        async with observed.obs.running():
            while any(told()):
                assert anyio.current_time() - started < 10
                await anyio.sleep(0.01)
        await eve.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("divan_obs_asgi.socketio_ext.server.RECONCILE_EVERY_S", 0.01)
        anyio.run(conversation)
    assert told() == (0, 0)

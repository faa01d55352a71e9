"""What goes out and comes in is counted as it is: whom emits reach, who answers and when, packets and bytes."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
from collections import UserList
from typing import Any

import pytest
import socketio
from engineio import AsyncServer as Engine

from divan_obs_asgi.socketio_ext.server_metrics import REASONS
from tests.patience import PATIENCE_S
from tests.socketio_ext.sockets import Client, connected, opened, server_of
from tests.stacks import Observed

#: The members of the rooms; everybody is in `/chat`.
ROOMS = {"den": ["ada", "bob"], "attic": ["bob", "eve"]}
NAMES = ("ada", "bob", "eve", "joe")


class Chat:
    """A server with four clients in its rooms."""

    def __init__(self, observed: Observed, **options: Any) -> None:
        self.server = server_of(observed, namespaces=["/chat", "/empty"], **options)
        self.clients: dict[str, Client] = {}

    async def begin(self) -> None:
        for name in NAMES:
            client = self.clients[name] = await connected(self.server, "/chat")
            for room, members in ROOMS.items():
                if name in members:
                    await self.server.enter_room(client.sid("/chat"), room, namespace="/chat")
            client.received()

    def sids(self, names: Any) -> Any:
        """Put session ids in the place of names, and leave rooms as they are."""
        if isinstance(names, (list, UserList)):
            return type(names)(self.sids(name) for name in names)
        return self.clients[names].sid("/chat") if names in self.clients else names

    def have_received(self) -> set[str]:
        return {name for name, client in self.clients.items() if client.received()}


EMITS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "to all": ({}, {*NAMES}),
    "to a room": ({"room": "den"}, {"ada", "bob"}),
    "by its other name": ({"to": "den"}, {"ada", "bob"}),
    "to one": ({"to": "joe"}, {"joe"}),
    "to rooms with members in common": ({"room": ["den", "attic"]}, {"ada", "bob", "eve"}),
    "to a room and one": ({"room": ["den", "joe"]}, {"ada", "bob", "joe"}),
    "to a room that nobody is in": ({"room": "cellar"}, set()),
    "to nobody who is there": ({"to": "somebody"}, set()),
    "to all but one": ({"skip_sid": "ada"}, {"bob", "eve", "joe"}),
    "to a room but one": ({"room": "den", "skip_sid": "ada"}, {"bob"}),
    "to a room but one who is not in it": ({"room": "den", "skip_sid": "joe"}, {"ada", "bob"}),
    "to a room but several": ({"room": "den", "skip_sid": ["ada", "bob", "ada", "joe"]}, set()),
    "to a namespace that nobody is in": ({"namespace": "/empty"}, set()),
    "to no room of a namespace that nobody is in": ({"namespace": "/empty", "room": []}, set()),
    "to any sequence of rooms": ({"room": UserList(["den", "attic"])}, {"ada", "bob", "eve"}),
}


@pytest.mark.parametrize("data", ["text", b"bytes", ("two", b"things"), None], ids=["text", "bytes", "two", "none"])
@pytest.mark.parametrize(("wish", "reached"), EMITS.values(), ids=EMITS)
def test_an_emit_is_counted_with_those_whom_it_reaches(wish: dict[str, Any], reached: set[str], data: object) -> None:
    """One emit and one observation, of as many clients as have received it, whatever it is made of."""
    observed = Observed()
    chat = Chat(observed)

    async def conversation() -> None:
        await chat.begin()
        await chat.server.emit(
            "said", data, **{"namespace": "/chat", **{key: chat.sids(value) for key, value in wish.items()}}
        )
        assert chat.have_received() == reached

    asyncio.run(conversation())
    namespace = wish.get("namespace", "/chat")
    assert observed.value("divan_socketio_emits_total", namespace=namespace) == 1
    assert observed.value("divan_socketio_emit_recipients_count", namespace=namespace) == 1
    assert observed.value("divan_socketio_emit_recipients_sum", namespace=namespace) == len(reached)


def test_send_and_a_namespaces_emit_are_emits() -> None:
    """By whatever method it is sent."""
    observed = Observed()
    chat = Chat(observed)
    methods = socketio.AsyncNamespace("/chat")
    chat.server.register_namespace(methods)

    async def conversation() -> None:
        await chat.begin()
        await chat.server.send("hello", room="den", namespace="/chat")
        await methods.emit("said", "hello", room="attic")
        await methods.send("hello")

    asyncio.run(conversation())
    assert observed.value("divan_socketio_emits_total", namespace="/chat") == 3
    assert observed.value("divan_socketio_emit_recipients_sum", namespace="/chat") == 8


def acks_of(observed: Observed) -> dict[str, float]:
    samples = observed.samples("divan_socketio_acks_total")
    return {dict(labels)["state"]: value for labels, value in samples.items() if value}


async def asked(client: Client) -> str:
    """Wait until a client is asked for an acknowledgement; return its number."""
    packet = await asyncio.wait_for(client.socket.queue.get(), PATIENCE_S)
    return str(packet.data).removeprefix("2/chat,").partition("[")[0]


def test_a_call_is_answered_in_the_time_that_the_client_takes() -> None:
    """The latency is the client's, and a second answer to the same question is none."""
    observed = Observed()
    chat = Chat(observed, async_handlers=True)  # Without it there is no `call`.

    async def conversation() -> object:
        await chat.begin()
        ada = chat.clients["ada"]
        calling = asyncio.create_task(chat.server.call("question", to=ada.sid("/chat"), namespace="/chat"))
        number = await asked(ada)
        assert acks_of(observed) == {"requested": 1}
        await asyncio.sleep(0.02)
        for _ in range(2):
            await ada.send(f'3/chat,{number}["yes"]')
        return await calling

    assert asyncio.run(conversation()) == "yes"
    assert acks_of(observed) == {"requested": 1, "answered": 1}
    assert observed.value("divan_socketio_ack_duration_seconds_count", namespace="/chat") == 1
    assert 0.02 <= observed.value("divan_socketio_ack_duration_seconds_sum", namespace="/chat") < 5


def test_an_answer_that_the_call_has_waited_for_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its patience begins when the question has been sent, which through Redis may take its time."""
    observed = Observed()
    chat = Chat(observed, async_handlers=True)
    sent = asyncio.Event()
    emit = chat.server.manager.emit

    async def emit_slowly(*args: Any, **options: Any) -> None:
        await emit(*args, **options)
        await sent.wait()

    async def conversation() -> object:
        await chat.begin()
        monkeypatch.setattr(chat.server.manager, "emit", emit_slowly)
        ada = chat.clients["ada"]
        call = chat.server.call("question", to=ada.sid("/chat"), namespace="/chat", timeout=0.01)
        calling = asyncio.create_task(call)
        number = await asked(ada)
        await asyncio.sleep(0.02)
        await ada.send(f'3/chat,{number}["yes"]')
        sent.set()
        return await calling

    assert asyncio.run(conversation()) == "yes"
    assert acks_of(observed) == {"requested": 1, "answered": 1}


def test_an_answer_after_the_call_has_given_up_is_late() -> None:
    """And timed, too: it says how long the deadline had to be."""
    observed = Observed()
    chat = Chat(observed, async_handlers=True)  # Without it there is no `call`.

    async def conversation() -> None:
        await chat.begin()
        ada = chat.clients["ada"]
        call = chat.server.call("question", to=ada.sid("/chat"), namespace="/chat", timeout=0.01)
        calling = asyncio.create_task(call)
        number = await asked(ada)
        with pytest.raises(socketio.exceptions.TimeoutError):
            await calling
        assert acks_of(observed) == {"requested": 1}
        await ada.send(f'3/chat,{number}["yes"]')

    asyncio.run(conversation())
    assert acks_of(observed) == {"requested": 1, "late": 1}
    assert observed.value("divan_socketio_ack_duration_seconds_sum", namespace="/chat") >= 0.01


def test_arguments_of_an_emit_may_stand_without_their_names() -> None:
    """The namespace and the callback are the same in either way."""
    observed = Observed()
    chat = Chat(observed)
    heard: list[object] = []

    async def conversation() -> None:
        await chat.begin()
        ada = chat.clients["ada"]
        await chat.server.emit(
            "question", None, ada.sid("/chat"), None, None, "/chat", lambda *told: heard.append(told)
        )
        await ada.send(f'3/chat,{await asked(ada)}["yes"]')

    asyncio.run(conversation())
    assert heard == [("yes",)]
    assert acks_of(observed) == {"requested": 1, "answered": 1}


@pytest.mark.parametrize("wish", [{"room": {1}}, {"room": {}}, {"skip_sid": [{}]}], ids=str)
def test_what_python_socketio_takes_or_refuses_is_its_affair(wish: dict[str, Any]) -> None:
    """A room that is none raises what it raises there; whoever is to be left out and is nobody leaves nobody out."""

    async def outcome(server: Any) -> object:
        client = await connected(server, "/")
        client.received()
        try:
            await server.emit("said", **wish)
        except Exception as error:
            return type(error)
        return client.received()

    plain = socketio.AsyncServer(async_mode="asgi", namespaces=["/"])
    assert asyncio.run(outcome(server_of(Observed(), namespaces=["/"]))) == asyncio.run(outcome(plain))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_callback_is_called_and_its_acknowledgement_counted(is_async: bool) -> None:
    """What the callback does with it, raising included, is its own affair."""
    observed = Observed()
    chat = Chat(observed)
    heard: list[object] = []

    def callback(*answer: object) -> None:
        heard.append(answer)
        raise LookupError

    async def async_callback(*answer: object) -> None:
        callback(*answer)

    async def conversation() -> None:
        await chat.begin()
        ada = chat.clients["ada"]
        given = async_callback if is_async else callback
        await chat.server.emit("question", to=ada.sid("/chat"), namespace="/chat", callback=given)
        number = await asked(ada)
        with pytest.raises(LookupError):
            await ada.send(f'3/chat,{number}["yes",1]')

    asyncio.run(conversation())
    assert heard == [("yes", 1)]
    assert acks_of(observed) == {"requested": 1, "answered": 1}


def test_packets_and_bytes_are_those_that_went_over_the_wire() -> None:
    """Both ways, text and attachments, in bytes and not in characters."""
    observed = Observed()
    server = server_of(observed)
    server.on("echo", lambda sid, *words: words)
    sent: list[str | bytes] = [
        "0",
        '21["echo","wörter"]',
        '2["echo"]',
        '52-3["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
        b"\x00\x01\x02",
        b"",
        "1",
    ]

    async def conversation() -> list[str | bytes]:
        client = await opened(server)
        for packet in sent:
            await client.send(packet)
        return list(client.received())

    received = asyncio.run(conversation())
    assert len(received) == 5
    for direction, packets in (("in", sent), ("out", received)):
        weighed = [packet.encode() if isinstance(packet, str) else packet for packet in packets]
        assert observed.value("divan_socketio_packets_total", direction=direction) == len(packets)
        assert observed.value("divan_socketio_bytes_total", direction=direction) == sum(map(len, weighed))


def test_every_reason_that_engineio_has_is_a_label() -> None:
    """A reason that a new version brings is found here, before it is told as "other"."""
    known = {value for name, value in vars(getattr(Engine, "reason", object)).items() if name.isupper()}
    assert known <= REASONS.keys()


def test_a_polling_client_is_counted_as_polling_whatever_headers_it_sends() -> None:
    """By a header it may claim to be a WebSocket."""
    observed = Observed()
    server = server_of(observed)
    handshake = {"asgi.scope": {"type": "http"}, "HTTP_UPGRADE": "websocket"}

    async def conversation() -> None:
        await opened(server, handshake)

    asyncio.run(conversation())
    assert observed.value("divan_socketio_transports", transport="polling") == 1
    assert observed.value("divan_socketio_transports", transport="websocket") == 0


def test_an_upgrade_moves_a_connection_from_one_transport_to_the_other() -> None:
    """It is one connection before, and one afterwards; one that began by WebSocket is no upgrade."""
    observed = Observed()
    server = server_of(observed)
    server.on("say", lambda sid: None)
    seen: list[tuple[float, float, float]] = []

    def look() -> None:
        polling, websocket = (
            observed.value("divan_socketio_transports", transport=f) for f in ("polling", "websocket")
        )
        seen.append((polling, websocket, observed.value("divan_socketio_upgrades_total")))

    async def conversation() -> None:
        polls = await connected(server)
        begins = await opened(server, {"HTTP_UPGRADE": "WebSocket"})
        look()
        polls.socket.upgraded = True
        server._watch.reconcile(server.manager, server.eio.sockets)
        look()
        await polls.close()
        look()
        await begins.close()
        look()

    asyncio.run(conversation())
    assert seen == [(1, 1, 0), (0, 2, 1), (0, 1, 1), (0, 0, 1)]

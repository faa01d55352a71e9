"""Whatever clients and handlers do, and in whatever order: the gauges are what the manager holds."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import socketio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from tests.socketio_ext.sockets import Client, named, server_of
from tests.stacks import Observed

NAMESPACES = ("/", "/chat", "/class")
KNOWN = st.sampled_from(NAMESPACES)
ANY = KNOWN | st.sampled_from(["/invented", "/chat2", "/__unknown__"])
#: What a connect handler does with a client that asks for it.
ANSWERS = ("accept", "refuse", "raise a refusal", "raise", "raise a TypeError", "send the others away, and raise")
PACKETS = st.sampled_from(
    [
        '2["say","hi"]',
        '27["say","hi"]',
        '2["invented"]',
        '2["break"]',
        '2["leave"]',
        '2["room"]',
        '2["connect"]',
        '2["disconnect"]',
        "2[]",
        "2",
        '2[["say"]]',
        '51-["say",{"_placeholder":true,"num":0}]',
        "39[1]",
        "31[]",
        "0",
        "1",
        "9",
        "{",
        "0/chat,{",
    ]
)


Told = dict[str, list[tuple[dict[str, str], float]]]


class Sessions(RuleBasedStateMachine):
    """Connections that open, join namespaces, send whatever they like and end."""

    clients: Bundle[Client] = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.observed = Observed()
        self.server: Any = None
        self.open: list[Client] = []
        self.waiting: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        self.disconnects_raise = False
        self.disconnects_wait = False
        self.release = asyncio.Event()
        self.emits: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()

    @initialize(always_connect=st.booleans(), welcome=st.booleans())
    def starts(self, always_connect: bool, welcome: bool) -> None:
        """Admit clients before or after their connect handler; and to every namespace, or to those with handlers."""
        namespaces = {"namespaces": "*"} if welcome else {}
        self.server = server_of(self.observed, always_connect=always_connect, **namespaces)
        for namespace in NAMESPACES[:2]:
            self.server.on("connect", self.admits(namespace), namespace=namespace)
            self.server.on("disconnect", self.on_disconnect, namespace=namespace)
            self.server.on("say", lambda sid, *more: more, namespace=namespace)
            self.server.on("break", lambda sid: 1 / 0, namespace=namespace)
            self.server.on("leave", self.leaves(namespace), namespace=namespace)
            self.server.on("room", self.joins(namespace), namespace=namespace)
        self.server.register_namespace(socketio.AsyncNamespace("/class"))

    def admits(self, namespace: str) -> Any:
        async def connect(sid: str, environ: Any, auth: Any = None) -> bool | None:
            answer = str(auth.get("do")) if isinstance(auth, dict) else ""
            if answer == "raise a refusal":
                raise socketio.exceptions.ConnectionRefusedError("no")
            if "others" in answer:
                for other, _ in list(self.server.manager.get_participants(namespace, None)):
                    if other != sid:
                        await self.quietly(self.server.disconnect(other, namespace=namespace))
            if answer == "raise a TypeError":
                raise TypeError
            if "raise" in answer:
                raise LookupError
            if answer == "wait":
                await self.release.wait()
            return False if answer == "refuse" else None

        return connect

    async def on_disconnect(self, sid: str, *reason: Any) -> None:
        if self.disconnects_raise:
            raise LookupError
        if self.disconnects_wait:
            await self.release.wait()

    def leaves(self, namespace: str) -> Any:
        async def leave(sid: str) -> None:
            await self.server.disconnect(sid, namespace=namespace)

        return leave

    def joins(self, namespace: str) -> Any:
        async def join(sid: str) -> None:
            await self.server.enter_room(sid, "room", namespace=namespace)
            await self.emit(namespace, "room")

        return join

    async def emit(self, namespace: str, room: str | None) -> None:
        self.emits[namespace] += 1
        self.reached[namespace] += len(list(self.server.manager.get_participants(namespace, room)))
        await self.server.emit("hello", room=room, namespace=namespace)

    async def quietly(self, call: Any) -> None:
        """Do as Engine.IO does, which logs what a handler raises and goes on."""
        try:
            await call
        except Exception:
            return

    def run(self, call: Any) -> None:
        self.runner.run(self.quietly(call))

    @rule(target=clients, websocket=st.booleans())
    def opens(self, websocket: bool) -> Client:
        async def create() -> Client:
            return Client(self.server, {"HTTP_UPGRADE": "websocket"} if websocket else {})

        client = self.runner.run(create())
        self.run(client.open())
        self.open.append(client)
        return client

    @rule(client=clients, namespace=ANY, answer=st.sampled_from(ANSWERS))
    def asks_to_connect(self, client: Client, namespace: str, answer: str) -> None:
        self.run(client.connect(namespace, f'{{"do":"{answer}"}}'))

    @rule(client=clients, namespace=ANY)
    def asks_to_connect_without_auth(self, client: Client, namespace: str) -> None:
        self.run(client.connect(namespace))

    @rule(client=clients, namespace=st.sampled_from(NAMESPACES[:2]))
    def asks_and_is_kept_waiting(self, client: Client, namespace: str) -> None:
        async def ask() -> None:
            task = asyncio.create_task(self.quietly(client.connect(namespace, '{"do":"wait"}')))
            self.waiting.append((task, self.release))
            await asyncio.sleep(0)

        self.runner.run(ask())

    @rule(client=clients, namespace=st.sampled_from(NAMESPACES[:2]))
    def leaves_and_is_kept_waiting(self, client: Client, namespace: str) -> None:
        async def leave() -> None:
            self.disconnects_wait = True
            task = asyncio.create_task(self.quietly(client.send(f"1{named(namespace)}")))
            self.waiting.append((task, self.release))
            await asyncio.sleep(0)
            self.disconnects_wait = False

        self.runner.run(leave())

    @rule(namespace=KNOWN, room=st.sampled_from([None, "room", "nobody"]))
    def hears(self, namespace: str, room: str | None) -> None:
        self.run(self.emit(namespace, room))

    @rule(cancel=st.booleans())
    def those_who_wait_go_on(self, cancel: bool) -> None:
        async def go_on() -> None:
            for task, release in self.waiting:
                if cancel:
                    task.cancel()
                else:
                    release.set()
            if self.waiting:
                await asyncio.wait([task for task, _ in self.waiting])

        self.runner.run(go_on())
        self.waiting.clear()
        self.release = asyncio.Event()

    @rule(client=clients, namespace=ANY, packet=PACKETS)
    def sends(self, client: Client, namespace: str, packet: str) -> None:
        # The namespace stands behind the type.
        self.run(client.send(packet[:1] + named(namespace) + packet[1:] if namespace != "/" else packet))

    @rule(client=clients, namespace=KNOWN)
    def disconnects(self, client: Client, namespace: str) -> None:
        self.run(client.send(f"1{named(namespace)}"))

    @rule(client=clients, namespace=KNOWN)
    def is_sent_away(self, client: Client, namespace: str) -> None:
        self.run(self.server.disconnect(client.sid(namespace), namespace=namespace))

    @rule(client=consumes(clients))
    def goes(self, client: Client) -> None:
        self.run(client.close())
        self.open.remove(client)

    @rule(client=clients)
    def is_upgraded(self, client: Client) -> None:
        async def receive() -> dict[str, str]:
            return {"type": "websocket.receive"}

        websocket = {"type": "websocket", "query_string": f"sid={client.eio_sid}".encode()}
        receive_and_look = self.server._requests.begin(websocket, receive)
        client.socket.upgraded = True
        self.run(receive_and_look())

    @rule(raises=st.booleans())
    def disconnect_handlers_raise(self, raises: bool) -> None:
        self.disconnects_raise = raises

    def told(self) -> Told:
        """Return all that is told of Socket.IO, by name and then by labels."""
        told: Told = {}
        for family in self.observed.obs.metrics.registry.collect():
            for sample in family.samples:
                told.setdefault(sample.name, []).append((sample.labels, sample.value))
        return told

    @invariant()
    def the_metrics_are_correct(self) -> None:
        told = self.told()
        self.clients_are_those_of_the_manager(told)
        self.transports_are_those_of_the_engine(told)
        self.emits_have_reached_whom_they_had_to(told)
        self.labels_are_registered_names(told)
        self.server._watch.reconcile(self.server.manager, self.server.eio.sockets)
        told = self.told()
        assert by("gauge", told, "divan_socketio_corrections_total") == {}
        assert by("component", told, "divan_obs_errors_total") == {}

    def clients_are_those_of_the_manager(self, told: Told) -> None:
        manager = self.server.manager
        truth: Counter[str] = Counter()
        for namespace in list(manager.get_namespaces()):
            everyone = [sid for sid, _ in manager.get_participants(namespace, None)]
            label = namespace if namespace in NAMESPACES else "__unknown__"
            truth[label] += sum(manager.is_connected(sid, namespace) for sid in everyone)
        assert by("namespace", told, "divan_socketio_clients") == {name: n for name, n in truth.items() if n}

    def transports_are_those_of_the_engine(self, told: Told) -> None:
        truth = Counter("websocket" if self.is_websocket(client) else "polling" for client in self.open)
        assert by("transport", told, "divan_socketio_transports") == truth

    def is_websocket(self, client: Client) -> bool:
        return bool(client.socket.upgraded) or "HTTP_UPGRADE" in client.environ

    def emits_have_reached_whom_they_had_to(self, told: Told) -> None:
        sums = "divan_socketio_emits_total", "divan_socketio_emit_recipients_sum"
        for name, truth in zip(sums, (self.emits, self.reached), strict=True):
            assert by("namespace", told, name) == +truth

    def labels_are_registered_names(self, told: Told) -> None:
        known = {"say", "break", "leave", "room", "connect", "disconnect", "__unknown__"}
        for name in ("clients", "events_total", "connects_total", "disconnects_total", "errors_total"):
            for labels, _ in told.get(f"divan_socketio_{name}", ()):
                assert labels["namespace"] in {*NAMESPACES, "__unknown__"}
                assert labels.get("event", "say") in known

    def teardown(self) -> None:
        """When all have gone, nobody is left: not in the gauges, and not in python-socketio."""
        with self.runner:
            self.those_who_wait_go_on(cancel=False)
            for client in self.open:
                self.run(client.close())
            self.open.clear()
            told = self.told()
            self.clients_are_those_of_the_manager(told)
            assert list(self.server.manager.get_namespaces()) == []
            assert self.server.environ == {}
            assert by("transport", told, "divan_socketio_transports") == {}


def by(label: str, told: Told, name: str) -> dict[str, float]:
    """Return the samples of a name that are not zero, by one of their labels."""
    return {labels[label]: value for labels, value in told.get(name, ()) if value}


Sessions.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestSessions = Sessions.TestCase

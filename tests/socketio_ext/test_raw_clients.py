"""Clients that break the protocol, or off: over the wire, with bytes of their own."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Self

import httpx
import pytest
from engineio import AsyncServer as Engine
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.patience import PATIENCE_S
from tests.socketio_ext.javascript_client import JavaScriptClients
from tests.socketio_ext.service import Service

pytestmark = pytest.mark.slow

#: More than `max_http_buffer_size` of the served app.
TOO_LARGE = 150_000
PATH = "/socket.io/?EIO=4"
ATTACHED = '["echo",{"_placeholder":true,"num":0}]'


class Polling:
    """A client that polls, by hand."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._http = httpx.Client(base_url=service.url)

    def __enter__(self) -> Self:
        opened = self._http.get(f"{PATH}&transport=polling")
        self.sid = json.loads(opened.text[1:])["sid"]
        self.path = f"{PATH}&transport=polling&sid={self.sid}"
        return self

    def __exit__(self, *_: object) -> None:
        self.post("1")
        self._http.close()

    def poll(self) -> str:
        return self._http.get(self.path).text

    def post(self, body: str | bytes, timeout: float = 10) -> int:
        return self._http.post(self.path, content=body, timeout=timeout).status_code


@contextmanager
def websocket(service: Service, query: str = "") -> Iterator[ClientConnection]:
    url = f"ws://{service.host}:{service.port}{PATH}&transport=websocket{query}"
    with connect(url, compression=None) as client:
        if not query:
            client.recv()
        yield client


def says(*packets: str | bytes) -> Callable[[Service, int], None]:
    """Send packets over a WebSocket; go without a word, as a network does."""

    def mischief(service: Service, number: int) -> None:
        with websocket(service) as client:
            with suppress(ConnectionClosed, TimeoutError):
                for packet in packets:
                    client.send(packet.replace("#", str(number)) if isinstance(packet, str) else packet)
            with suppress(OSError):  # The server was first.
                client.socket.shutdown(socket.SHUT_RDWR)

    return mischief


def posts(*bodies: str | bytes) -> Callable[[Service, int], None]:
    """The same by polling."""

    def mischief(service: Service, number: int) -> None:
        with Polling(service) as client:
            for body in bodies:
                client.post(body.replace("#", str(number)) if isinstance(body, str) else body)

    return mischief


def posts_too_much(service: Service, number: int) -> None:
    """Engine.IO answers only when everything that it has for the client has been fetched, so perhaps never (4.15)."""
    with Polling(service) as client:
        client.post("40")
        with suppress(httpx.ReadTimeout):
            client.post("4" * TOO_LARGE, timeout=0.2)


def knocks(service: Service, number: int) -> None:
    """Requests that Engine.IO turns down."""
    with httpx.Client(base_url=service.url) as http:
        for query in ("EIO=3", "EIO=4&transport=pigeon", f"EIO=4&transport=polling&sid=forged-{number}", "EIO=4&j=x"):
            assert http.get(f"/socket.io/?{query}").status_code == 400
        assert http.post(f"/socket.io/?EIO=4&transport=polling&sid=forged-{number}", content="40").status_code == 400
        assert http.put("/socket.io/?EIO=4").status_code == 405
    for query in (f"&sid=forged-{number}", "&EIO=3"):
        with suppress(InvalidHandshake), websocket(service, query):
            pytest.fail("it was let in")


def upgrades_half(service: Service, number: int) -> None:
    """Open a WebSocket for the upgrade, and never use it."""
    with Polling(service) as client:
        client.post("40/chat,")
        with websocket(service, f"&sid={client.sid}") as upgrade:
            upgrade.send("2probe")
            assert upgrade.recv(timeout=PATIENCE_S) == "3probe"
            upgrade.send("not an upgrade")
            with suppress(ConnectionClosed):
                upgrade.recv(timeout=PATIENCE_S)


def goes_while_connecting(service: Service, number: int) -> None:
    """Close the connection while the connect handler runs; it ends only then."""
    with Polling(service) as client:
        waiting = sum(line["msg"] == "waiting" for line in service.lines())
        with ThreadPoolExecutor() as threads:
            connecting = threads.submit(client.post, '40/chat,{"kept_waiting":true}')
            service.wait_for(lambda: sum(line["msg"] == "waiting" for line in service.lines()) > waiting)
            other = httpx.post(service.url + client.path, content="1")
            assert other.status_code == 200
            service.admit()
            connecting.result()


def hangs_up_in_a_body(service: Service, number: int) -> None:
    """Announce more than is sent."""
    with Polling(service) as client:
        client.post("40/chat,")
        with socket.create_connection((service.host, service.port)) as raw:
            raw.sendall(f"POST {client.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n42".encode())


MISCHIEF: dict[str, Callable[[Service, int], None]] = {
    "a packet that is too large": says("40", '42["echo","' + "x" * TOO_LARGE + '"]'),
    "an attachment that is too large": says("40", f"451-{ATTACHED}", bytes(TOO_LARGE)),
    "a body that is too large": posts_too_much,
    "attachments that never come": says("40", "40/chat,", f"451-{ATTACHED}"),
    "attachments that never come by polling": posts("40\x1e40/chat,", f"452-{ATTACHED}\x1ebAQ=="),
    "invented names": says("40", "40/chat,", "40/invented-#,", '42["invented-#"]', '42/chat,["invented-#"]'),
    "acks that nobody asked for": says("40", "43#[1]", "430[1]", "43/chat,1[]"),
    "packets of no kind": says("9", "4", "4z", "42", "42[", b"", b"\x00", "40", "42[[]]"),
    "bodies of no kind": posts("", "z", "\x1e" * 30, b"\xff\xfe", "4\x1e4\x1e4", "40"),
    "refused connects": says('40/chat,{"refused":true}', '40/chat,{"refused":true}'),
    "connects that raise": says('40/chat,{"broken":true}', "40/chat,"),
    "connecting twice": says("40", "40", "40/chat,", '40/chat,{"broken":true}', '42["echo"]'),
    "requests that are turned down": knocks,
    "an upgrade that ends half way": upgrades_half,
    "going while the connect handler runs": goes_while_connecting,
    "hanging up in a body": hangs_up_in_a_body,
}


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start("over", SOCKETIO_PING_TIMEOUT="2")


@pytest.fixture
def neighbour(service: Service, javascript_clients: JavaScriptClients) -> Iterator[Callable[[], object]]:
    """Another client, connected all the while; call it, and it is served."""
    client, room = {"client": "neighbour", "namespace": "/chat"}, "den"
    javascript_clients.do("connect", **client, url=service.url, transports=["websocket"])
    yield lambda: javascript_clients.do("call", **client, event="join", args=[room]) == room
    javascript_clients.do("close", **client)
    service.wait_for(lambda: sum(service.samples("divan_socketio_clients").values()) == 0)


# What the service has handlers for. What a client says before it breaks off is heard in one round and not in the other.
NAMED = {
    "namespace": {"/", "/chat", "__unknown__"},
    "event": {"connect", "disconnect", "join", "leave", "say", "quit", "__unknown__"}
    | {"echo", "plain", "breaks", "ask", "ask_of", "ask_in_vain"},
}


def series_of(service: Service) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(service.metrics())
        for sample in family.samples
    }


def named_by_strangers(service: Service) -> list[str]:
    """Return values of labels of Socket.IO's families that the service has not chosen."""
    series = series_of(service)
    return [value for _, labels in series for name, value in labels if name in NAMED and value not in NAMED[name]]


@pytest.mark.parametrize("mischief", MISCHIEF.values(), ids=MISCHIEF)
def test_mischief_over_the_wire_leaves_nothing_and_disturbs_nobody(
    mischief: Callable[[Service, int], None], service: Service, neighbour: Callable[[], object]
) -> None:
    """The gauges tell of the neighbour alone, no series has a stranger's name, and the neighbour is served."""
    for number in (1, 2):
        mischief(service, number)
        service.wait_for(lambda: sum(service.samples("divan_socketio_transports").values()) == 1)
        service.wait_for(lambda: sum(service.samples("divan_socketio_clients").values()) == 1)
        assert neighbour()
        assert named_by_strangers(service) == []
    assert not any(service.samples("divan_socketio_corrections_total").values())
    failed = service.samples("divan_obs_errors_total")
    assert not any(failed.values())


def leaves(service: Service) -> Iterator[None]:
    with websocket(service) as client:
        client.send("40/chat,")
        client.send("41/chat,")
        yield


def ends_its_engine(service: Service) -> Iterator[None]:
    with Polling(service) as client:
        client.post("40/chat,")
        client.post("1")
        yield


def is_sent_away(service: Service) -> Iterator[None]:
    with websocket(service) as client:
        client.send("40/chat,")
        client.send('42/chat,["quit"]')
        yield


def posts_what_no_client_says(service: Service) -> Iterator[None]:
    """Engine.IO ends a session that speaks as a server does, and answers when what it still has was fetched."""
    with Polling(service) as client:
        client.post("40/chat,")
        with suppress(httpx.ReadTimeout):
            client.post("6", timeout=0.2)
        yield


def hangs_up(service: Service) -> Iterator[None]:
    with websocket(service) as client:
        client.send("40/chat,")
        client.recv(timeout=PATIENCE_S)
        client.socket.shutdown(socket.SHUT_RDWR)
        yield


def says_nothing_to_a_ping_by_websocket(service: Service) -> Iterator[None]:
    """Engine.IO waits for any message as long as for the answer to a ping: whichever it finds out first."""
    with websocket(service) as client:
        client.send("40/chat,")
        yield


def falls_silent(service: Service) -> Iterator[None]:
    with Polling(service) as client:
        client.post("40/chat,")
        yield


def polls_twice(service: Service) -> Iterator[None]:
    """The second poll waits in vain, for the first one has got the ping."""
    with Polling(service) as client, ThreadPoolExecutor() as threads:
        client.post("40/chat,")
        client.poll()
        polls = [threads.submit(client.poll) for _ in range(2)]
        # Each with its ping answered, as long as there is one.
        while not all(poll.done() for poll in polls):
            if wait(polls, return_when=FIRST_COMPLETED).done:
                client.post("3")
        yield


ENDS: dict[str, tuple[Callable[[Service], Iterator[None]], str]] = {
    "leaves": (leaves, "client_disconnect"),
    "ends its engine": (ends_its_engine, "client_disconnect"),
    "is sent away": (is_sent_away, "server_disconnect"),
    "posts what no client says": (posts_what_no_client_says, "server_disconnect"),
    "hangs up": (hangs_up, "transport_close"),
    "says nothing to a ping by WebSocket": (says_nothing_to_a_ping_by_websocket, "transport_close ping_timeout"),
    "falls silent": (falls_silent, "ping_timeout"),
    "polls twice": (polls_twice, "transport_error"),
}


@pytest.mark.skipif(not hasattr(Engine, "reason"), reason="This Engine.IO gives no reasons.")
@pytest.mark.parametrize(("end", "reasons"), ENDS.values(), ids=ENDS)
def test_every_way_to_go_has_its_reason(
    end: Callable[[Service], Iterator[None]], reasons: str, start: Callable[..., Service]
) -> None:
    """The client is counted by it once, and the line of its disconnect tells the same."""
    service = start("over", SOCKETIO_PING_INTERVAL="0.8", SOCKETIO_PING_TIMEOUT="0.6")
    before, lines = service.samples("divan_socketio_disconnects_total"), len(service.lines())

    def gone() -> dict[tuple[str, ...], float]:
        now = service.samples("divan_socketio_disconnects_total")
        return {labels: n - before.get(labels, 0) for labels, n in now.items() if n != before.get(labels, 0)}

    with contextmanager(end)(service):
        service.wait_for(gone)
    service.wait_for(lambda: not any(service.samples("divan_socketio_transports").values()))

    def told() -> list[str]:
        return [line["reason"] for line in service.lines()[lines:] if line["msg"] == "EVENT /chat disconnect"]

    # It is written when the handler has ended, which is after the count.
    service.wait_for(told)
    (reason,) = told()
    assert gone() == {("/chat", reason): 1}
    assert reason in reasons.split()

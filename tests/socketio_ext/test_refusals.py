"""Whatever Engine.IO and Socket.IO refuse, drop or cannot decode is counted once by its reason, and is on its line."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import socketio
from engineio import AsyncServer as Engine
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from divan_obs_asgi.socketio_ext.refusals import REASONS
from tests.patience import PATIENCE_S
from tests.socketio_ext.javascript_client import ClientError, JavaScriptClients
from tests.socketio_ext.service import Service
from tests.socketio_ext.test_raw_clients import ATTACHED, PATH, TOO_LARGE, Polling, websocket

pytestmark = pytest.mark.slow

JS = "javascript"


class JavaScript:
    """One client of `socket.io-client`."""

    def __init__(self, clients: JavaScriptClients, service: Service) -> None:
        self._clients = clients
        self.service = service

    def do(self, what: str, **wish: Any) -> Any:
        return self._clients.do(what, JS, **{"namespace": "/", **wish})

    def connect(self, *transports: str, namespace: str = "/", auth: object = None, **options: Any) -> None:
        wish = {
            "transports": list(transports or ["polling"]),
            "namespace": namespace,
            "auth": auth,
            "once": True,
            **options,
        }
        self.do("connect", url=self.service.url, **wish)

    def refused(self, *transports: str, **wish: Any) -> None:
        with pytest.raises(ClientError):
            self.connect(*transports, **wish)

    def write(self, packet: str) -> None:
        """Send a packet of Engine.IO as it is."""
        self.do("write", packet=packet)


# With the real client.


def emits_40_at_once(client: JavaScript) -> None:
    client.connect()
    client.do("burst", event="echo", count=40)


def is_refused(client: JavaScript) -> None:
    client.refused(namespace="/chat", auth={"refused": True})


def comes_from_elsewhere(client: JavaScript) -> None:
    client.refused(headers={"origin": "https://elsewhere.example"})


def comes_from_elsewhere_by_websocket(client: JavaScript) -> None:
    client.refused("websocket", headers={"origin": "https://elsewhere.example"})


def connects_twice(client: JavaScript) -> None:
    client.connect("websocket")
    client.write("40")


def leaves_amid_an_attachment(client: JavaScript) -> None:
    client.connect("websocket")
    client.write(f"451-{ATTACHED}")
    client.do("drop")


def emits_what_nobody_handles(client: JavaScript) -> None:
    client.connect("websocket")
    client.do("emit", event="nobody_handles_this", args=[])


def emits_before_it_connects(client: JavaScript) -> None:
    client.connect("websocket")
    client.write('42/chat,["join","den"]')


def emits_too_much(client: JavaScript) -> None:
    client.connect()
    client.do("emit", event="echo", args=["x" * TOO_LARGE])


def emits_too_much_by_websocket(client: JavaScript) -> None:
    client.connect("websocket")
    client.do("emit", event="echo", args=["x" * TOO_LARGE])


def speaks_another_protocol(client: JavaScript) -> None:
    client.refused(protocol=3)


def says_nothing_that_is_a_packet(client: JavaScript) -> None:
    client.connect("websocket")
    client.write("49")


def acknowledges_what_nobody_asked(client: JavaScript) -> None:
    client.connect("websocket")
    client.write("43999[]")


def wants_what_is_not_there(client: JavaScript) -> None:
    client.refused("websocket", namespace="/nowhere")


def sends_a_servers_packet(client: JavaScript) -> None:
    client.connect("websocket")
    client.write("6")


def sends_a_servers_packet_by_polling(client: JavaScript) -> None:
    client.connect()
    client.write("6")


def has_a_session_of_another_process(client: JavaScript) -> None:
    client.connect()
    client.do("lose", sid="AAAAAAAAAAAAAAAAAAAA")


def wants_another_transport(client: JavaScript) -> None:
    client.refused()


def posts_after_the_upgrade(client: JavaScript) -> None:
    client.connect("polling", "websocket")
    sid = client.do("ids")["engine"]
    response = httpx.post(f"{client.service.url}{PATH}&transport=polling&sid={sid}", content="3")
    assert response.status_code == 400


BY_JAVASCRIPT: dict[str, list[Callable[[JavaScript], None]]] = {
    "auth": [is_refused],
    "bad_origin": [comes_from_elsewhere, comes_from_elsewhere_by_websocket],
    "duplicate_connect": [connects_twice],
    "incomplete_binary": [leaves_amid_an_attachment],
    "no_handler": [emits_what_nobody_handles],
    "not_connected": [emits_before_it_connects],
    "payload_too_large": [emits_too_much, emits_too_much_by_websocket],
    "protocol_version": [speaks_another_protocol],
    # Older ones answer it as before.
    **({"session_upgraded": [posts_after_the_upgrade]} if "unexpected-http" in inspect.getsource(Engine) else {}),
    "too_many_packets": [emits_40_at_once],
    "transport": [wants_another_transport],
    "undecodable": [says_nothing_that_is_a_packet],
    "unknown_ack": [acknowledges_what_nobody_asked],
    "unknown_namespace": [wants_what_is_not_there],
    "unknown_packet": [sends_a_servers_packet, sends_a_servers_packet_by_polling],
    "unknown_session": [has_a_session_of_another_process],
}


# By hand: what the real client never does.


def asks(query: str = "", method: str = "GET", **options: Any) -> Callable[[Service], None]:
    def ask(service: Service) -> None:
        response = httpx.request(method, f"{service.url}/socket.io/?{query}", **options)
        assert response.status_code in (400, 405)

    return ask


def posts(body: str | bytes, first: str = "40") -> Callable[[Service], None]:
    def post(service: Service) -> None:
        with Polling(service) as client:
            client.post(first)
            assert client.post(body) == 200

    return post


def posts_after_its_end(service: Service) -> None:
    with httpx.Client(base_url=service.url) as http:
        sid = json.loads(http.get(f"{PATH}&transport=polling").text[1:])["sid"]
        assert http.post(f"{PATH}&transport=polling&sid={sid}", content="1\x1e5").status_code == 400


def posts_in_chunks(service: Service) -> None:
    with Polling(service) as client:
        client.post("40")
        response = httpx.post(service.url + client.path, content=iter([b'42["echo","lost"]']))
        assert response.status_code == 200


def sends(*packets: str | bytes) -> Callable[[Service], None]:
    def send(service: Service) -> None:
        with websocket(service) as client, suppress(ConnectionClosed):
            for packet in ("40", *packets):
                client.send(packet)
            client.recv(timeout=PATIENCE_S)
            client.recv(timeout=1)

    return tolerant(send)


def tolerant(run: Callable[[Service], None]) -> Callable[[Service], None]:
    def send(service: Service) -> None:
        with suppress(TimeoutError, ConnectionClosed):
            run(service)

    return send


def upgrades(*packets: str) -> Callable[[Service], None]:
    def upgrade(service: Service) -> None:
        with Polling(service) as client:
            client.post("40")
            with websocket(service, f"&sid={client.sid}") as other, suppress(ConnectionClosed, TimeoutError):
                for packet in packets:
                    other.send(packet)
                    if packet == "2probe":
                        assert other.recv(timeout=PATIENCE_S) == "3probe"
                if packets[-1] != "2probe":
                    other.recv(timeout=5)

    return upgrade


def knocks_by_websocket(query: str) -> Callable[[Service], None]:
    def knock(service: Service) -> None:
        with pytest.raises(InvalidHandshake), websocket(service, query):
            pytest.fail("it was let in")

    return knock


BY_HAND: dict[str, list[Callable[[Service], None]]] = {
    "invalid_jsonp": [asks("EIO=4&j=x")],
    "method": [asks("EIO=4", "PUT")],
    "no_length": [posts_in_chunks],
    "protocol_version": [asks("EIO=3"), asks(""), knocks_by_websocket("&EIO=3")],
    "transport": [asks("EIO=4&transport=pigeon")],
    "unknown_session": [
        asks("EIO=4&transport=polling&sid=forged"),
        asks("EIO=4&transport=polling&sid=forged", "POST", content="3"),
        knocks_by_websocket("&sid=forged"),
    ],
    "session_closed": [posts_after_its_end],
    "too_many_packets": [posts("\x1e".join(['42["echo"]'] * 17))],
    "payload_too_large": [sends('42["echo","' + "x" * TOO_LARGE + '"]')],
    "unknown_packet": [sends("0"), sends("7")],
    "undecodable": [
        posts("z"),
        posts(b"\xff\xfe"),
        posts("\x1e"),
        posts("b!"),
        posts("d=%"),
        posts("42["),
        posts("42{}"),
        posts("44"),
        *(
            [posts("451-[]", first="3")]
            if "Unexpected binary packet" in inspect.getsource(socketio.AsyncServer)
            else []
        ),
        posts("4" + "[" * 50_000),
        sends("z"),
        sends(""),
        sends("b!"),
        sends("42["),
        sends(b"\x00"),
    ],
    "upgrade_failed": [
        asks("EIO=4&transport=websocket"),
        upgrades("2probe", "6"),
        upgrades("3"),
        upgrades("2probe"),
        upgrades("z"),
    ],
}
#: What no client can bring about by itself; test_refusals_in_process.py does.
IN_PROCESS = {"handshake_pending", "other", "poll_timeout", "recipient_gone"}


def counted(service: Service) -> dict[str, float]:
    return {reason: n for (reason,), n in service.samples("divan_socketio_refused_total").items()}


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start("over")


def by_javascript() -> Iterator[Any]:
    for reason, ways in BY_JAVASCRIPT.items():
        for way in ways:
            yield pytest.param(reason, way, id=f"{reason}: {way.__name__}")


def by_hand() -> Iterator[Any]:
    for reason, ways in BY_HAND.items():
        for number, way in enumerate(ways):
            yield pytest.param(reason, way, id=f"{reason} {number}")


def is_refused_once(service: Service, reason: str, run: Callable[[], object]) -> None:
    """Let a client do something: one refusal more, and a line that says so unless the client was served otherwise."""
    before, lines = counted(service), len(service.lines())
    assert set(before) == set(REASONS)
    run()

    def grown() -> dict[str, float]:
        grown = {name: n - before[name] for name, n in counted(service).items() if n != before[name]}
        # The last poll of a client of an earlier test may end now.
        grown.pop("poll_timeout", None)
        return grown

    def on_lines() -> list[dict[str, Any]]:
        service.flush()
        return [line for line in service.lines()[lines:] if reason in line.get("refused", {})]

    service.wait_for(grown)
    if reason != "no_handler":  # Its event may be handled when the request has ended.
        service.wait_for(lambda: sum(line["refused"][reason] for line in on_lines()) == grown()[reason])
    for line in on_lines():
        assert line["refused"] == {reason: 1}
        assert (line["route"], line["outcome"] != "ok") == ("/socket.io", True)
        assert line["request_id"]
    # A client that has lost its session may ask twice.
    assert grown() == {reason: max(1, len(on_lines()))}


@pytest.mark.parametrize(("reason", "way"), list(by_javascript()))
def test_the_javascript_client_causes_it(
    reason: str,
    way: Callable[[JavaScript], None],
    start: Callable[..., Service],
    service: Service,
    javascript_clients: JavaScriptClients,
) -> None:
    """Whatever the client of the browsers does."""
    if reason == "transport":
        service = start("over", SOCKETIO_TRANSPORTS="websocket")
    client = JavaScript(javascript_clients, service)
    try:
        is_refused_once(service, reason, lambda: ended(client, way, reason))
    finally:
        client.do("close")


def ended(client: JavaScript, way: Callable[[JavaScript], None], reason: str) -> None:
    """Run it; the line of a WebSocket is written at its end."""
    way(client)
    if reason not in ("incomplete_binary",):
        before = counted(client.service)
        client.service.wait_for(lambda: counted(client.service)[reason] >= before[reason])
        client.do("settle")
        client.do("close")


@pytest.mark.parametrize(("reason", "way"), list(by_hand()))
def test_a_client_by_hand_causes_it(reason: str, way: Callable[[Service], None], service: Service) -> None:
    """What the real client never does, and strangers may."""
    is_refused_once(service, reason, lambda: way(service))


def test_every_reason_is_caused() -> None:
    """A reason without a client that causes it would be a claim."""
    by_newer = {"session_upgraded"} - BY_JAVASCRIPT.keys()
    assert BY_JAVASCRIPT.keys() | BY_HAND.keys() | IN_PROCESS | by_newer == REASONS.keys()

"""Who causes each reason of `divan_socketio_refused_total` in the tests, and why not the JavaScript client alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from engineio import AsyncServer as Engine

from tests.socketio_ext.javascript_client import ClientError, JavaScriptClients
from tests.socketio_ext.refusals_in_process import asks_for_a_session_that_is_not_open, is_refused_by_a_later_engineio
from tests.socketio_ext.service import Service
from tests.socketio_ext.test_raw_clients import ATTACHED, TOO_LARGE
from tests.stacks import Observed

ATTEMPTS = 5


class JavaScript:
    """One client of `socket.io-client`."""

    def __init__(self, clients: JavaScriptClients, service: Service) -> None:
        self._clients = clients
        self.service = service
        #: Whether node has sent something beside the client.
        self.has_company = False

    def do(self, what: str, **wish: Any) -> Any:
        self.has_company |= what.endswith("_beside")
        return self._clients.do(what, "refused", **{"namespace": "/", **wish})

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


def has_an_index_that_is_not_a_number(client: JavaScript) -> None:
    client.refused(query={"j": "x"})


def puts(client: JavaScript) -> None:
    client.connect()
    client.do("request", method="PUT")


def sends_more_after_its_end(client: JavaScript) -> None:
    """Two packets in one body: a close, and one that finds the session closed."""
    service = client.service
    known = counted(service)["unknown_session"]
    client.connect()
    client.write("1\x1e5")
    # The client learns of the refusal, and closes the session that is closed.
    service.wait_for(lambda: counted(service)["unknown_session"] > known)


def loses_the_websocket_of_its_upgrade(client: JavaScript) -> None:
    client.connect("polling", "websocket", cutUpgrade=True)


def leaves_while_it_is_checked(client: JavaScript) -> None:
    """The connect handler admits a client that has gone meanwhile."""
    service = client.service
    waiting = sum(line["msg"] == "waiting" for line in service.lines())
    client.connect()
    client.write('40/chat,{"kept_waiting":true}')
    service.wait_for(lambda: sum(line["msg"] == "waiting" for line in service.lines()) > waiting)
    gone = disconnects(service)
    client.do("drop")
    service.wait_for(lambda: disconnects(service) > gone)
    service.admit()


def counted(service: Service) -> dict[str, float]:
    return {reason: n for (reason,), n in service.samples("divan_socketio_refused_total").items()}


def disconnects(service: Service) -> float:
    return sum(service.samples("divan_socketio_disconnects_total").values())


def posts_after_the_upgrade(client: JavaScript) -> None:
    client.connect("polling", "websocket")
    assert client.do("post_beside", body="3") == 400


def posts_in_chunks(client: JavaScript) -> None:
    client.connect()
    assert client.do("post_beside", body='42["echo","lost"]', chunked=True) == 200


def is_polled_for_by_two(client: JavaScript) -> None:
    """
    The client gets the ping, and the poll beside it nothing for `ping_interval` and `ping_timeout`, 2 s.

    The ping comes 1 s after that poll, and the next one not before 2.5 s, because the client answers after 0.5 s.
    If the machine was too slow for that, the client tries again.
    """
    for _ in range(ATTEMPTS):
        client.connect()
        if client.do("poll_beside", late_ms=500) == '"Bad Request"':
            return
        client.do("close")
    pytest.fail(f"Each of {ATTEMPTS} polls got a ping.")


class By(Enum):
    CLIENT = "the JavaScript client: by its options, its methods, or its transport that sends what a test gives it"
    COMPANY = "the JavaScript client, and node beside it: a request with the session of the client"
    PROCESS = "in process, because no client can cause it over the wire"


@dataclass(frozen=True)
class Cause:
    """
    Args:
        by: who causes it; the tests fail if somebody else does.
        ways: what the client does; each of them is a test.
        why: why the JavaScript client does not cause it alone.
        key: a text in the source of Engine.IO's server without which this Engine.IO does not refuse it.
        environ: of the served app.
        next: the reason that the client may cause when it learns of the refusal: it closes a session that is closed.
    """

    by: By
    ways: tuple[Callable[[JavaScript], None], ...] = ()
    in_process: Callable[[Observed], None] | None = None
    why: str = ""
    key: str = ""
    environ: tuple[tuple[str, str], ...] = ()
    next: str = ""

    @property
    def marks(self) -> pytest.MarkDecorator:
        missing = self.key not in inspect.getsource(Engine)
        return pytest.mark.skipif(missing, reason="This Engine.IO does not refuse it.")


def client(*ways: Callable[[JavaScript], None], next: str = "", **environ: str) -> Cause:
    return Cause(By.CLIENT, ways, next=next, environ=tuple(environ.items()))


def company(way: Callable[[JavaScript], None], why: str, key: str = "", next: str = "") -> Cause:
    return Cause(By.COMPANY, (way,), why=why, key=key, next=next)


def process(way: Callable[[Observed], None], why: str, key: str = "") -> Cause:
    return Cause(By.PROCESS, in_process=way, why=why, key=key)


#: Each reason, in the order of the code and of docs/socketio.md. None needs a client by hand.
CAUSES: dict[str, Cause] = {
    "auth": client(is_refused),
    "bad_origin": client(comes_from_elsewhere, comes_from_elsewhere_by_websocket),
    "duplicate_connect": client(connects_twice),
    "handshake_pending": process(
        asks_for_a_session_that_is_not_open,
        "Engine.IO chooses the session at random, and sends it in the response that ends the handshake.",
        key="not-connected",
    ),
    "incomplete_binary": client(leaves_amid_an_attachment),
    "invalid_jsonp": client(has_an_index_that_is_not_a_number),
    "method": client(puts),
    "no_handler": client(emits_what_nobody_handles),
    "no_length": company(posts_in_chunks, "Its XMLHttpRequest and its fetch give each body a Content-Length."),
    "not_connected": client(emits_before_it_connects),
    "other": process(is_refused_by_a_later_engineio, "The Engine.IO that is installed refuses nothing else."),
    "payload_too_large": client(emits_too_much, emits_too_much_by_websocket),
    "poll_timeout": company(
        is_polled_for_by_two,
        "It polls once at a time, so its poll gets the ping of Engine.IO.",
        next="unknown_session",
    ),
    "protocol_version": client(speaks_another_protocol),
    "recipient_gone": client(leaves_while_it_is_checked),
    "session_closed": client(sends_more_after_its_end, next="unknown_session"),
    "session_upgraded": company(
        posts_after_the_upgrade, "It pauses polling before it upgrades.", key="unexpected-http"
    ),
    "too_many_packets": client(emits_40_at_once),
    "transport": client(wants_another_transport, SOCKETIO_TRANSPORTS="websocket"),
    "undecodable": client(says_nothing_that_is_a_packet),
    "unknown_ack": client(acknowledges_what_nobody_asked),
    "unknown_namespace": client(wants_what_is_not_there),
    "unknown_packet": client(sends_a_servers_packet, sends_a_servers_packet_by_polling),
    "unknown_session": client(has_a_session_of_another_process),
    "upgrade_failed": client(loses_the_websocket_of_its_upgrade),
}

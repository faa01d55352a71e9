"""Real clients, over every transport: what they do, what is counted, what is logged and what is traced is the same."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engineio import AsyncServer as Engine

from tests.servers.otlp import attributes
from tests.socketio_ext.conftest import Clients
from tests.socketio_ext.javascript_client import ClientError
from tests.socketio_ext.service import Service, ids_of_span

# python-socketio's client does not read the answer that ends its polling, and its oldest version closes no session.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}


class Conversation:
    """Two clients of one library on one transport, and what the server must have seen of them."""

    def __init__(self, service: Service, clients: Clients, transport: str) -> None:
        self.service = service
        self.clients = clients
        self.transports = TRANSPORTS[transport]
        #: Calls of handlers, by namespace and event.
        self.calls: Counter[tuple[str, str]] = Counter()
        self.refused = 0
        #: Everything that lets its holder speak for a client.
        self.credentials: set[str] = set()
        service.flush()
        self._events = service.samples("divan_socketio_events_total")
        self._lines = len(service.lines())
        self._spans = len(service.spans())

    def connect(self, client: str, namespace: str, **auth: object) -> None:
        self.calls["/chat", "connect"] += namespace == "/chat"
        self.clients.do(
            "connect", client, url=self.service.url, namespace=namespace, transports=self.transports, auth=auth or None
        )
        self.remember(client, namespace)

    def remember(self, client: str, namespace: str) -> None:
        ids = self.clients.do("ids", client, namespace=namespace)
        assert ids["transport"] == self.transports[-1]
        self.credentials |= {ids["sid"], ids["engine"]}

    def call(self, client: str, namespace: str, event: str, *args: object) -> Any:
        self.calls[namespace, event] += 1
        return self.clients.do("call", client, namespace=namespace, event=event, args=args)

    def emit(self, client: str, namespace: str, event: str, *args: object) -> None:
        self.calls[namespace, event] += 1
        self.clients.do("emit", client, namespace=namespace, event=event, args=args)

    def received(self, client: str, namespace: str, event: str, count: int) -> Any:
        return self.clients.do("received", client, namespace=namespace, event=event, count=count)

    def acks(self) -> Counter[str]:
        samples = self.service.samples("divan_socketio_acks_total")
        return Counter({state: int(count) for (space, state), count in samples.items() if space == "/"})

    def lines(self) -> list[dict[str, Any]]:
        return self.service.lines()[self._lines :]

    def start_again(self) -> None:
        """Start the service, which counts from zero."""
        self.service.start()
        self._events = {}

    def everybody_has_gone(self) -> None:
        """Let the clients leave; wait until the server has noticed."""
        for client in ("ada", "bob"):
            self.clients.do("close", client)
        self.service.wait_for(lambda: not any(self.service.samples("divan_socketio_clients").values()))
        self.service.wait_for(lambda: not any(self.service.samples("divan_socketio_transports").values()))
        self.calls["/chat", "disconnect"] += self.calls["/chat", "connect"] - self.refused

    def agree(self) -> None:
        """Hold the counters, the log lines and the spans of this conversation to what was called."""
        self.calls = +self.calls
        self.service.flush()
        now = self.service.samples("divan_socketio_events_total")
        counted = {key: now[key] - self._events.get(key, 0) for key in now}
        events = {call: count for call, count in self.calls.items() if call[1] not in ("connect", "disconnect")}
        assert {(space, event): count for (event, space), count in counted.items() if count} == events

        told = [line for line in self.lines() if line["msg"].startswith("EVENT ")]
        assert Counter((line["namespace"], line["event"]) for line in told) == self.calls

        spans = [span for span in self.service.spans()[self._spans :] if span.name.startswith("process ")]
        assert {span.name for span in spans} == {f"process {space} {event}" for space, event in self.calls}
        assert Counter(map(ids_of_span, spans)) == Counter((line["trace_id"], line["span_id"]) for line in told)
        by_ids = {ids_of_span(span): span for span in spans}
        handshakes = {line["trace_id"] for line in self.service.lines() if line.get("msg", "").startswith("GET ")}
        for line in told:
            span = by_ids[line["trace_id"], line["span_id"]]
            assert attributes(span)["socketio.event"] == line["event"]
            assert attributes(span)["socketio.namespace"] == line["namespace"]
            assert attributes(span)["divan.request_id"] == line["request_id"]
            assert attributes(span)["divan.outcome"] == line["outcome"]
            assert not span.parent_span_id
            assert {link.trace_id.hex() for link in span.links} <= handshakes

        # What a handler logs stands under the ids of its call, and of no other.
        ids = {line["request_id"]: (line["trace_id"], line["span_id"]) for line in told}
        said = [line for line in self.lines() if line["logger"] == "served" and line["msg"] in ("echoing", "plainly")]
        assert len(said) == self.calls["/", "echo"] + self.calls["/", "plain"]
        assert all(ids[line["request_id"]] == (line["trace_id"], line["span_id"]) for line in said)

        everything = self.service.everything()
        assert [secret for secret in self.credentials if secret in everything] == []


@pytest.fixture(params=TRANSPORTS)
def talk(request: pytest.FixtureRequest, clients: Clients, start: Callable[..., Service]) -> Iterator[Conversation]:
    talk = Conversation(start("over"), clients, request.param)
    yield talk
    for client in ("ada", "bob"):
        clients.do("close", client)


def test_what_clients_do_is_reported_once_and_alike(talk: Conversation) -> None:
    """Events with and without an answer, rooms, namespaces, both ways of asking: metrics, lines and spans agree."""
    upgrades = talk.service.samples("divan_socketio_upgrades_total")[()]
    acks = talk.acks()
    talk.connect("ada", "/")
    talk.connect("ada", "/chat", name="ada")
    talk.connect("bob", "/chat", name="bob")
    assert talk.service.samples("divan_socketio_clients") == {("/",): 1, ("/chat",): 2}

    assert talk.call("ada", "/", "echo", "one") == "one"
    picture = {"$bytes": base64.b64encode(bytes(range(256))).decode()}
    assert talk.call("ada", "/", "echo", [picture, "two", picture]) == [picture, "two", picture]
    assert talk.call("ada", "/", "plain", "three") == "three"
    assert talk.call("ada", "/", "ask", "four") == "four"
    assert talk.call("ada", "/", "ask_in_vain") == "no answer"
    talk.service.wait_for(lambda: talk.acks() - acks == {"requested": 2, "answered": 1, "late": 1})
    talk.emit("ada", "/", "breaks", "private-words")
    for client in ("ada", "bob"):
        assert talk.call(client, "/chat", "join", "den") == "den"
    assert talk.service.samples("divan_socketio_transports")[talk.transports[-1],] == 2
    talk.emit("ada", "/chat", "say", "den", {"text": "private-words"})
    for client in ("ada", "bob"):
        assert talk.received(client, "/chat", "said", 1) == [[{"text": "private-words"}]]
    assert talk.call("bob", "/chat", "leave", "den") == "den"
    talk.emit("ada", "/chat", "say", "den", "again")
    assert talk.received("ada", "/chat", "said", 2)[-1] == ["again"]

    assert talk.service.samples("divan_socketio_upgrades_total")[()] - upgrades == 2 * (len(talk.transports) - 1)

    talk.everybody_has_gone()
    talk.agree()
    assert "private-words" not in talk.service.everything()


@pytest.mark.parametrize("talk", ["upgrade"], indirect=True)
def test_a_refused_client_gets_an_error_and_is_not_counted(talk: Conversation) -> None:
    """Its connect is one, with its outcome; it has no disconnect."""
    before = talk.service.samples("divan_socketio_connects_total").get(("/chat", "refused"), 0)
    talk.connect("bob", "/")
    with pytest.raises(ClientError, match=r"not you|failed to connect"):
        talk.connect("ada", "/chat", refused=True)
    assert talk.service.samples("divan_socketio_clients").get(("/chat",), 0) == 0
    assert talk.service.samples("divan_socketio_connects_total")["/chat", "refused"] == before + 1

    talk.refused = 1
    talk.everybody_has_gone()
    talk.agree()
    (line,) = (line for line in talk.lines() if line["msg"] == "EVENT /chat connect")
    assert (line["connect"], line["outcome"]) == ("refused", "ok")


@pytest.mark.parametrize("talk", ["upgrade"], indirect=True)
def test_a_client_that_the_server_sends_away_is_gone(talk: Conversation) -> None:
    """Its reason is the server."""

    def sent_away() -> float:
        return talk.service.samples("divan_socketio_disconnects_total").get(("/", "server_disconnect"), 0)

    before = sent_away()
    talk.connect("ada", "/")
    talk.emit("ada", "/", "leave")
    talk.clients.do("disconnected", "ada", namespace="/")
    # The client hears of it before the server is done with it.
    talk.service.wait_for(lambda: sent_away() == before + 1)
    talk.everybody_has_gone()
    talk.agree()


@pytest.mark.parametrize("talk", ["upgrade"], indirect=True)
def test_a_server_that_ends_in_order_tells_who_has_gone_with_it(talk: Conversation) -> None:
    """Their disconnects stand in the log and in the traces, and they come back. (It does not miss those who poll.)"""
    talk.connect("ada", "/chat")
    talk.connect("bob", "/chat")
    talk.service.stop()
    (gone, another) = (line for line in talk.lines() if line["msg"] == "EVENT /chat disconnect")
    assert {gone["outcome"], another["outcome"]} == {"ok"}
    # An Engine.IO of python-socketio 5.11's day (4.8) gives no reasons.
    assert {gone["reason"], another["reason"]} == {"transport_close" if hasattr(Engine, "reason") else "other"}

    talk.start_again()
    for client in ("ada", "bob"):
        talk.clients.do("connected", client, namespace="/chat", count=2)
        talk.calls["/chat", "connect"] += 1
        talk.remember(client, "/chat")
    assert talk.service.samples("divan_socketio_clients")["/chat",] == 2
    talk.everybody_has_gone()
    talk.agree()


@pytest.mark.parametrize("talk", ["polling", "upgrade"], indirect=True)
def test_a_client_that_comes_back_is_counted_once(talk: Conversation) -> None:
    """A connection that was cut and a server that was killed: the client connects anew, and the gauge is as before."""
    connects = 1
    talk.connect("ada", "/chat")
    if talk.transports[-1] == "websocket":
        talk.clients.do("drop", "ada")
        connects += 1
        talk.clients.do("connected", "ada", namespace="/chat", count=connects)
        talk.service.wait_for(lambda: talk.service.samples("divan_socketio_clients")["/chat",] == 1)
    talk.service.kill()
    talk.service.start()
    talk.clients.do("connected", "ada", namespace="/chat", count=connects + 1)
    assert talk.service.samples("divan_socketio_clients")["/chat",] == 1
    assert talk.call("ada", "/chat", "join", "den") == "den"
    talk.everybody_has_gone()
    everything = talk.service.everything()
    assert [secret for secret in talk.credentials if secret in everything] == []

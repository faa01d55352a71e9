"""Refusals by clients of no library: over the wire, with bytes of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import socketio
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.patience import PATIENCE_S
from tests.socketio_ext.service import Service
from tests.socketio_ext.test_raw_clients import TOO_LARGE, Polling, websocket


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


#: Further ways to reasons that the JavaScript client causes, too (`refusal_causes.CAUSES`).
BY_HAND: dict[str, list[Callable[[Service], None]]] = {
    "protocol_version": [asks("EIO=3"), asks(""), knocks_by_websocket("&EIO=3")],
    "transport": [asks("EIO=4&transport=pigeon")],
    "unknown_session": [
        asks("EIO=4&transport=polling&sid=forged"),
        asks("EIO=4&transport=polling&sid=forged", "POST", content="3"),
        knocks_by_websocket("&sid=forged"),
    ],
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

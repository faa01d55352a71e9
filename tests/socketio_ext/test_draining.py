"""A service that takes its leave tells its Socket.IO clients."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
import redis

from tests.servers.redis import RedisServer
from tests.socketio_ext.conftest import Clients
from tests.socketio_ext.service import TOKEN, Service

# python-socketio's client does not read the answer that ends its polling.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")


def drain(service: Service) -> None:
    httpx.post(f"{service.url}/ops/drain", headers={"Authorization": f"Bearer {TOKEN}"}).raise_for_status()


def connect(clients: Clients, name: str, service: Service, namespace: str) -> None:
    clients.do("connect", name, url=service.url, namespace=namespace, transports=["websocket"], auth=None)


def test_a_drain_is_told_in_every_namespace(start: Callable[..., Service], clients: Clients) -> None:
    """With how long requests are still served; a client goes on being served meanwhile."""
    service = start("over", OBS_DRAIN_DELAY_S="30")
    for namespace in ("/", "/chat"):
        connect(clients, "ada", service, namespace)
    drain(service)
    for namespace in ("/", "/chat"):
        ((told,),) = clients.do("received", "ada", namespace=namespace, event="server_draining", count=1)
        assert 29 < told["remaining_s"] <= 30
    assert clients.do("call", "ada", namespace="/", event="echo", args=["still there"]) == "still there"
    clients.do("close", "ada")
    service.kill()


def test_the_clients_of_other_processes_are_not_told(
    start: Callable[..., Service], python_clients: Clients, redis_server: RedisServer
) -> None:
    """They share a Redis, and only one of them ends."""
    leaving, staying = (
        start("over", OBS_DRAIN_DELAY_S="30", SOCKETIO_REDIS_URL=redis_server.url, OBS_SERVICE_NAME=name)
        for name in ("leaving", "staying")
    )
    clients = {"ada": leaving, "bob": staying}
    for name, service in clients.items():
        connect(python_clients, name, service, "/chat")
        python_clients.do("call", name, namespace="/chat", event="join", args=["lobby"])
    with redis.Redis.from_url(redis_server.url) as asking:
        staying.wait_for(lambda: dict(asking.pubsub_numsub("socketio"))[b"socketio"] >= len(clients))
    drain(leaving)
    assert python_clients.do("received", "ada", namespace="/chat", event="server_draining", count=1)
    # What comes later, on the way that the other process listens to.
    python_clients.do("emit", "ada", namespace="/chat", event="say", args=["lobby", "bye"])
    assert python_clients.do("received", "bob", namespace="/chat", event="said", count=1) == [["bye"]]
    assert python_clients.do("received", "bob", namespace="/chat", event="server_draining", count=0) == []
    for name, service in clients.items():
        python_clients.do("close", name)
        service.kill()

"""A service that takes its leave tells its Socket.IO clients."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Queue

import httpx
import pytest
import redis

from tests.patience import PATIENCE_S
from tests.servers.command import Command, until
from tests.servers.redis import RedisServer
from tests.socketio_ext.conftest import Clients
from tests.socketio_ext.service import TOKEN, Service

# python-socketio's client does not read the answer that ends its polling.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")]


def drain(service: Service) -> None:
    httpx.post(f"{service.url}/ops/drain", headers={"Authorization": f"Bearer {TOKEN}"}).raise_for_status()


def connect(clients: Clients, name: str, service: Service, namespace: str) -> None:
    clients.do("connect", name, url=service.url, namespace=namespace, transports=["websocket"], auth=None)


def test_a_drain_is_announced_in_every_namespace(start: Callable[..., Service], clients: Clients) -> None:
    """With how long requests are still served; a client goes on being served meanwhile."""
    service = start("over", OBS_DRAIN_DELAY_S="30")
    for namespace in ("/", "/chat"):
        connect(clients, "ada", service, namespace)
    drain(service)
    for namespace in ("/", "/chat"):
        ((told,),) = clients.do("received", "ada", namespace=namespace, event="server_draining", count=1)
        assert 10 < told["remaining_s"] <= 30
    assert clients.do("call", "ada", namespace="/", event="echo", args=["still there"]) == "still there"
    clients.do("close", "ada")
    service.kill()


def test_the_clients_of_other_processes_get_no_announcement(
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


APP = """
import socketio
import divan_obs_asgi as obs

bundle = obs.Observability.from_env()
# Pings that are so rare answer no poll of a test.
server = obs.socketio_ext.ObservedAsyncServer(obs=bundle, async_mode="asgi", ping_interval=300)

@server.on("*")
async def echo(event, sid, *args):
    return args

app = obs.wrap(socketio.ASGIApp(server), bundle)
"""


class Polling:
    """A client of Engine.IO that polls, as far as a test needs one."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=PATIENCE_S)
        self._query = {"EIO": "4", "transport": "polling"}
        self._query["sid"] = json.loads(self.poll()[1:])["sid"]
        self._http.post("/socket.io/", params=self._query, content="40").raise_for_status()
        assert self.poll().startswith("40")

    def leave(self) -> None:
        self._http.post("/socket.io/", params=self._query, content="1").raise_for_status()

    def poll(self) -> str:
        return self._http.get("/socket.io/", params=self._query).raise_for_status().text


@pytest.mark.parametrize(
    ("number", "delay"), [(signal.SIGTERM, "0.2"), (signal.SIGTERM, "0"), (signal.SIGINT, "30")], ids=str
)
def test_a_client_that_polls_does_not_hold_the_process(number: signal.Signals, delay: str) -> None:
    """Its long poll and each later one are answered, by a packet that means nothing, when the server is to end."""
    command = Command(APP, "uvicorn", "app", env={"OBS_ADMIN_TOKEN": TOKEN, "OBS_DRAIN_DELAY_S": delay})
    try:
        command.start()
        client = Polling(command.url)
        answered: Queue[str] = Queue()

        def polls() -> None:
            with suppress(httpx.HTTPError):
                while True:
                    answered.put(client.poll())

        thread = threading.Thread(target=polls)
        thread.start()
        until(lambda: polled(command), command)
        command.process.send_signal(number)
        # Not `command.stop()`, which kills it in the end.
        command.process.wait(PATIENCE_S)
        thread.join(PATIENCE_S)
        answers = [answered.get_nowait() for _ in range(answered.qsize())]
        assert answers
        # What a drain says first, and then nothing but this; without a delay the server may be gone before the next.
        told = {answer for answer in answers if "server_draining" not in answer}
        assert told == {"6"} or (not told and delay != "0.2")
    finally:
        command.close()


def test_a_poll_that_its_client_has_left_does_not_hold_the_process() -> None:
    """Engine.IO forgets a client that says farewell, and leaves its poll open for 45 s."""
    command = Command(APP, "uvicorn", "app", env={"OBS_ADMIN_TOKEN": TOKEN, "OBS_DRAIN_DELAY_S": "0"})
    try:
        command.start()
        client = Polling(command.url)
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(client.poll()))
        thread.start()
        until(lambda: polled(command), command)
        client.leave()
        command.process.terminate()
        thread.join(PATIENCE_S)
        assert answers == ["6"]
        command.process.wait(PATIENCE_S)
    finally:
        command.close()


def polled(command: Command) -> bool:
    """Tell whether the poll of the one client has begun: the server has it in flight beside this request."""
    page = httpx.get(f"{command.url}/ops", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE_S)
    return bool(page.json()["in_flight"]["requests"])


def test_a_client_that_polls_connects_to_the_next_instance(clients: Clients) -> None:
    """It is not told that the server has closed the connection for good."""
    command = Command(APP, "uvicorn", "app", env={"OBS_ADMIN_TOKEN": TOKEN, "OBS_DRAIN_DELAY_S": "0.2"})
    try:
        command.start()
        clients.do("connect", "ada", url=command.url, namespace="/", transports=["polling"], auth=None)
        command.process.terminate()
        command.process.wait(PATIENCE_S)
        command.start()
        clients.do("connected", "ada", namespace="/", count=2)
        assert clients.do("call", "ada", namespace="/", event="echo", args=["here"]) == "here"
    finally:
        clients.do("close", "ada")
        command.close()

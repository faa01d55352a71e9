"""More than one process behind a balancer, which share emits through Redis: each tells its own part of the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import redis
import socketio

from tests.servers.balancer import Balancer
from tests.servers.redis import RedisServer
from tests.socketio_ext.conftest import Clients
from tests.socketio_ext.service import Service, samples

# python-socketio's client does not read the answer that ends its polling, and its oldest version closes no session.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")]

_rooms = count()


class Processes:
    """Two processes of a service, and clients of either, by name."""

    def __init__(self, start: Callable[..., Service], clients: Clients, redis_url: str) -> None:
        self.clients = clients
        self.redis_url = redis_url
        self.both = [start("over", SOCKETIO_REDIS_URL=redis_url, OBS_SERVICE_NAME=name) for name in ("one", "two")]
        self.one, self.two = self.both
        self.room = f"room-{next(_rooms)}"
        self._names: set[str] = set()
        self._subscribe()
        self._before = {service: service.metrics() for service in self.both}

    def _subscribe(self) -> None:
        """Let both processes listen to Redis, as python-socketio does from its first client on."""
        for service in self.both:
            self.connect("first", service)
            self.clients.do("close", "first")
            self._has_no_client(service)
        self.both_listen()

    def both_listen(self) -> None:
        """Return when both processes hear what is said by Redis."""
        with redis.Redis.from_url(self.redis_url) as asking:
            self.one.wait_for(lambda: dict(asking.pubsub_numsub("socketio"))[b"socketio"] == len(self.both))

    def _has_no_client(self, service: Service) -> None:
        service.wait_for(lambda: not self.sum("divan_socketio_clients", service))

    def connect(
        self, name: str, to: Service | Balancer, namespace: str = "/chat", transport: str = "websocket"
    ) -> None:
        transports = [transport] if transport != "upgrade" else ["polling", "websocket"]
        self._names.add(name)
        self.clients.do("connect", name, url=to.url, namespace=namespace, transports=transports, auth=None)

    def call(self, name: str, event: str, *args: object, namespace: str = "/chat") -> Any:
        return self.clients.do("call", name, namespace=namespace, event=event, args=args)

    def sid(self, name: str, namespace: str) -> Any:
        return self.clients.do("ids", name, namespace=namespace)["sid"]

    def received(self, name: str, event: str, number: int) -> Any:
        return self.clients.do("received", name, namespace="/chat", event=event, count=number)

    def sum(self, metric: str, *services: Service) -> Counter[tuple[str, ...]]:
        """Return what Prometheus would add up over the processes, without labels whose sum is zero."""
        added: Counter[tuple[str, ...]] = Counter()
        for service in services or self.both:
            added.update({labels: int(value) for labels, value in service.samples(metric).items()})
        return +added

    def since(self, service: Service, metric: str) -> dict[tuple[str, ...], float]:
        """Return by how much a counter has grown in this test."""
        before = samples(self._before[service], metric)
        now = service.samples(metric)
        return {
            labels: value - before.get(labels, 0) for labels, value in now.items() if value != before.get(labels, 0)
        }

    def end(self) -> None:
        for name in self._names:
            self.clients.do("close", name)
        for service in self.both:
            if service.running:
                self._has_no_client(service)


@pytest.fixture
def processes(start: Callable[..., Service], clients: Clients, redis_server: RedisServer) -> Iterator[Processes]:
    processes = Processes(start, clients, redis_server.url)
    yield processes
    processes.end()


def test_sums_over_processes_are_the_truth(processes: Processes) -> None:
    """Whichever process a client is connected to, it and its events are counted there and nowhere else."""
    for number, service in enumerate([processes.one, processes.two, processes.two]):
        processes.connect(f"client-{number}", service)
        processes.connect(f"client-{number}", service, "/")
        for _ in range(number + 1):
            assert processes.call(f"client-{number}", "echo", "hi", namespace="/") == "hi"
    assert processes.sum("divan_socketio_clients") == {("/",): 3, ("/chat",): 3}
    assert processes.sum("divan_socketio_clients", processes.one) == {("/",): 1, ("/chat",): 1}
    assert processes.since(processes.one, "divan_socketio_events_total") == {("echo", "/"): 1}
    assert processes.since(processes.two, "divan_socketio_events_total") == {("echo", "/"): 5}


def test_an_emit_reaches_the_clients_of_the_other_process_and_is_counted_in_both(processes: Processes) -> None:
    """One emit; each process observes how many it reached, and the other one whether it had a member at all."""
    for name, service in (("ada", processes.one), ("bob", processes.two), ("eve", processes.two)):
        processes.connect(name, service)
    for name in ("ada", "bob", "eve"):
        processes.call(name, "join", processes.room)
    processes.clients.do("emit", "ada", namespace="/chat", event="say", args=[processes.room, "to all"])
    for name in ("ada", "bob", "eve"):
        assert processes.received(name, "said", 1) == [["to all"]]

    one, two = processes.one, processes.two
    assert processes.since(one, "divan_socketio_emits_total") == {("/chat",): 1}
    assert processes.since(two, "divan_socketio_emits_total") == {}
    assert processes.since(one, "divan_socketio_emit_recipients_sum") == {("/chat",): 1}
    assert processes.since(two, "divan_socketio_emit_recipients_sum") == {("/chat",): 2}
    assert processes.since(one, "divan_socketio_pubsub_messages_total") == {}
    assert processes.since(two, "divan_socketio_pubsub_messages_total") == {("/chat", "delivered"): 1}


def test_an_emit_for_which_a_process_has_nobody_is_counted_there(processes: Processes) -> None:
    """It crossed Redis in vain; where that is most of them, rooms and processes fit each other badly."""
    processes.connect("ada", processes.one)
    processes.connect("bob", processes.two)
    processes.call("ada", "join", processes.room)
    processes.clients.do("emit", "ada", namespace="/chat", event="say", args=[processes.room, "to herself"])
    assert processes.received("ada", "said", 1) == [["to herself"]]
    processes.two.wait_for(lambda: processes.since(processes.two, "divan_socketio_pubsub_messages_total"))
    assert processes.since(processes.two, "divan_socketio_pubsub_messages_total") == {("/chat", "no_member"): 1}
    assert processes.since(processes.two, "divan_socketio_emit_recipients_sum") == {}


def test_a_client_of_the_other_process_is_asked_and_its_answer_counted_once(processes: Processes) -> None:
    """Where it was asked for, though the client is known elsewhere."""
    processes.connect("ada", processes.one, "/")
    processes.connect("bob", processes.two, "/")
    assert processes.call("ada", "ask_of", processes.sid("bob", "/"), "there?", namespace="/") == "there?"
    assert processes.since(processes.one, "divan_socketio_acks_total") == {("/", "requested"): 1, ("/", "answered"): 1}
    assert processes.since(processes.two, "divan_socketio_acks_total") == {}


def test_what_a_program_without_clients_emits_is_counted_where_it_arrives(processes: Processes) -> None:
    """A job that only writes to Redis reaches the clients of every process."""
    processes.connect("ada", processes.one)
    processes.connect("bob", processes.two)
    processes.call("bob", "join", processes.room)
    writer: Any = socketio.RedisManager(processes.redis_url, write_only=True)
    writer.emit("said", "from afar", room=processes.room, namespace="/chat")
    assert processes.received("bob", "said", 1) == [["from afar"]]
    processes.one.wait_for(lambda: processes.since(processes.one, "divan_socketio_pubsub_messages_total"))
    assert processes.since(processes.one, "divan_socketio_pubsub_messages_total") == {("/chat", "no_member"): 1}
    assert processes.since(processes.two, "divan_socketio_pubsub_messages_total") == {("/chat", "delivered"): 1}
    assert sum(processes.sum("divan_socketio_emits_total").values()) == sum(
        sum(samples(page, "divan_socketio_emits_total").values()) for page in processes._before.values()
    )


def test_a_killed_process_leaves_no_ghost_and_its_clients_count_once_in_the_other(processes: Processes) -> None:
    """They find the other one by the balancer; those who were there stay."""
    one, two = processes.one, processes.two
    with Balancer([one.port, two.port]) as balancer:
        processes.connect("ada", balancer, transport="upgrade")
        processes.connect("ada", balancer, "/")
        processes.connect("bob", balancer, transport="polling")
        processes.connect("eve", two)
        assert processes.sum("divan_socketio_clients", one) == {("/",): 1, ("/chat",): 2}
        assert processes.sum("divan_socketio_clients", two) == {("/chat",): 1}
        one.kill()
        processes.clients.do("connected", "ada", namespace="/", count=2)
        for name in ("ada", "bob"):
            processes.clients.do("connected", name, namespace="/chat", count=2)
        assert processes.sum("divan_socketio_clients", two) == {("/",): 1, ("/chat",): 3}
        for name in ("ada", "bob", "eve"):
            processes.call(name, "join", processes.room)
        processes.clients.do("emit", "bob", namespace="/chat", event="say", args=[processes.room, "still here"])
        for name in ("ada", "bob", "eve"):
            assert processes.received(name, "said", 1) == [["still here"]]
        assert processes.since(two, "divan_socketio_corrections_total") == {}
        processes.end()


def say(processes: Processes, name: str, text: str) -> None:
    processes.clients.do("emit", name, namespace="/chat", event="say", args=[processes.room, text])


Told = tuple[int, int, int]


def told_by_both(processes: Processes, one: Told, two: Told | Callable[[], Told]) -> None:
    """Wait until each tells its emits, whom those and others have reached there, and how many others it has heard."""
    names = ("emits_total", "emit_recipients_sum", "pubsub_messages_total")

    def told() -> tuple[tuple[float, ...], ...]:
        return tuple(
            tuple(sum(processes.since(service, f"divan_socketio_{name}").values()) for name in names)
            for service in processes.both
        )

    processes.one.wait_for(lambda: told() == (one, two() if callable(two) else two))


def test_a_redis_that_goes_and_comes_back_is_outlived(processes: Processes, redis_server: RedisServer) -> None:
    """
    Meanwhile an emit reaches the clients of its own process, as in python-socketio, and everything else goes on;
    afterwards it reaches all, and every count is what clients have received.
    """
    one, two = processes.both
    for name, service in (("ada", one), ("bob", two)):
        processes.connect(name, service)
        processes.call(name, "join", processes.room)
    told = len(one.lines())
    with redis_server.down():
        say(processes, "ada", "to myself")
        assert processes.received("ada", "said", 1) == [["to myself"]]
        processes.connect("eve", two)
        processes.call("eve", "join", processes.room)
        assert processes.sum("divan_socketio_clients") == {("/chat",): 3}
        one.wait_for(lambda: any("giving up" in line["msg"] for line in one.lines()[told:]))
    processes.both_listen()
    told_by_both(processes, (1, 1, 0), (0, 0, 0))
    emits = ["to myself"]

    def heard(name: str) -> int:
        return len(processes.received(name, "said", 0))

    def is_heard_again() -> int:
        # python-socketio may lose one more where it listens and connects anew at once.
        emits.append(f"to all, {len(emits)}")
        say(processes, "ada", emits[-1])
        return heard("eve")

    one.wait_for(is_heard_again)
    assert len(processes.received("ada", "said", len(emits))) == len(emits)
    one.wait_for(lambda: heard("bob") == heard("eve"))
    told_by_both(processes, (len(emits), len(emits), 0), lambda: (0, heard("bob") + heard("eve"), heard("bob")))
    assert processes.sum("divan_socketio_clients") == {("/chat",): 3}
    for service in processes.both:
        assert processes.since(service, "divan_socketio_corrections_total") == {}
        assert processes.since(service, "divan_obs_errors_total") == {}
        assert processes.since(service, "divan_socketio_errors_total") == {}


def test_an_emit_waits_for_a_redis_that_hangs(processes: Processes, redis_server: RedisServer) -> None:
    """As in python-socketio; the clients of its own process have it, and other events are served."""
    one, two = processes.both
    for name, service in (("ada", one), ("bob", two)):
        processes.connect(name, service)
        processes.call(name, "join", processes.room)
    with redis_server.paused():
        say(processes, "ada", "to all")
        assert processes.received("ada", "said", 1) == [["to all"]]
        for name in ("ada", "bob"):
            assert processes.call(name, "join", "den") == "den"
        told_by_both(processes, (1, 1, 0), (0, 0, 0))
    assert processes.received("bob", "said", 1) == [["to all"]]
    told_by_both(processes, (1, 1, 0), (0, 1, 1))

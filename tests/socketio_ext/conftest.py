"""Real clients of the served app."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from tests.servers.otlp import OtlpReceiver
    from tests.socketio_ext.service import Service


class Clients(Protocol):
    """Clients of one library, each by its name, that do what a test says."""

    def do(self, what: str, client: str, **wish: Any) -> Any: ...


@pytest.fixture(scope="session")
def javascript_clients() -> Iterator[Clients]:
    from tests.socketio_ext.javascript_client import JavaScriptClients

    clients = JavaScriptClients()
    yield clients
    clients.end()


@pytest.fixture(scope="module")
def python_clients() -> Iterator[Clients]:
    from tests.socketio_ext.python_client import PythonClients

    clients = PythonClients()
    yield clients
    clients.end()


@pytest.fixture(params=["javascript", "python"])
def clients(request: pytest.FixtureRequest) -> Clients:
    """The client library of the JavaScript world, and python-socketio's."""
    found: Clients = request.getfixturevalue(f"{request.param}_clients")
    return found


@pytest.fixture(scope="module")
def spans_receiver() -> Iterator[OtlpReceiver]:
    from tests.servers.otlp import OtlpReceiver

    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def start(spans_receiver: OtlpReceiver) -> Iterator[Callable[..., Service]]:
    """Start the served app, as it is mounted and with what environment; the same one again for the same wish."""
    from tests.socketio_ext.service import Service

    running: dict[object, Service] = {}

    def started(way: str = "over", **environ: str) -> Service:
        wish = (way, *sorted(environ.items()))
        if wish not in running:
            running[wish] = Service(spans_receiver, way, **environ)
        if not running[wish].running:
            running[wish].start()
        return running[wish]

    yield started
    for service in running.values():
        service.close()

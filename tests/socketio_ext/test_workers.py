"""A worker among several that is killed has told what it had counted of Socket.IO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.metrics.worker_pages import samples, worker
from tests.socketio_ext.conftest import Clients
from tests.socketio_ext.service import Service

# python-socketio's client does not read the answer that ends its polling, and its oldest version closes no session.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")

EVENTS = 50


def test_a_killed_worker_has_counted_every_event_that_it_had_answered(
    start: Callable[..., Service], python_clients: Clients, tmp_path: Path
) -> None:
    """SIGKILL right after the last acknowledgement: events and packets are as many as its client saw."""
    service = start("over", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    python_clients.do("connect", "ada", url=service.url, namespace="/", transports=["websocket"], auth=None)
    for number in range(EVENTS):
        assert python_clients.do("call", "ada", namespace="/", event="echo", args=[f"{number:03}"]) == f"{number:03}"
    service.kill()
    python_clients.do("close", "ada")
    told = samples(worker(tmp_path), "divan_socketio_events", "divan_socketio_event_dur", "divan_socketio_packets")
    assert told["divan_socketio_events_total{event=echo,namespace=/}"] == EVENTS
    assert told["divan_socketio_event_duration_seconds_count{event=echo,namespace=/}"] == EVENTS
    # One asks for the namespace, and one grants it.
    assert told["divan_socketio_packets_total{direction=in}"] == 1 + EVENTS
    assert told["divan_socketio_packets_total{direction=out}"] == 1 + EVENTS

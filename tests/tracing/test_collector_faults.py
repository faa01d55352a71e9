"""Collectors that are down, hang, are slow, restart or return errors do not affect the service."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import anyio
import grpc
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.otlp.answers import DROP_REASONS
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.otlp.preloaded import run_preloaded
from tests.servers.otlp import OtlpReceiver
from tests.servers.process import free_port
from tests.stacks import Observed

REQUESTS = 40
# What all requests of a test may take at most. The faults last for 20 s, a request takes some 50 µs.
AT_MOST_S = 5.0


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "opentelemetry")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that accepts connections but never responds."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


class Service:
    """A traced service with a small queue; `port` is the port of the collector."""

    def __init__(self, port: int, **flags: str) -> None:
        self.observed = Observed(
            {
                "OBS_TRACING_ENABLED": "true",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"grpc://127.0.0.1:{port}",
                "OTEL_BSP_MAX_QUEUE_SIZE": "16",
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
                "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "0.1",
                **flags,
            }
        )
        self.stack = obs.build_stack(hello, self.observed.obs)

    def ask(self, times: int = REQUESTS) -> None:
        """Send requests one after the other; each gets a response without waiting for the collector."""
        started = perf_counter()
        answers = anyio.run(_ask, self.stack, times)
        took_s = perf_counter() - started
        assert answers == [(200, b"hello")] * times
        assert took_s < AT_MOST_S

    def flush(self) -> bool:
        """Export the queue; return whether it has succeeded."""
        spans = self.observed.obs.spans
        assert spans is not None
        provider: Any = spans.provider
        return bool(provider.force_flush(20_000))

    def lost(self, *reasons: str) -> float:
        return sum(self.observed.value("divan_trace_spans_dropped_total", reason=reason) for reason in reasons)

    def shut_down(self) -> None:
        """Shut the provider down, as at the end of the process, within OBS_TRACING_SHUTDOWN_TIMEOUT_S."""
        spans = self.observed.obs.spans
        assert spans is not None
        started = perf_counter()
        provider: Any = spans.provider
        provider.shutdown()
        assert perf_counter() - started < AT_MOST_S


async def _ask(stack: ASGIApp, times: int) -> list[tuple[int | None, bytes]]:
    answers = [await converse(stack, http_scope()) for _ in range(times)]
    return [(answer.status, answer.body) for answer in answers]


def test_a_collector_that_refuses_connections() -> None:
    """Responses do not change, no request waits, and each dropped span is counted once."""
    service = Service(free_port())
    service.ask()
    service.observed.obs.flush()
    service.ask()
    service.shut_down()
    # For which reason depends on when the next attempt is due.
    assert service.lost(*DROP_REASONS) == 2 * REQUESTS


def test_a_collector_that_accepts_and_never_answers(listener: socket.socket) -> None:
    """The queue fills, the other spans are counted as dropped, and the shutdown does not wait for the hanging call."""
    service = Service(listener.getsockname()[1])
    service.ask()
    service.shut_down()
    assert service.lost(*DROP_REASONS) == REQUESTS
    assert service.lost("queue_full") >= REQUESTS - 16 - 8


def test_a_collector_that_is_slow(otlp_receiver: OtlpReceiver) -> None:
    """Queued spans arrive when the collector responds; the others are counted as dropped."""
    otlp_receiver.answers.clear()
    service = Service(otlp_receiver.port, OBS_TRACING_SHUTDOWN_TIMEOUT_S="10")
    service.ask()
    otlp_receiver.answers.set()
    service.observed.obs.flush()
    arrived = len(otlp_receiver.spans())
    assert arrived >= 16
    assert arrived + service.lost("queue_full") == REQUESTS
    service.shut_down()


def test_a_collector_that_restarts(otlp_receiver: OtlpReceiver) -> None:
    """Spans from before, during and after the restart arrive; none is dropped while the queue has room."""
    service = Service(otlp_receiver.port, OBS_TRACING_SHUTDOWN_TIMEOUT_S="10")
    service.ask(5)
    service.observed.obs.flush()
    otlp_receiver.stop()
    service.ask(5)
    service.observed.obs.flush()
    with OtlpReceiver(otlp_receiver.port) as restarted:
        service.ask(5)
        service.observed.obs.flush()
        assert len(restarted.wait_for(10)) == 10
    assert len(otlp_receiver.spans()) == 5
    assert service.lost(*DROP_REASONS) == 0
    service.shut_down()


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
def test_a_collector_that_answers_errors(otlp_receiver: OtlpReceiver, code: grpc.StatusCode) -> None:
    """A batch that the collector refuses for good is sent once and counted as dropped."""
    otlp_receiver.refuses_with = code
    service = Service(otlp_receiver.port, OBS_TRACING_SHUTDOWN_TIMEOUT_S="10", OTEL_BSP_SCHEDULE_DELAY="600000")
    service.ask(4)
    service.observed.obs.flush()
    assert service.lost("export_failed") == 4
    assert otlp_receiver.requests == 1
    otlp_receiver.refuses_with = None
    service.ask(4)
    service.observed.obs.flush()
    assert len(otlp_receiver.wait_for(4)) == 4
    assert service.lost(*DROP_REASONS) == 4
    service.shut_down()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DATA_LOSS])
def test_a_collector_that_is_not_ready_yet(otlp_receiver: OtlpReceiver, code: grpc.StatusCode) -> None:
    """Spans wait for as long as the collector says that it is not ready."""
    otlp_receiver.refuses_with = code
    service = Service(otlp_receiver.port, OBS_TRACING_SHUTDOWN_TIMEOUT_S="10", OTEL_BSP_SCHEDULE_DELAY="600000")
    service.ask(4)
    for _ in range(6):
        service.observed.obs.flush()
    assert otlp_receiver.requests == 6
    otlp_receiver.refuses_with = None
    service.observed.obs.flush()
    assert len(otlp_receiver.wait_for(4)) == 4
    assert service.lost(*DROP_REASONS) == 0
    service.shut_down()


def test_the_end_of_the_lifespan_waits_only_for_its_timeout(listener: socket.socket) -> None:
    """A hanging collector does not block a rolling deploy."""
    service = Service(listener.getsockname()[1])
    service.ask(4)
    sent: list[str] = []

    async def live() -> None:
        incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, str]:
            return next(incoming)

        async def send(message: dict[str, str]) -> None:
            sent.append(message["type"])

        await service.stack({"type": "lifespan", "state": {}}, receive, send)  # type: ignore[arg-type]

    started = perf_counter()
    anyio.run(live)
    service.shut_down()
    assert perf_counter() - started < AT_MOST_S
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert service.lost("shutdown") == 4


def test_every_worker_of_a_preloaded_application_exports_its_own_spans(otlp_receiver: OtlpReceiver) -> None:
    """Each worker creates its own thread and connection, and exports its queue at the end."""
    endpoint = f"grpc://127.0.0.1:{otlp_receiver.port}"
    run_preloaded({"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    spans = otlp_receiver.wait_for(3)
    assert len({span.trace_id for span in spans}) == len(spans) == 3

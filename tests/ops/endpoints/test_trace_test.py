"""POST /ops/trace/test, with a real collector behind it."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import grpc
import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import divan_obs_asgi as obs
from divan_obs_asgi.ops.endpoints import trace_test
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.servers.otlp import OtlpReceiver
from tests.servers.process import free_port
from tests.stacks import Observed
from tests.tracing.exported import Exported

TOKEN = "an-admin-token-of-this-test"
TEST_SPAN = "divan.trace_test"
BEARER = (b"authorization", f"Bearer {TOKEN}".encode())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "opentelemetry")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the ops endpoints answer")


def ask(flags: dict[str, str], *headers: tuple[bytes, bytes], method: str = "POST", **arguments: Any) -> Conversation:
    flags = {
        "OBS_ADMIN_TOKEN": TOKEN,
        "OBS_TRACING_ENABLED": "true",
        "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "0.1",
        **flags,
    }
    observed = Observed({name: value for name, value in flags.items() if value}, **arguments)
    stack = obs.build_stack(application, observed.obs)
    body = {"type": "http.request", "body": b"", "more_body": False}
    answer = anyio.run(lambda: converse(stack, http_scope("/ops/trace/test", method=method, headers=headers), [body]))
    assert answer.error is None
    spans = observed.obs.spans
    if spans is not None and "tracer_provider" not in arguments:
        provider: Any = spans.provider
        provider.shutdown()
    return answer


def test_a_collector_that_takes_the_span(otlp_receiver: OtlpReceiver) -> None:
    """The span is in the collector under the answered id, whatever the sampler says."""
    answer = ask({"OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint, "OTEL_TRACES_SAMPLER": "always_off"}, BEARER)
    (span,) = otlp_receiver.wait_for(1)  # Its request is not sampled.
    assert answer.status == 200
    assert orjson.loads(answer.body) == {"trace_id": span.trace_id.hex(), "outcome": "exported"}
    assert answer.header(b"cache-control") == [b"no-store"]
    assert span.name == TEST_SPAN


def test_a_collector_that_is_not_there() -> None:
    """The operator is told at once."""
    answer = ask({"OTEL_EXPORTER_OTLP_ENDPOINT": f"grpc://127.0.0.1:{free_port()}"}, BEARER)
    assert answer.status == 502
    assert orjson.loads(answer.body)["outcome"] == "refused"


def test_it_is_answered_though_all_threads_of_the_application_hang() -> None:
    """An operator who asks what is wrong does not wait with those that wait for a database."""
    endpoint = f"grpc://127.0.0.1:{free_port()}"
    observed = Observed(
        {"OBS_ADMIN_TOKEN": TOKEN, "OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    )
    stack, go, answers = obs.build_stack(application, observed.obs), threading.Event(), []
    scope = http_scope("/ops/trace/test", method="POST", headers=[BEARER])

    async def operate() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, go.wait, 30)
            await anyio.lowlevel.checkpoint()
            with anyio.move_on_after(10):
                answers.append(await converse(stack, scope, [{"type": "http.request"}]))
            go.set()

    anyio.run(operate)
    provider: Any = observed.obs.spans and observed.obs.spans.provider
    provider.shutdown()
    assert [answer.status for answer in answers] == [502]


def test_a_collector_that_answers_an_error(otlp_receiver: OtlpReceiver) -> None:
    """Its own token may be missing, for example."""
    otlp_receiver.refuses_with = grpc.StatusCode.UNAUTHENTICATED
    answer = ask({"OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint}, BEARER)
    assert (answer.status, orjson.loads(answer.body)["outcome"]) == (502, "refused")


def test_a_collector_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator does not wait for ever."""
    monkeypatch.setattr(trace_test, "PATIENCE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answer = ask({"OTEL_EXPORTER_OTLP_ENDPOINT": f"grpc://127.0.0.1:{port}"}, BEARER)
    assert (answer.status, orjson.loads(answer.body)["outcome"]) == (504, "timeout")


def test_a_provider_of_the_applications_own() -> None:
    """What it says of its flush is what can be told."""
    exported = Exported()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    answer = ask({}, BEARER, tracer_provider=provider)
    (span,) = [span for span in exported.spans if span.name == TEST_SPAN]
    assert span.context is not None
    assert orjson.loads(answer.body) == {"trace_id": f"{span.context.trace_id:032x}", "outcome": "exported"}


@pytest.mark.parametrize(
    ("flags", "headers", "status"),
    [
        ({}, [], 401),
        ({}, [(b"authorization", b"Bearer wrong")], 401),
        ({"OBS_ENV": "prod"}, [], 401),
        ({"OBS_ENV": "prod"}, [(b"authorization", b"Bearer wrong")], 401),
        ({"OBS_ADMIN_TOKEN": ""}, [], 403),
        ({"OBS_ADMIN_TOKEN": ""}, [(b"authorization", b"Bearer ")], 403),
        ({"OBS_ADMIN_TOKEN": "", "OBS_METRICS_PUBLIC": "true"}, [], 403),
    ],
)
def test_only_the_holder_of_the_token_may(flags: dict[str, str], headers: list[Any], status: int) -> None:
    """It changes something, and so wants the token in every environment; nothing is emitted without it."""
    exported = Exported()
    answer = ask(flags, *headers, span_exporter=exported)
    assert answer.status == status
    # The request itself is told of, as every use of what changes something.
    assert [span.name for span in exported.spans] == ["POST /ops/trace/test"]
    if not flags.get("OBS_ADMIN_TOKEN", TOKEN):
        assert b"OBS_ADMIN_TOKEN is not set" in answer.body


def test_where_there_is_nothing_to_test_the_answer_says_why() -> None:
    """Tracing that is off, and tracing that goes nowhere."""
    off = ask({"OBS_TRACING_ENABLED": "false"}, BEARER)
    nowhere = ask({}, BEARER)
    assert (off.status, orjson.loads(off.body)) == (409, {"detail": "OBS_TRACING_ENABLED is false."})
    assert nowhere.status == 409
    assert b"OTEL_EXPORTER_OTLP_ENDPOINT is not set" in nowhere.body


def test_other_methods_are_not_allowed() -> None:
    """A crawler that follows links emits nothing."""
    answer = ask({}, BEARER, method="GET", span_exporter=Exported())
    assert answer.status == 405

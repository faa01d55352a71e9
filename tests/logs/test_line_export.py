"""OTEL_LOGS_EXPORTER=otlp: the collector gets the lines that the sink writes, each once."""

from __future__ import annotations

import logging
import signal
from contextlib import closing
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.otlp.answers import DROP_REASONS
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.logs.test_line_encoder import attributes_of
from tests.patience import PATIENCE_S
from tests.servers.command import Command, until
from tests.servers.otlp import OtlpReceiver
from tests.servers.otlp_http import Answer, OtlpHttpReceiver, partial
from tests.servers.process import free_port
from tests.servers.rotel import needs_rotel, rotel
from tests.stacks import Observed

HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
LOGS = {"OTEL_LOGS_EXPORTER": "otlp", "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "20"}
log = logging.getLogger("shop")


def exporting(endpoint: str, **flags: str) -> Observed:
    return Observed({**LOGS, **HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **flags})


def dropped(observed: Observed) -> dict[str, float]:
    counts = {
        reason: observed.value("divan_otlp_dropped_total", signal="logs", reason=reason) for reason in DROP_REASONS
    }
    return {reason: count for reason, count in counts.items() if count}


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    log.info("looks at %s", "a@shop.example", extra={"password": "hunter2", "n": 1})
    if path == "/fail":
        raise LookupError("none left")
    if path == "/prints":
        log.debug("in the recorder")
    await send({"type": "http.response.start", "status": 503 if path == "/full" else 200, "headers": []})
    await send({"type": "http.response.body", "body": b"sold"})


async def ask(stack: Any, paths: list[str]) -> None:
    for path in paths:
        await converse(stack, http_scope(path))


paths = st.lists(st.sampled_from(["/", "/fail", "/full", "/prints"]), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def both() -> Any:
    """A service with traces and logs, and what has been compared of it so far."""
    with OtlpHttpReceiver() as receiver:
        observed = exporting(receiver.endpoint, OBS_TRACING_ENABLED="true", LOG_SAMPLING_BUDGET="20")
        yield receiver, observed, obs.build_stack(shop, observed.obs)


@given(paths)
def test_the_collector_gets_what_is_written(both: Any, paths: list[str]) -> None:
    """Every line once, with the content of the line, whatever level, sampling and flight recorder decided."""
    receiver, observed, stack = both
    observed.stream.seek(0)
    observed.stream.truncate()
    receiver.logs.clear()
    with root_logger_kept():
        observed.obs.log.install()
        anyio.run(ask, stack, paths)
    observed.obs.flush()
    lines, records = observed.lines(), receiver.log_records()
    assert sorted(map(_of_line, lines), key=str) == sorted(map(_of_record, records), key=str)
    assert b"hunter2" not in b"".join(request.SerializeToString() for request in receiver.logs)
    assert dropped(observed) == {}
    assert not observed.value("divan_obs_errors_total", component="otlp")


def _of_line(line: dict[str, Any]) -> dict[str, Any]:
    error = line.get("error") or {}
    return {
        "body": line["msg"],
        "level": line["level"],
        "ids": (line["trace_id"], line["span_id"], line["request_id"] or None),
        "status": line["status"] or None,
        "stack": error.get("traceback"),
        "recorded": line.get("recorded"),
        "fields": (line.get("n"), line.get("password")),
    }


def _of_record(record: Any) -> dict[str, Any]:
    known = attributes_of(record)
    return {
        "body": record.body.string_value,
        "level": record.severity_text,
        "ids": (record.trace_id.hex(), record.span_id.hex(), known.get("divan.request_id")),
        "status": known.get("http.response.status_code"),
        "stack": known.get("exception.stacktrace"),
        "recorded": known.get("divan.recorded"),
        "fields": (known.get("n"), known.get("password")),
    }


def test_it_is_off_by_default() -> None:
    """An endpoint alone exports traces only; nothing watches the sink."""
    observed = Observed({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert observed.obs.log.sink.copies == ()
    assert not observed.obs.exports.prepares


@pytest.mark.parametrize(
    "flags", [{"OTEL_LOGS_EXPORTER": "none"}, {"OTEL_LOGS_EXPORTER": "console"}, {"OTEL_SDK_DISABLED": "true"}]
)
def test_other_values_export_nothing(flags: dict[str, str]) -> None:
    """`console` is what the sink does in any case."""
    assert Observed({**LOGS, **flags}).obs.log.sink.copies == ()


def test_spans_on_the_console_are_not_log_lines() -> None:
    """They go through the same sink."""
    with OtlpHttpReceiver() as receiver:
        flags = {"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_EXPORTER": "console"}
        observed = exporting(receiver.endpoint, **flags)
        anyio.run(ask, obs.build_stack(shop, observed.obs), ["/"])
        observed.obs.flush()
        observed.obs.flush()
        assert [record.body.string_value for record in receiver.log_records()] == ["GET __unmatched__"]
        assert any("span" in line for line in observed.lines())


def test_a_log_call_has_its_place() -> None:
    """Path, line and function, also if the flight recorder has kept the line."""
    with OtlpHttpReceiver() as receiver, root_logger_kept():
        observed = exporting(receiver.endpoint)
        observed.obs.log.install()
        anyio.run(ask, obs.build_stack(shop, observed.obs), ["/"])
        observed.obs.flush()
    (record,) = [record for record in receiver.log_records() if record.body.string_value.startswith("looks")]
    known = attributes_of(record)
    assert (known["code.file.path"], known["code.function.name"]) == (__file__, "shop")
    assert known["code.line.number"] == shop.__code__.co_firstlineno + 2


def test_what_the_collector_does_not_take_is_counted_by_reason() -> None:
    """Once, and requests do not notice."""
    with OtlpHttpReceiver() as receiver:
        observed = exporting(receiver.endpoint)
        stack = obs.build_stack(shop, observed.obs)
        answers = {"too_large": Answer(413), "export_failed": Answer(400), "rejected": partial(1, "no")}
        for reason, answer in answers.items():
            receiver.script.append(answer)
            before = dropped(observed).get(reason, 0)
            anyio.run(ask, stack, ["/"])
            observed.obs.flush()
            assert dropped(observed).get(reason, 0) == before + 1


def test_lines_wait_for_a_collector_that_is_down_and_the_rest_is_counted() -> None:
    """As many as OTEL_BLRP_MAX_QUEUE_SIZE allows, and a batch that is being sent."""
    port = free_port()
    flags = {"OTEL_BLRP_MAX_QUEUE_SIZE": "8", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "4", "LOG_SAMPLING_RATE_INFO": "1"}
    observed = exporting(f"http://127.0.0.1:{port}", **flags)
    stack = obs.build_stack(shop, observed.obs)
    anyio.run(ask, stack, ["/"] * 40)
    observed.obs.flush()
    with OtlpHttpReceiver(port) as receiver:
        observed.obs.flush()
        arrived = len(receiver.log_records())
        assert (arrived + sum(dropped(observed).values()), len(observed.lines())) == (40, 40)
        assert arrived >= 8


SHOP = """
import logging
import divan_obs_asgi as obs

log = logging.getLogger("shop")

async def shop(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        log.warning("closing")
        await send({"type": "lifespan.shutdown.complete"})
        return
    log.warning("sold")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"sold"})

app = obs.wrap(shop)
"""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_a_service_loses_no_line_when_it_ends(protocol: str, lifespan: str, otlp_receiver: OtlpReceiver) -> None:
    """Standard output and the collector agree, to the last line before the end."""
    with OtlpHttpReceiver() as over_http:
        receiver: Any = otlp_receiver if protocol == "grpc" else over_http
        env = {**LOGS, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        # The export is due long after the end.
        env["OTEL_BLRP_SCHEDULE_DELAY"] = "600000"
        with closing(Command(SHOP, "uvicorn", "app", "--lifespan", lifespan, env=env)) as command:
            command.start()
            for _ in range(5):
                assert httpx.get(command.url).status_code == 200
            until(lambda: command.messages().count("sold") == 5, command)
            command.process.send_signal(signal.SIGTERM)
            assert command.ended.wait(PATIENCE_S)
            written = [line["msg"] for line in command.lines()]
        parts = [part for request in receiver.logs for part in request.resource_logs]
        arrived = [record for part in parts for scope in part.scope_logs for record in scope.log_records]
        assert sorted(record.body.string_value for record in arrived) == sorted(written)


# Its program needs the shared library of the interpreter that it was built for.
@pytest.mark.slow
@needs_rotel
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_another_collector_takes_them(protocol: str) -> None:
    """rotel counts the same records."""
    ports = {"grpc": free_port(), "http/protobuf": free_port()}
    with rotel(ports["grpc"], ports["http/protobuf"], signal="logs") as collector:
        observed = exporting(f"http://127.0.0.1:{ports[protocol]}", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        anyio.run(ask, obs.build_stack(shop, observed.obs), ["/"] * 7)
        observed.obs.flush()
        collector.wait_for(" logs=7")
        assert dropped(observed) == {}

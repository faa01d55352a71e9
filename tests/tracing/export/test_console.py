"""Spans without a collector: trees for people, JSON lines for programs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import orjson
import pytest

from divan_obs_asgi.otlp.answers import DROP_REASONS
from tests.patience import PATIENCE_S
from tests.servers.otlp_http import OtlpHttpReceiver
from tests.stacks import Observed
from tests.tracing.test_collector_faults import Service

SCRIPT = """
import anyio
import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope

async def app(scope, receive, send):
    with obs.span("outer", pages=3):
        with obs.span("inner", password="hunter2-kept-private", text="a\\x1b[31m\\nb"):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

bundle = obs.Observability.from_env()
anyio.run(converse, obs.wrap(app, bundle), http_scope())
bundle.spans.provider.shutdown()
"""


def printed(*, terminal: bool, **flags: str) -> str:
    """Return the standard output of a process that has served one request."""
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    environ |= {"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_EXPORTER": "console", "TERM": "xterm", **flags}
    reading, writing = pty.openpty() if terminal else os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            env=environ,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=2 * PATIENCE_S,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return os.read(reading, 65536).decode()
    finally:
        os.close(reading)
        os.close(writing)


def test_a_terminal_gets_a_tree_in_colour() -> None:
    """With names, times and the attributes that matter, redacted, and without what a terminal interprets."""
    text = printed(terminal=True)
    tree = [line.rstrip() for line in text.splitlines() if not line.startswith("{")]
    assert [line.split("\x1b[1m")[1].split("\x1b")[0] for line in tree] == ["GET __unmatched__", "outer", "inner"]
    assert "└─ " in tree[1]
    assert "   └─ " in tree[2]
    assert "pages\x1b[0m=3" in tree[1]
    assert "hunter2" not in text
    assert "\x1b[31m\nb" not in text


def test_no_color_is_respected() -> None:
    """https://no-color.org"""
    text = printed(terminal=True, NO_COLOR="1")
    assert "\x1b" not in text
    assert "└─ outer  " in text


def test_elsewhere_each_span_is_a_line_of_json() -> None:
    """Next to the log lines, whose ids it has."""
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in printed(terminal=False).splitlines()]
    spans = {line["span"]: line for line in lines if "span" in line}
    (access,) = [line for line in lines if line.get("logger") == "divan_obs_asgi.access"]
    assert set(spans) == {"GET __unmatched__", "outer", "inner"}
    assert spans["inner"]["parent_span_id"] == spans["outer"]["span_id"]
    assert {span["trace_id"] for span in spans.values()} == {access["trace_id"]}
    assert spans["outer"]["attributes"] == {"pages": 3}


def test_both_exporters_get_every_span() -> None:
    """The console does not wait for the collector."""
    with OtlpHttpReceiver() as receiver:
        service = Service(
            receiver.port,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_TRACES_EXPORTER="otlp,console",
            OBS_TRACING_SHUTDOWN_TIMEOUT_S="20",
        )
        service.ask(3)
        assert service.flush()
        assert len(receiver.wait_for(3)) == 3
        assert len([line for line in service.observed.lines() if "span" in line]) == 3
        assert service.lost(*DROP_REASONS) == 0
        service.shut_down()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_none_exports_nothing_and_warns_of_nothing(protocol: str) -> None:
    """It was chosen by name; requests have ids all the same."""
    observed = Observed(
        {
            "OBS_TRACING_ENABLED": "true",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }
    )
    assert observed.obs.spans is not None
    assert not observed.obs.spans.exports


def test_http_does_not_import_grpc() -> None:
    """gRPC costs a tenth of a second at start-up."""
    script = (
        "import sys, anyio; import divan_obs_asgi as obs; bundle = obs.Observability.from_env()\n"
        "async def live():\n    async with bundle.running():\n        pass\n"
        "anyio.run(live); print('grpc' in sys.modules)"
    )
    environ = {**os.environ, "OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    for protocol, expected in (("http/protobuf", "False"), ("grpc", "True")):
        environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
        done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == expected, done.stderr

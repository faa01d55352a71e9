"""The main job on real input: the served backend, its clients, its collector, and what an operator sees of it all."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio

from tests.example.service import started
from tests.patience import PATIENCE_S
from tests.servers.otlp import OtlpReceiver, attributes

pytestmark = pytest.mark.slow


def test_one_message_in_line_span_counter_and_ear(tmp_path: Path, otlp_receiver: OtlpReceiver) -> None:
    """
    A chat message is sent over HTTP and heard over Socket.IO. Its log line, its exported span and the answer carry
    one trace id, its series counts one, and nothing of it is lost when the server is told to stop.
    """
    flags = {
        "OBS_TRACING_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint.replace("http://", "grpc://"),
        "OBS_ADMIN_TOKEN": "an-admin-token-for-tests",
    }
    with started(tmp_path, **flags) as (process, printed):
        url = re.findall(r"http://127\.0\.0\.1:\d+", printed)[0]
        answer, heard = asyncio.run(say_and_listen(url))
        series = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {flags['OBS_ADMIN_TOKEN']}"}).text
        process.send_signal(signal.SIGTERM)
        logged, _ = process.communicate(timeout=PATIENCE_S)

    assert answer.status_code == 201
    assert heard[0] == "message"
    assert heard[1]["text"] == "Hello"
    assert 'divan_http_requests_total{method="POST",route="/rooms/{room}/messages",status="201"} 1.0' in series
    assert 'divan_socketio_clients{namespace="/chat"} 0.0' in series

    trace_id = answer.headers["traceparent"].split("-")[1]
    lines = [json.loads(line) for line in (printed + logged).splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["route"] == "/rooms/{room}/messages" and line["status"] == 201]
    (span,) = [span for span in otlp_receiver.spans() if span.name == "POST /rooms/{room}/messages"]
    assert line["trace_id"] == span.trace_id.hex() == trace_id
    assert line["request_id"] == attributes(span)["divan.request_id"] == answer.headers["x-request-id"]
    assert "Hello" not in logged


async def say_and_listen(url: str) -> tuple[httpx.Response, list[Any]]:
    """Sign in, make the lobby and join it, say something there; return the answer and what was heard."""
    async with httpx.AsyncClient(base_url=url) as http, socketio.AsyncSimpleClient() as ear:
        token = (await http.post("/auth/demo", json={"name": "ada"})).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        await http.post("/rooms", json={"name": "lobby"}, headers=headers)
        await ear.connect(url, auth={"token": token}, namespace="/chat", wait_timeout=PATIENCE_S)
        await ear.call("join", {"room": "lobby"})
        answer = await http.post("/rooms/lobby/messages", json={"text": "Hello"}, headers=headers)
        return answer, await ear.receive(timeout=PATIENCE_S)

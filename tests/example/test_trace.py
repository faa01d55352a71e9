"""What a message to a room causes is one tree of spans."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import httpx

from tests.example.service import started
from tests.patience import PATIENCE_S
from tests.servers.otlp import OtlpReceiver, attributes


def test_a_message_to_a_room_is_one_tree(tmp_path: Path, otlp_receiver: OtlpReceiver, real: dict[str, str]) -> None:
    """Below the request: its SQL, the event that is added to the stream, and what is emitted over Socket.IO."""
    flags = {
        **{name: real[name] for name in ("REDIS_URL", "DATABASE_URL", "OBS_ADMIN_TOKEN")},
        "OBS_TRACING_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint.replace("http://", "grpc://"),
    }
    with started(tmp_path, **flags) as (process, printed):
        with httpx.Client(base_url=re.findall(r"http://127\.0\.0\.1:\d+", printed)[0]) as client:
            token = client.post("/auth/demo", json={"name": "ada"}).json()["token"]
            headers = {"Authorization": f"Bearer {token}"}
            client.post("/rooms", json={"name": "lobby"}, headers=headers)
            answer = client.post("/rooms/lobby/messages", json={"text": "zebra"}, headers=headers)
            assert answer.status_code == 201
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    trace_id = answer.headers["traceparent"].split("-")[1]
    tree = {span.span_id: span for span in otlp_receiver.spans() if span.trace_id.hex() == trace_id}
    (root,) = [span for span in tree.values() if span.parent_span_id not in tree]
    assert root.name == "POST /rooms/{room}/messages"
    below = [span for span in tree.values() if span is not root]
    statements = [str(attributes(span).get("db.query.text", "")) for span in below]
    assert any(statement.startswith("INSERT INTO messages") for statement in statements), statements
    assert "XADD" in [attributes(span).get("db.operation.name") for span in below]
    assert "socketio emit" in [span.name for span in below]
    assert not any("zebra" in str(span) for span in tree.values())
    # Its consumer reads events all the time, outside of any request.
    assert not any("XREADGROUP" in span.name for span in otlp_receiver.spans())

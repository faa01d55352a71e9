"""Log lines as OTLP log records: the content is that of the line, the bytes are those that protobuf writes."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.resources import Resource

from divan_obs_asgi.logs.line_encoder import LineEncoder
from divan_obs_asgi.logs.placed import PlacedLine

RESOURCE = Resource({"service.name": "shop", "n": 1}, "https://example.org/schema")
HEAD: dict[str, Any] = {
    "ts": "2026-04-01T12:00:00.123456Z",
    "level": "INFO",
    "msg": "sold",
    "service": "shop",
    "env": "dev",
    "commit": "c0ffee",
    "request_id": "",
    "trace_id": "",
    "span_id": "",
    "route": None,
    "status": None,
    "latency_ms": None,
    "logger": "shop.orders",
    "sample_rate": 1.0,
}
ACCESS = HEAD | {
    "msg": "GET /rooms/{room_id}",
    "request_id": "r-1",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "b7ad6b7169203331",
    "route": "/rooms/{room_id}",
    "status": 200,
    "latency_ms": 1.5,
    "logger": "divan_obs_asgi.access",
    "outcome": "ok",
}
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["x" * 127, "y" * 300, "z" * 3000]
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def decoded(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [decoded(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: decoded(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def attributes_of(record: LogRecord) -> dict[str, object]:
    return {pair.key: decoded(pair.value) for pair in record.attributes}


def request_for(*lines: bytes) -> ExportLogsServiceRequest:
    """Return the parsed request; protobuf writes the same bytes for it."""
    encoded = LineEncoder(RESOURCE).encoded(lines)
    request = ExportLogsServiceRequest.FromString(encoded)
    assert request.SerializeToString(deterministic=True) == encoded
    return request


def record_of(fields: dict[str, Any]) -> LogRecord:
    (resource,) = request_for(orjson.dumps(fields) + b"\n").resource_logs
    assert {pair.key: decoded(pair.value) for pair in resource.resource.attributes} == {"service.name": "shop", "n": 1}
    assert resource.schema_url == "https://example.org/schema"
    (scope,) = resource.scope_logs
    assert scope.scope.name == fields["logger"]
    (record,) = scope.log_records
    return record


def test_the_line_of_a_request() -> None:
    """Its ids, its route and its status have the names of the semantic conventions."""
    record = record_of(ACCESS | {"operation": "Rooms", "user_id": "u1", "cart": {"n": 2}})
    assert record.time_unix_nano == record.observed_time_unix_nano == 1775044800123456000
    assert (record.severity_text, record.severity_number) == ("INFO", 9)
    assert record.body.string_value == "GET /rooms/{room_id}"
    assert (record.trace_id.hex(), record.span_id.hex()) == (ACCESS["trace_id"], ACCESS["span_id"])
    assert record.event_name == "divan.http.request"
    assert attributes_of(record) == {
        "divan.request_id": "r-1",
        "http.route": "/rooms/{room_id}",
        "http.response.status_code": 200,
        "divan.latency_ms": 1.5,
        "divan.outcome": "ok",
        "divan.sample_rate": 1.0,
        "divan.operation": "Rooms",
        "user.id": "u1",
        "cart": {"n": 2},
        "http.request.method": "GET",
    }


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"status": 101}, "divan.websocket.connection"),
        ({"status": 0, "close_code": 1006}, "divan.websocket.connection"),
        ({"msg": "EVENT chat", "namespace": "/", "event": "chat", "status": None}, "divan.socketio.event"),
    ],
)
def test_the_name_of_the_event_says_what_has_ended(fields: dict[str, Any], name: str) -> None:
    record = record_of(ACCESS | fields)
    assert record.event_name == name
    assert ("http.request.method" in attributes_of(record)) == ("namespace" not in fields)


def test_a_line_of_the_application_is_not_an_event() -> None:
    record = record_of(HEAD)
    assert record.event_name == ""
    assert attributes_of(record) == {"divan.sample_rate": 1.0}
    assert (record.trace_id, record.span_id) == (b"", b"")


def test_an_exception_has_the_names_of_the_conventions() -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError: one\ntwo\n'
    error = {"type": "KeyError", "fingerprint": "f00d", "traceback": trace}
    assert attributes_of(record_of(HEAD | {"error": error})) == {
        "divan.sample_rate": 1.0,
        "error.type": "KeyError",
        "exception.type": "KeyError",
        "exception.message": "one\ntwo\n",
        "exception.stacktrace": trace,
        "divan.exception.fingerprint": "f00d",
    }


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"status": 503}, "503"), ({"status": 0}, "error"), ({"status": 200, "failure": "no_stock"}, "no_stock")],
)
def test_a_request_that_failed_without_an_exception(fields: dict[str, Any], kind: str) -> None:
    """`error.type` is that of the span."""
    assert attributes_of(record_of(ACCESS | {"outcome": "error"} | fields))["error.type"] == kind


def test_the_place_of_a_log_call() -> None:
    line = PlacedLine.of(orjson.dumps(HEAD), ("/srv/shop.py", 12, "sell")).ended()
    (record,) = request_for(line).resource_logs[0].scope_logs[0].log_records
    assert attributes_of(record) == {
        "divan.sample_rate": 1.0,
        "code.file.path": "/srv/shop.py",
        "code.line.number": 12,
        "code.function.name": "sell",
    }


@pytest.mark.parametrize(
    ("level", "number"),
    [
        *(("DEBUG", 5), ("INFO", 9), ("WARNING", 13), ("ERROR", 17), ("CRITICAL", 21)),
        *(("TRACE_OF_TESTS", 1), ("NOTICE_OF_TESTS", 12), ("WORSE_OF_TESTS", 24), ("Level 7 of whom", 0)),
    ],
)
def test_the_severity_follows_the_level(level: str, number: int) -> None:
    """Levels of the application's own have the number of their range; an unknown one has its text only."""
    for name, own in (("TRACE_OF_TESTS", 5), ("NOTICE_OF_TESTS", 25), ("WORSE_OF_TESTS", 99)):
        logging.addLevelName(own, name)
    record = record_of(HEAD | {"level": level})
    assert (record.severity_number, record.severity_text) == (number, level)


def test_lines_are_grouped_by_their_logger() -> None:
    """In the order of the lines."""
    lines = [orjson.dumps(HEAD | {"logger": name, "msg": str(n)}) for n, name in enumerate("abab")]
    scopes = request_for(*lines).resource_logs[0].scope_logs
    found = {scope.scope.name: [record.body.string_value for record in scope.log_records] for scope in scopes}
    assert found == {"a": ["0", "2"], "b": ["1", "3"]}


@pytest.mark.parametrize("line", [b"no JSON", b"[]", orjson.dumps({"ts": 1}), orjson.dumps(HEAD | {"trace_id": "xy"})])
def test_a_line_that_cannot_be_read_is_the_body(line: bytes) -> None:
    """It must not keep the other lines of its batch from the collector."""
    first, second = request_for(line, orjson.dumps(HEAD)).resource_logs[0].scope_logs
    assert first.log_records[0].body.string_value == line.decode()
    assert second.log_records[0].body.string_value == "sold"


@given(st.sampled_from([HEAD, ACCESS]), texts, st.dictionaries(texts.filter(bool), values, max_size=4))
@example(HEAD, "", {"a": None, "b": [], "c": {}, "d": "", "e": 2**64 - 1, "f": -1, "g": True, "h": 1})
def test_whatever_is_in_a_line_arrives(head: dict[str, Any], message: str, fields: dict[str, Any]) -> None:
    """The record has every field of the line, once, and protobuf's own encoder writes the same bytes."""
    line = orjson.dumps({**fields, **head, "msg": message} | ({"logger": head["logger"]}))
    record = record_of(orjson.loads(line))
    assert record.body.string_value == message
    known = attributes_of(record)
    own = {name: value for name, value in fields.items() if name not in head and name not in NAMED}
    for name, value in own.items():
        if value not in (None, ""):
            assert known[name] == (str(value) if type(value) is int and value >= 2**63 else _as_sent(value))


NAMED = {"error", "waited", "recorded", "event", "reason", "stack"}


def _as_sent(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_sent(each) for each in value]
    if isinstance(value, dict):
        return {key: _as_sent(each) for key, each in value.items()}
    return str(value) if type(value) is int and value >= 2**63 else value

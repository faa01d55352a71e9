"""A value whose name is in another place, in values and in what is written of them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi import RedactionPolicy
from divan_obs_asgi.redaction import Limits

POLICY = RedactionPolicy(limits=Limits(text=0))
SECRET = "hunter2xyz"

OBJECTS: dict[str, Any] = {
    "fastapi": {"errors": [{"loc": ["body", "password"], "input": SECRET}]},
    "fastapi with a message": {"loc": ["body", "note"], "msg": "is bad", "input": SECRET},
    "marshmallow": {"field": "password", "value": SECRET},
    "spring": {"field": "note", "rejectedValue": SECRET, "defaultMessage": "size"},
    "hibernate": {"propertyPath": "user.password", "invalidValue": SECRET},
    "zod": {"code": "invalid_enum_value", "path": ["note"], "received": SECRET, "message": "bad"},
    "ajv": {"instancePath": "/note", "keyword": "type", "message": "must be integer", "data": SECRET},
    "class-validator": {
        "property": "note",
        "value": SECRET,
        "constraints": {"isInt": "must be"},
        "target": {"a": SECRET},
    },
    "json pointer": {"pointer": "#/user/pin", "actual": SECRET},
    "parameter": {"param": "token", "got": SECRET},
    "name and value": {"name": "Authorization", "value": SECRET},
    "value and name": {"value": SECRET, "name": "x-api-key"},
    "a change": {"field": "password", "old": SECRET, "new": SECRET + "1"},
    "a header": ["x-auth-token", SECRET],
    "headers": {"rawHeaders": ["accept", "text/html", "x-api-key", SECRET]},
    "har": {"headers": [{"name": "Cookie", "value": SECRET}]},
    "pairs": [["authorization", SECRET], ["a", "b"]],
    "a key": {"user": {"password": SECRET}},
}


def written(value: Any) -> list[str]:
    """Return what programs write of a value: Python, JSON, JSON in JSON, and both in a URL and a form."""
    text = json.dumps(value)
    return [
        repr(value),
        str([value]),
        text,
        json.dumps(value, separators=(",", ":")),
        json.dumps(value, indent=2),
        json.dumps({"msg": text}),
        json.dumps({"msg": json.dumps({"msg": text})}),
        f"sent {value!r} to the client",
        quote(text),
        f"GET /a?filter={quote(text, safe='')}&page=2 HTTP/1.1",
        urlencode({"data": text}),
        urlencode({"data": repr(value)}),
    ]


@pytest.mark.parametrize("value", OBJECTS.values(), ids=OBJECTS)
def test_a_secret_of_an_object_is_hidden_however_it_is_written(value: object) -> None:
    """What holds for a value holds for its text."""
    assert SECRET not in str(POLICY.redact(value))
    assert [text for text in written(value) if SECRET in POLICY.redact_text(text)] == []


PLACES = ["password", "body.password", "#/user/token", "x-api-key", "Authorization", "user.pin", "DB_PASSWORD"]
NAMES = ["loc", "field", "param", "pointer", "property", "name", "instancePath", "path", "key"]
INPUTS = ["input", "value", "rejected_value", "rejectedValue", "actual", "received", "got", "instance", "data", "ctx"]


@pytest.mark.slow
@example(place="password", name="name", key="value", others={}, first=False)
@given(
    place=st.sampled_from(PLACES),
    name=st.sampled_from(NAMES),
    key=st.sampled_from(INPUTS),
    others=st.dictionaries(st.sampled_from(["a", "type", "status", "note", "n"]), st.sampled_from([1, "x", None, 2.5])),
    first=st.booleans(),
)
def test_a_sensitive_place_hides_the_value_beside_it(
    place: str, name: str, key: str, others: dict[str, object], *, first: bool
) -> None:
    """Whatever the two are called, whichever comes first, and whatever else is there."""
    pair = [(name, place), (key, SECRET)]
    value = dict([*(pair if first else pair[::-1]), *others.items()])
    redacted = POLICY.redact({"errors": [value]})
    assert SECRET not in str(redacted)
    assert POLICY.redact(redacted) == redacted
    for text in written(value):
        once = POLICY.redact_text(text)
        assert SECRET not in once, text
        assert RedactionPolicy().redact_text(RedactionPolicy().redact_text(text)) == RedactionPolicy().redact_text(text)


@pytest.mark.parametrize(
    "value",
    [
        {"name": "page", "value": "2"},
        {"field": "rows", "value": 3},
        {"path": "/rooms", "data": [1, 2]},
        {"name": "redis", "data": {"latency_ms": 3}, "message": "ok"},
        {"loc": "Berlin", "input": "stdin"},
        {"code": "invalid_type", "path": ["n"], "received": "string", "message": "Expected number, received string"},
        {"name": "divan_http_requests_total", "value": 12, "type": "counter"},
        {"actual": 200, "expected": 404, "name": "status"},
        ["password", "email", "name"],
        ["token", "user_id", "address1"],
        {"required": ["token", "address1"]},
    ],
)
def test_other_objects_stay(value: object) -> None:
    """A name and a value are often harmless."""
    assert POLICY.redact(value) == value
    assert [text for text in written(value)[:8] if POLICY.redact_text(text) != text] == []


@pytest.mark.parametrize(
    "text",
    [
        '(b"x-api-key", b"{}")',
        "(b'x-api-key', b'{}')",
        '["x-auth-token", "{}"]',
        '<header name="Authorization" value="{}"/>',
        "<header value='{}' name='Authorization'/>",
        "<param name='password'><value>{}</value></param>",
        "<key>password</key>\n  <string>{}</string>",
        "- name: DB_PASSWORD\n  value: {}",
        '[[env]]\nname = "token"\nvalue = "{}"',
        '(("password" . "{}"))',
        '(:password "{}" :user 1)',
        '[{{<<"password">>,<<"{}">>}}]',
        "Map(password -> {}, a -> b)",
        "[(password, {}), (a, b)]",
        "Header(name=Authorization, value={})",
        "@{{Name='password'; Value='{}'}}",
        'key: "token" value: "{}"',
        's:8:"password";s:10:"{}";',
        'array(1) {{ ["password"]=> string(10) "{}" }}',
        'User {{ password: Some("{}") }}',
        'http.Header{{"Authorization":[]string{{"{}"}}}}',
        "password: !!str {}",
        'HeaderName("x-api-key"), Value("{}")',
        'set {{\n  name  = "db.password"\n  value = "{}"\n}}',
        'password: Some(\n        "{}",\n    ),',
        "<input value={} type=password>",
        "userPassword:: {}",
        "exec p @password=N'{}'",
    ],
)
def test_an_entry_is_found_in_any_notation(text: str) -> None:
    """Python, XML, YAML, TOML, Lisp, Clojure, Erlang, Scala, Java, PowerShell, protobuf, PHP, Rust, Go."""
    redacted = POLICY.redact_text(text.format(SECRET))
    assert SECRET not in redacted
    assert POLICY.redact_text(redacted) == redacted


def test_the_marker_names_the_place() -> None:
    """A sensitive place names the rule; without one it is a validation."""
    shown = POLICY.redact({"errors": [{"loc": ["body", "password"], "input": SECRET}]})
    assert shown == {"errors": [{"loc": ["body", "password"], "input": "[redacted:credential]"}]}
    shown = POLICY.redact({"field": "note", "rejectedValue": SECRET, "message": "size"})
    assert shown == {"field": "note", "rejectedValue": "[redacted:validation]", "message": "size"}

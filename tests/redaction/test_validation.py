"""Errors of validation, whose text repeats an input that is like any other text."""

from __future__ import annotations

import http.client
import json
import re
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, ClassVar

import attr
import pytest
from fastapi.exceptions import RequestValidationError, ResponseValidationError, WebSocketRequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator

from divan_obs_asgi import RedactionPolicy
from divan_obs_asgi.logs.errors import describe_error
from tests.servers.process import START_TIMEOUT_S, ServerProcess

POLICY = RedactionPolicy()
# Words that no other rule knows for a secret.
SAID = "meetme"
VALUE = f"{SAID} at, input_type=str] the 'harbour'\n{SAID}"


class Note(BaseModel, extra="forbid"):
    count: int
    text: str = Field(max_length=3)

    @field_validator("text")
    @classmethod
    def not_rude(cls, text: str) -> str:
        raise ValueError(f"{text} is rude\n{text}")


@attr.s
class Attributed:
    age: int = attr.ib(validator=attr.validators.instance_of(int))


def refused(adapter: Any = Note, value: object = None) -> ValidationError:
    value = {"count": VALUE, "text": SAID[:3], SAID: {"nested": VALUE}, "": [VALUE]} if value is None else value
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(adapter).validate_python(value)
    return caught.value


def by_attrs() -> TypeError:
    with pytest.raises(TypeError) as caught:
        Attributed(VALUE)  # type: ignore[arg-type]
    return caught.value


def of_a_library(module: str, name: str, *arguments: object) -> Exception:
    kind: type[Exception] = type(name, (Exception,), {"__module__": module})
    return kind(*arguments)


def errors() -> dict[str, BaseException]:
    details = refused().errors()
    chained, noted, hidden = RuntimeError(f"cannot read {VALUE}"), refused(), LookupError(VALUE)
    chained.__cause__ = refused()
    noted.add_note(VALUE)
    hidden.__context__, hidden.__suppress_context__ = refused(), True
    return {
        "pydantic": refused(),
        "fastapi": RequestValidationError(details, body={"a": VALUE}),
        "fastapi's answer": ResponseValidationError(details, body=VALUE),
        "fastapi's websocket": WebSocketRequestValidationError(details),
        "the cause": chained,
        "a note": noted,
        "in a group": ExceptionGroup(f"of {VALUE}", [ExceptionGroup("inner", [refused()]), ValueError(VALUE)]),
        "raised from None": hidden,
        "attrs": by_attrs(),
        "msgspec": of_a_library("msgspec", "ValidationError", f"Invalid enum value {VALUE!r}"),
        "marshmallow": of_a_library("marshmallow.exceptions", "ValidationError", {SAID: [VALUE]}),
        "jsonschema": of_a_library("jsonschema.exceptions", "ValidationError", f"{VALUE!r} is too long"),
        "django": of_a_library("django.core.exceptions", "ValidationError", [VALUE]),
        "voluptuous": of_a_library("voluptuous.error", "MultipleInvalid", VALUE),
        "of one's own": of_a_library("shop", "OrderValidationError", VALUE),
    }


ERRORS = errors()


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_neither_a_line_nor_a_field_shows_an_input(error: BaseException) -> None:
    """Type and places are shown; neither the value, nor its place, nor the message about it."""
    result = [describe_error(error, POLICY), POLICY.redact({"error": error})]
    assert SAID not in str(result)
    assert "[redacted:validation]" in str(result[0])


# What is written where an application logs the error, or its errors(), as a text of its own.
TEXTS = {
    "str": str(refused()),
    "repr": repr(refused()),
    "escaped": json.dumps({"detail": str(refused())}),
    "traceback": "".join(traceback.format_exception(refused())),
    "the end of one": str(refused()).split("\n", 2)[2],
    "errors()": str(refused().errors()),
    "json()": refused().json(),
    "json in json": json.dumps(refused().json()),
    "fastapi": str(RequestValidationError(refused().errors())),
    "pydantic 1": str([{"loc": (SAID,), "msg": VALUE, "type": "value_error"}]),
    "sorted": json.dumps(json.loads(refused().json()), sort_keys=True),
    "a list": str(refused(list[int], [VALUE])),
    "attrs": str(by_attrs().args[0]),
    "repr of a class": f"failed: ValidationError({{'{SAID}': ['{SAID}']}})",
    "an input alone": f"input_value='{SAID}'",
    "quotes in quotes": f"argument 'text' with value 'StringValue{{value='{SAID}'}}' is not a valid 'Int'",
    "jsonschema": f"'{SAID}' is not of type 'integer'\n\nFailed validating 'type' in schema:\n\nOn it:\n    '{SAID}'",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_validation_error_in_a_text_shows_no_input(text: str) -> None:
    """Where there is nothing left but what `f"{error}"` has made."""
    result = POLICY.redact_text(f"bad request: {text}")
    assert SAID not in result.replace("'text'", "")
    assert POLICY.redact_text(result) == result


def test_the_errors_of_a_validation_keep_their_types() -> None:
    """`extra={"errors": error.errors()}`: what was wrong, and not what it was wrong with."""
    result = POLICY.redact(refused(int, VALUE).errors())
    assert result == [
        {"type": "int_parsing", "loc": [], **dict.fromkeys(("msg", "input", "url"), "[redacted:validation]")}
    ]


@pytest.mark.parametrize(
    "text",
    [
        "There were 3 validation errors",
        "raise ValidationError(errors)",
        "from pydantic import ValidationError",
        "input_value=3 is fine",
        "'loc': 'Berlin'",
        '{"location": "hall 3", "input": "stdin"}',
        "must be <class 'int'>",
    ],
)
def test_similar_names_stay(text: str) -> None:
    """A validation is often talked about."""
    assert POLICY.redact_text(text) == text


def test_a_field_of_undecodable_bytes_is_hidden() -> None:
    """The arguments of a UnicodeDecodeError are all that was sent."""
    with pytest.raises(UnicodeDecodeError) as caught:
        (SAID.encode() + b"\xff").decode()
    assert SAID not in str(POLICY.redact(caught.value))


APP = """
import logging
from fastapi import FastAPI, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

import divan_obs_asgi as obs

class Note(BaseModel, extra="forbid"):
    count: int

app = FastAPI()

@app.exception_handler(RequestValidationError)
async def unhandled(request, error):
    logging.getLogger("shop").warning("bad: %s", error)
    logging.getLogger("shop").warning(f"bad: {error!r}", extra={"errors": error.errors()})
    raise error

@app.post("/request")
async def request(note: Note): ...

@app.post("/response", response_model=Note)
async def response(note: dict):
    return note

@app.post("/inside")
async def inside(note: dict):
    Note.model_validate(note)

obs.init(app)
"""


class Uvicorn(ServerProcess):
    """`uvicorn shop:app`."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Uvicorn running")

    def __init__(self) -> None:
        super().__init__()
        self.log = deque()  # All of it.
        (self.directory / "shop.py").write_text(APP)

    def command(self) -> Sequence[str]:
        own = ["--app-dir", str(self.directory), "--host", self.host, "--port", str(self.port)]
        return [sys.executable, "-m", "uvicorn", "shop:app", *own]


@pytest.fixture
def server() -> Iterator[Uvicorn]:
    server = Uvicorn()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/request", "/response", "/inside"])
def test_an_uncaught_validation_error_never_shows_the_input(path: str, server: Uvicorn) -> None:
    """Under the real command, on all of its output: the line of the request, uvicorn's own, and the answer."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=START_TIMEOUT_S)
    body = json.dumps({"count": VALUE, SAID: VALUE, "deep": [{"er": VALUE}]})
    connection.request("POST", path, body, {"content-type": "application/json"})
    with closing(connection):
        response = connection.getresponse()
        assert response.status == 500
        assert SAID not in response.read().decode()
    server.stop()
    log = "\n".join(server.log)
    assert "[redacted:validation]" in log
    assert SAID not in log

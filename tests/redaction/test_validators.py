"""Errors of the validators that Python services use, as exceptions, as values and as texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any

import attr
import cattrs
import django
import jsonschema
import marshmallow
import msgspec
import pytest
from django.conf import settings
from graphql import build_schema, graphql_sync

from divan_obs_asgi import RedactionPolicy
from divan_obs_asgi.logs.errors import describe_error

POLICY = RedactionPolicy()
# No other rule knows it, and it is no number.
SAID = "meetme"


class Mode(Enum):
    OPEN = "open"


class Note(msgspec.Struct):
    mode: Mode


@attr.define
class Age:
    mode: str = attr.field(validator=attr.validators.in_(["open"]))
    count: int = 0


def by_msgspec() -> None:
    msgspec.json.decode(json.dumps({"mode": SAID}), type=Note)


def by_cattrs() -> None:
    cattrs.structure({"mode": "open", "count": SAID}, Age)


def by_attrs() -> None:
    Age(SAID)


def by_jsonschema(schema: dict[str, object]) -> Callable[[], None]:
    return lambda: jsonschema.validate({"password": SAID}, {"properties": {"password": schema}})


def by_marshmallow() -> None:
    one_of = marshmallow.validate.OneOf(["open"], error="{input} is not a choice")
    schema = marshmallow.Schema.from_dict({"mode": marshmallow.fields.Str(validate=one_of)})
    schema().load({"mode": SAID, SAID: 1})


def prepared() -> None:
    if not settings.configured:
        settings.configure(USE_I18N=False)
        django.setup()


def by_a_django_form() -> None:
    from django import forms

    prepared()
    forms.ChoiceField(choices=[("a", "b")]).clean(SAID)


def by_a_django_field() -> None:
    from django.db import models

    prepared()
    models.IntegerField().to_python(SAID)


def by_rest_framework() -> None:
    prepared()
    from rest_framework import serializers

    serializers.ChoiceField(["open"]).run_validation(SAID)


def by_python() -> None:
    int(SAID)


def by_an_enum() -> None:
    Mode(SAID)


VALIDATIONS: dict[str, Callable[[], None]] = {
    "msgspec": by_msgspec,
    "cattrs": by_cattrs,
    "attrs": by_attrs,
    "jsonschema: type": by_jsonschema({"type": "integer"}),
    "jsonschema: pattern": by_jsonschema({"pattern": "^x"}),
    "jsonschema: enum": by_jsonschema({"enum": ["a"]}),
    "jsonschema: length": by_jsonschema({"maxLength": 1}),
    "jsonschema: any of": by_jsonschema({"anyOf": [{"type": "integer"}]}),
    "jsonschema: not": by_jsonschema({"not": {"type": "string"}}),
    "marshmallow": by_marshmallow,
    "django: form": by_a_django_form,
    "django: field": by_a_django_field,
    "rest framework": by_rest_framework,
    "python: int": by_python,
    "python: enum": by_an_enum,
}


def error_of(validation: Callable[[], None]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has a type of its own.
        validation()
    return caught.value


@pytest.mark.parametrize("name", VALIDATIONS)
def test_a_validation_error_shows_no_input(name: str) -> None:
    """Neither as an exception, nor as a value, nor in a message, nor in an old log."""
    error = error_of(VALIDATIONS[name])
    assert SAID not in str(describe_error(error, POLICY))
    assert SAID not in str(POLICY.redact({"error": error}))
    messages = [str(error), repr(error), f"failed: {error}", json.dumps({"detail": str(error)})]
    # A message of one's own tells nothing about where it comes from: "{input} is not a choice".
    if name != "marshmallow":
        assert [text for text in messages if SAID in POLICY.redact_text(text)] == []


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query($password: Int) { a(n: $password) }", {"password": SAID}),
        ("query($mode: Mode) { b(mode: $mode) }", {"mode": SAID}),
        (f'{{ a(n: "{SAID}") }}', {}),
        (f'{{ b(mode: "{SAID}") }}', {}),
        ("query($where: Where) { c(where: $where) }", {"where": {"n": SAID}}),
    ],
)
def test_graphql_shows_no_variable(query: str, variables: dict[str, Any]) -> None:
    """Of graphql-core, whose messages are those of graphql-js."""
    schema = build_schema(
        "enum Mode { OPEN } input Where { n: Int }"
        " type Query { a(n: Int): Int b(mode: Mode): Int c(where: Where): Int }"
    )
    result = graphql_sync(schema, query, variable_values=variables)
    assert result.errors
    for error in result.errors:
        assert SAID in error.message
        assert SAID not in POLICY.redact_text(error.message), error.message
        assert SAID not in POLICY.redact_text(json.dumps({"errors": [{"message": error.message}]}))
        assert SAID not in str(POLICY.redact({"errors": [{"message": error.message}]}))
        assert SAID not in str(describe_error(error, POLICY))


def test_a_place_and_a_message_stay() -> None:
    """An engineer sees what was wrong, and where."""
    text = "'meetme' is not of type 'integer'"
    assert POLICY.redact_text(text) == "'[redacted:validation]' is not of type 'integer'"
    text = "Field error in object 'user' on field 'password': rejected value [meetme]; codes [Size.user.password]"
    assert POLICY.redact_text(text) == text.replace("meetme", "[redacted:validation]")

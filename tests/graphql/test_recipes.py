"""GraphQL served by three libraries: each operation is named, a failed one is an error, and nothing leaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import ariadne
import graphene
import pytest
import strawberry
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLHTTPHandler
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from strawberry.asgi import GraphQL as StrawberryView

import divan_obs_asgi as obs
from divan_obs_asgi.graphql.strawberry import ObservedOperations
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp
from tests.stacks import Observed
from tests.tracing.exported import Exported

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "graphql.md"
# Looks like no secret: only what is never passed on is not logged.
ARGUMENT = "marmalade-7421"
ASK = {
    "ok": ("query Users($wish: String) { hello(wish: $wish) }", "Users"),
    "failed": ("query Users($wish: String) { breaks(wish: $wish) }", "Users"),
    "undeclared": (f'query Robots {{ hello(wish: "{ARGUMENT}") }}', "Robots"),
    "invalid": (f'query Users {{ nothing(wish: "{ARGUMENT}") }}', "Users"),
    "syntax": (f'query Users {{ hello(wish: "{ARGUMENT}" }}', "Users"),
}


def recipe(title: str, **names: Any) -> dict[str, Any]:
    """Run the code of a section of the document."""
    section = re.search(rf"## {title}\n(.*?)(?=\n## |\Z)", DOCUMENT.read_text(), re.DOTALL)
    assert section is not None
    for code in re.findall(r"```python\n(.*?)```", section[1], re.DOTALL):
        exec(code, names)
    return names


def by_strawberry() -> ASGIApp:
    @strawberry.type
    class Query:
        @strawberry.field
        def hello(self, wish: str | None = None) -> str:
            return "hello"

        @strawberry.field
        def breaks(self, wish: str | None = None) -> str | None:
            raise ValueError("on purpose")

    shown = recipe("Strawberry", Query=Query)
    assert shown["ObservedOperations"] is ObservedOperations
    return Starlette(routes=[Mount("/graphql", StrawberryView(shown["schema"]))])


def by_ariadne() -> ASGIApp:
    query = ariadne.QueryType()

    def hello(*_: object, wish: str | None = None) -> str:
        return "hello"

    def breaks(*_: object, wish: str | None = None) -> str:
        raise ValueError("on purpose")

    query.set_field("hello", hello)
    query.set_field("breaks", breaks)
    types = "type Query { hello(wish: String): String breaks(wish: String): String }"
    schema = ariadne.make_executable_schema(types, query)
    shown = recipe("Ariadne", schema=schema, GraphQL=GraphQL, GraphQLHTTPHandler=GraphQLHTTPHandler)
    return Starlette(routes=[Mount("/graphql", shown["graphql"])])


def by_graphene() -> ASGIApp:
    class Query(graphene.ObjectType):  # type: ignore[misc]
        hello = graphene.String(wish=graphene.String())
        breaks = graphene.String(wish=graphene.String())

        def resolve_hello(self, info: object, wish: str | None = None) -> str:
            return "hello"

        def resolve_breaks(self, info: object, wish: str | None = None) -> str:
            raise ValueError("on purpose")

    shown = recipe("Graphene", schema=graphene.Schema(query=Query), JSONResponse=JSONResponse)
    return Starlette(routes=[Route("/graphql/", shown["graphql"], methods=["POST"])])


def ask(app: ASGIApp, kind: str) -> tuple[Observed, Exported, dict[str, Any]]:
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true"}, span_exporter=exported)
    observed.obs.operations.declare("Users")
    query, name = ASK[kind]
    body = json.dumps({"query": query, "operationName": name, "variables": {"wish": ARGUMENT}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    observed.obs.log.install(own_access_line=True, application="tests")
    stack = obs.build_stack(app, observed.obs)
    scope = http_scope("/graphql/", method="POST", headers=headers)
    anyio.run(converse, stack, scope, [{"type": "http.request", "body": body}])
    observed.obs.flush()
    (line,) = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    return observed, exported, line


APPLICATIONS = pytest.mark.parametrize("make", [by_strawberry, by_ariadne, by_graphene])


@APPLICATIONS
def test_an_operation_that_succeeds_is_named(make: Callable[[], ASGIApp]) -> None:
    """In the line, the metric and the span."""
    observed, exported, line = ask(make(), "ok")
    assert (line["operation"], line["outcome"], "failure" in line) == ("Users", "ok", False)
    assert observed.value("divan_operations_total", route=line["route"], operation="Users", outcome="ok") == 1
    (span,) = exported.spans
    assert dict(span.attributes or {})["divan.operation"] == "Users"


@APPLICATIONS
def test_a_resolver_that_raises_makes_an_error_of_it(make: Callable[[], ASGIApp]) -> None:
    """Its status is 200, as GraphQL wants it."""
    observed, exported, line = ask(make(), "failed")
    assert (line["status"], line["outcome"], line["level"]) == (200, "error", "ERROR")
    assert (line["operation"], line["failure"]) == ("Users", "resolver")
    assert observed.value("divan_operations_total", route=line["route"], operation="Users", outcome="error") == 1
    assert observed.value("divan_failures_total", route=line["route"], reason="resolver") == 1
    (span,) = exported.spans
    assert span.status.is_ok is False
    assert dict(span.attributes or {})["error.type"] == "resolver"


@APPLICATIONS
def test_a_name_that_was_not_declared_is_unknown(make: Callable[[], ASGIApp]) -> None:
    """A client may call its operation as it likes."""
    observed, _, line = ask(make(), "undeclared")
    assert (line["operation"], line["outcome"]) == ("__unknown__", "ok")
    assert "Robots" not in observed.stream.getvalue().decode() + observed.obs.metrics.render().decode()


@APPLICATIONS
@pytest.mark.parametrize("kind", ["invalid", "syntax"])
def test_a_clients_mistake_is_no_failure_of_the_service(kind: str, make: Callable[[], ASGIApp]) -> None:
    """As a 400 is none."""
    _, _, line = ask(make(), kind)
    assert (line["outcome"], "failure" in line) == ("ok", False)


@APPLICATIONS
@pytest.mark.parametrize("kind", ASK)
def test_nothing_of_a_document_is_logged_counted_or_traced(kind: str, make: Callable[[], ASGIApp]) -> None:
    """Neither an argument nor a variable, nor what a library's own line says of an error, which quotes the document."""
    observed, exported, _ = ask(make(), kind)
    told = observed.stream.getvalue().decode() + observed.obs.metrics.render().decode()
    told += "".join(span.to_json() for span in exported.spans)
    assert ARGUMENT not in told

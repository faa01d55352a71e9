"""What an endpoint declares; its route, the discovery answer, the OpenAPI description and the docs are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

Schema: TypeAlias = Mapping[str, Any]
"""JSON Schema, as OpenAPI 3.1 takes it."""

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]
"""Answers a request that was let in; may raise `Refused`."""

REFUSAL: Schema = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Content:
    """
    One answer of an operation.

    Attributes:
        description: a sentence.
        schema: of a JSON body; None where it is none.
        media_type: of its body; None where it has none.
        also: the media types that are answered instead where `Accept` prefers one of them.
    """

    description: str
    schema: Schema | None = None
    media_type: str | None = "application/json"
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """
    What one method of an endpoint does. GET reads, and HEAD with it; POST changes something; OPTIONS is for scripts of
    other origins.

    Attributes:
        summary: one line; the discovery answer and the docs show it.
        answers: by status; what the guard and the reading of bodies and paths answer is not repeated here.
        body: the schema of the JSON body, if it takes one.
        headers: the schemas of the request headers that it reads.
        query: the schemas of the query's parameters.
    """

    method: Literal["GET", "POST", "OPTIONS"]
    summary: str
    answer: Answer
    answers: Mapping[int, Content]
    body: Schema | None = None
    headers: Mapping[str, Schema] = field(default_factory=dict)
    query: Mapping[str, Schema] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether it changes something: if guarded, it always needs the token, and every use is in the audit log."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    A path and its operations.

    Attributes:
        path: a template; `{name}` stands for one segment.
        operations: one for each method.
        guarded: whether it is for operators only; what is not (health, vitals) answers everybody.
    """

    path: str
    operations: tuple[Operation, ...]
    guarded: bool = True

    def operation(self, method: str) -> Operation | None:
        """Return what answers `method`; HEAD is answered as GET is (RFC 9110, section 9.3.2)."""
        wanted = "GET" if method == "HEAD" else method
        return next((operation for operation in self.operations if operation.method == wanted), None)

    @property
    def methods(self) -> list[str]:
        """The methods that are allowed, HEAD included."""
        methods = [operation.method for operation in self.operations]
        return sorted([*methods, "HEAD"] if "GET" in methods else methods)


__all__ = ["REFUSAL", "Answer", "Content", "Endpoint", "Operation", "Schema"]

"""What an ops endpoint declares: its route, the index, the OpenAPI document and the docs are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from starlette.requests import Request

Schema: TypeAlias = Mapping[str, Any]
"""A JSON Schema, as OpenAPI 3.1 uses it."""

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

Handler: TypeAlias = Callable[[Request], Any]
"""Answers a request that the guard has let in; may raise `RequestRefused`."""

ERROR_SCHEMA: Schema = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
    "additionalProperties": False,
}
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class ResponseDescription:
    """
    One response of an operation.

    Attributes:
        description: a sentence.
        schema: the schema of a JSON body; None for other bodies.
        media_type: the media type of the body; None if the response has no body.
        also: further media types, which a client chooses by `Accept`.
    """

    description: str
    schema: Schema | None = None
    media_type: str | None = "application/json"
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One method of an endpoint. HEAD is answered as GET.

    Attributes:
        summary: one line, shown in the index, in the OpenAPI document and in the docs.
        handler: answers the request.
        responses: by status; the responses of the guard and of the body's parser are added to them.
        body: the schema of the JSON body, if the operation reads one.
        headers: the schemas of the request headers that it reads.
        query: the schemas of the query parameters that it reads.
        audited: whether each use is a line of the audit log, if the operation changes something. False is only for an
            endpoint without a guard that clients call all the time; uses of a guarded endpoint are always audited.
    """

    method: Method
    summary: str
    handler: Handler
    responses: Mapping[int, ResponseDescription]
    body: Schema | None = None
    headers: Mapping[str, Schema] = field(default_factory=dict)
    query: Mapping[str, Schema] = field(default_factory=dict)
    audited: bool = True

    @property
    def changes(self) -> bool:
        """Whether it changes something (RFC 9110, section 9.2.1): then a guarded one always needs the token."""
        return self.method not in ("GET", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    A path and its operations.

    Attributes:
        path: a template; `{name}` stands for one segment.
        operations: one for each method.
        guarded: whether only operators may use it; an endpoint without a guard (health, web vitals) answers everybody.
        internal: whether it is for operators though it has no guard, because it shows nothing of the service. With
            OBS_OPS_PORT it is served on that port only.
        polled: whether a page requests it all the time. Like those of health checks, its successful requests are
            neither logged nor counted.
    """

    path: str
    operations: tuple[Operation, ...]
    guarded: bool = True
    internal: bool = False
    polled: bool = False

    def operation(self, method: str) -> Operation | None:
        """Return the operation for `method`; HEAD is answered as GET (RFC 9110, section 9.3.2)."""
        wanted = "GET" if method == "HEAD" else method
        return next((operation for operation in self.operations if operation.method == wanted), None)

    @property
    def methods(self) -> list[str]:
        """The methods that are allowed, HEAD included."""
        methods: list[str] = [operation.method for operation in self.operations]
        return sorted([*methods, "HEAD"] if "GET" in methods else methods)


__all__ = ["ERROR_SCHEMA", "METHODS", "Endpoint", "Handler", "Method", "Operation", "ResponseDescription", "Schema"]

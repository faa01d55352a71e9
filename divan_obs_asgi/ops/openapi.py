"""The endpoints as an OpenAPI 3.1 document, made from what they declare."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from divan_obs_asgi.ops.endpoint import REFUSAL, Content, Endpoint, Operation, Schema

_SCHEME = "adminToken"
_PARAMETER = re.compile(r"{(\w+)}")
_TEXT: Schema = {"type": "string"}
_WAIT: Schema = {"type": "integer", "minimum": 1}

# What is answered before an operation is asked: by the guard, and where its body is read.
_BY_THE_GUARD = {
    401: Content("The admin token is missing, or wrong.", REFUSAL),
    403: Content("OBS_ADMIN_TOKEN is not set, the network is not allowed, or the application refuses.", REFUSAL),
    429: Content("Too many wrong tokens from this address.", REFUSAL),
}
_BY_THE_BODY = {
    400: Content("A header or the body cannot be read.", REFUSAL),
    413: Content("The body is too long.", REFUSAL),
    415: Content("The body says to be no JSON.", REFUSAL),
    422: Content("The body asks for what cannot be.", REFUSAL),
}


def description(endpoints: Iterable[Endpoint], title: str, version: str, root_path: str = "") -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": root_path.rstrip("/") or "/"}],
        "paths": {endpoint.path: _path_item(endpoint) for endpoint in endpoints},
        "components": {"securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer"}}},
    }


def _path_item(endpoint: Endpoint) -> dict[str, Any]:
    item: dict[str, Any] = {}
    names = _PARAMETER.findall(endpoint.path)
    if names:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    for operation in endpoint.operations:
        item[operation.method.lower()] = _operation(endpoint, operation)
    return item


def _operation(endpoint: Endpoint, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.method.lower() + re.sub(r"\W+", "_", endpoint.path),
        "summary": operation.summary,
        "tags": [endpoint.path.split("/")[1]],
        "security": [{_SCHEME: []}] if endpoint.guarded else [],
        "responses": {str(status): _response(content) for status, content in _answers(endpoint, operation)},
    }
    parameters = [
        {"name": name, "in": where, "schema": schema}
        for where, declared in (("header", operation.headers), ("query", operation.query))
        for name, schema in declared.items()
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        required = bool(operation.body.get("required"))
        described["requestBody"] = {"required": required, "content": {"application/json": {"schema": operation.body}}}
    return described


def _answers(endpoint: Endpoint, operation: Operation) -> list[tuple[int, Content]]:
    answers = dict(operation.answers)
    if endpoint.guarded:
        answers = {**_BY_THE_GUARD, **answers}
    if operation.body is not None:
        answers = {**_BY_THE_BODY, **answers}
    return sorted(answers.items())


def _response(content: Content) -> dict[str, Any]:
    if content.media_type is None:
        return {"description": content.description}
    schema = content.schema if content.schema is not None else _TEXT
    described: dict[str, Any] = {
        "description": content.description,
        "content": {content.media_type: {"schema": schema}, **{also: {"schema": _TEXT} for also in content.also}},
    }
    if content is _BY_THE_GUARD[429]:
        described["headers"] = {"Retry-After": {"schema": _WAIT}}
    return described


__all__ = ["description"]

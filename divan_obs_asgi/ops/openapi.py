"""The endpoints as an OpenAPI 3.1 document, generated from their declarations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription, Schema

_SCHEME = "adminToken"
_PARAMETER = re.compile(r"{(\w+)}")
_TEXT: Schema = {"type": "string"}
_WAIT: Schema = {"type": "integer", "minimum": 1}

# Responses of the guard and of the body's parser, before the handler is called.
GUARD_RESPONSES = {
    401: ResponseDescription("The admin token is missing or wrong.", ERROR_SCHEMA),
    403: ResponseDescription("No token is set, the network is not allowed, or the application refuses.", ERROR_SCHEMA),
    429: ResponseDescription("Too many wrong tokens from this address.", ERROR_SCHEMA),
}
_BODY_RESPONSES = {
    400: ResponseDescription("A header or the body cannot be parsed.", ERROR_SCHEMA),
    413: ResponseDescription("The body is too long.", ERROR_SCHEMA),
    415: ResponseDescription("The Content-Type of the body is not JSON.", ERROR_SCHEMA),
    422: ResponseDescription("The body has a value that is not allowed.", ERROR_SCHEMA),
}


def description(endpoints: Iterable[Endpoint], title: str, version: str, root_path: str = "") -> dict[str, Any]:
    """Return the document."""
    ids: Counter[str] = Counter()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": root_path.rstrip("/") or "/"}],
        "paths": {endpoint.path: _path_item(endpoint, ids) for endpoint in endpoints},
        "components": {"securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer"}}},
    }


def _path_item(endpoint: Endpoint, ids: Counter[str]) -> dict[str, Any]:
    item: dict[str, Any] = {}
    names = _PARAMETER.findall(endpoint.path)
    if names:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    for operation in endpoint.operations:
        item[operation.method.lower()] = _operation(endpoint, operation, ids)
    return item


def _operation(endpoint: Endpoint, operation: Operation, ids: Counter[str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(endpoint, operation, ids),
        "summary": operation.summary,
        "tags": [endpoint.path.split("/")[1]],
        "security": [{_SCHEME: []}] if endpoint.guarded else [],
        "responses": {str(status): _response(one) for status, one in _responses(endpoint, operation)},
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


def _operation_id(endpoint: Endpoint, operation: Operation, ids: Counter[str]) -> str:
    base = operation.method.lower() + re.sub(r"\W+", "_", endpoint.path)
    ids[base] += 1
    # Unique in the document (OpenAPI 3.1, section 4.8.10): `/ops/a-b` and `/ops/a/b` have the same base.
    return base if ids[base] == 1 else f"{base}__{ids[base]}"


def _responses(endpoint: Endpoint, operation: Operation) -> list[tuple[int, ResponseDescription]]:
    responses = dict(operation.responses)
    if endpoint.guarded:
        responses = {**GUARD_RESPONSES, **responses}
    if operation.body is not None:
        responses = {**_BODY_RESPONSES, **responses}
    return sorted(responses.items())


def _response(response: ResponseDescription) -> dict[str, Any]:
    if response.media_type is None:
        return {"description": response.description}
    schema = response.schema if response.schema is not None else _TEXT
    described: dict[str, Any] = {
        "description": response.description,
        "content": {response.media_type: {"schema": schema}, **{also: {"schema": _TEXT} for also in response.also}},
    }
    if response is GUARD_RESPONSES[429]:
        described["headers"] = {"Retry-After": {"schema": _WAIT}}
    return described


__all__ = ["GUARD_RESPONSES", "description"]

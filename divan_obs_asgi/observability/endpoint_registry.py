"""The ops endpoints that a service adds to those of the library."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias, TypeVar

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.observability.ops_endpoints import (
    METHODS,
    Endpoint,
    Handler,
    Method,
    Operation,
    ResponseDescription,
    Schema,
)

H = TypeVar("H", bound=Handler)

EndpointListener: TypeAlias = Callable[[Iterable[Endpoint]], object]
"""Serves the endpoints of a service; raises `ImproperlyConfigured` for those that it cannot serve."""

# Letters that have one spelling in a path, or `{name}` for any one segment.
_LITERAL = "[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
_PATH = re.compile(rf"/ops(?:/(?:{_LITERAL}|\{{[a-z][a-z0-9_]*\}}))+")
_PARAMETER = re.compile(r"\{([^}]*)\}")


class EndpointRegistry:
    """
    The ops endpoints of one service, by path.

    They may be registered before or after the stack is built: each application that serves them is a listener.
    """

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._listeners: list[EndpointListener] = []

    def register(self, endpoint: Endpoint) -> None:
        """
        Add an endpoint, or further methods to the one with the same path.

        Raises:
            ImproperlyConfigured: naming everything that is wrong with it, a path that is taken included.
        """
        wrong = list(_problems(endpoint)) or list(self._conflicts(endpoint))
        if wrong:
            raise ImproperlyConfigured("\n".join(wrong))
        known = self._endpoints.get(endpoint.path)
        if known is not None:
            endpoint = replace(known, operations=(*known.operations, *endpoint.operations))
        registered = {**self._endpoints, endpoint.path: endpoint}
        for listener in self._listeners:
            listener(registered.values())
        self._endpoints = registered

    def listen(self, listener: EndpointListener) -> None:
        """
        Call `listener` with all endpoints: now, and whenever one is added.

        Raises:
            ImproperlyConfigured: from `listener`.
        """
        listener(self._endpoints.values())
        self._listeners.append(listener)

    def _conflicts(self, endpoint: Endpoint) -> Iterator[str]:
        path = endpoint.path
        for known in self._endpoints.values():
            if known.path == path:
                for method in {one.method: None for one in endpoint.operations if known.operation(one.method)}:
                    yield f"{method} {path} is registered already."
                if known.guarded is not endpoint.guarded:
                    yield f"Endpoint {path} is guarded for one method and not for another; use two paths."
            elif _overlap(path, known.path):
                yield f"Endpoint {path} conflicts with {known.path}: some paths match both."


def declared(
    path: str,
    handler: Handler,
    *,
    method: Method,
    summary: str | None,
    guarded: bool,
    responses: Mapping[int, ResponseDescription] | None,
    body: Schema | None,
    query: Mapping[str, Schema] | None,
) -> Endpoint:
    """Return the endpoint of one function; by default its summary is the first line of the docstring."""
    if summary is None:
        summary = (inspect.getdoc(handler) or "").partition("\n")[0]
    if responses is None:
        responses = {200: ResponseDescription("The response.", {})}
    return Endpoint(path, (Operation(method, summary, handler, responses, body, query=query or {}),), guarded)


def _problems(endpoint: object) -> Iterator[str]:
    if not isinstance(endpoint, Endpoint):
        yield f"An ops endpoint is {type(endpoint).__name__}; expected divan_obs_asgi.ops.Endpoint."
        return
    path: object = endpoint.path
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        yield f"An ops endpoint has the path {path!r}; expected one like '/ops/cache' or '/ops/cache/{{name}}'."
    else:
        parameters = _PARAMETER.findall(path)
        if len(parameters) != len(set(parameters)):
            yield f"Endpoint {path} has two parameters of the same name."
    if not isinstance(endpoint.guarded, bool):
        yield f"Endpoint {path} has guarded={endpoint.guarded!r}; expected True or False."
    methods = [getattr(operation, "method", None) for operation in endpoint.operations]
    if not methods or len(methods) != len(set(map(repr, methods))):
        yield f"Endpoint {path} has the methods {methods}; expected at least one, each of them once."
    for operation in endpoint.operations:
        yield from _problems_of(operation, f"Endpoint {path}", is_guarded=endpoint.guarded)


def _problems_of(operation: object, endpoint: str, *, is_guarded: bool) -> Iterator[str]:
    if not isinstance(operation, Operation):
        yield f"{endpoint} has {operation!r}; expected divan_obs_asgi.ops.Operation."
        return
    if operation.method not in METHODS:
        yield f"{endpoint} has the method {operation.method!r}; expected one of {', '.join(METHODS)}."
    if not callable(operation.handler):
        yield f"{endpoint} has the handler {operation.handler!r}; expected a function that takes the request."
    elif inspect.isgeneratorfunction(operation.handler) or inspect.isasyncgenfunction(operation.handler):
        yield f"{endpoint} has a generator function as its handler; return a StreamingResponse."
    summary: object = operation.summary
    if not isinstance(summary, str) or not summary.strip() or "\n" in summary:
        yield f"{endpoint} has the summary {summary!r}; expected one line, from summary= or the handler's docstring."
    responses = operation.responses
    if not responses or not all(map(_is_response, responses, responses.values())):
        yield f"{endpoint} has responses that are not a status and a divan_obs_asgi.ops.ResponseDescription each."
    if is_guarded and not operation.audited:
        yield f"{endpoint} has audited=False; this needs guarded=False."


def _is_response(status: object, description: object) -> bool:
    return isinstance(status, int) and 200 <= status <= 599 and isinstance(description, ResponseDescription)


def _overlap(path: str, other: str) -> bool:
    """Return whether a path can match two templates; a path without parameters goes before any template."""
    ours, theirs = path.split("/"), other.split("/")
    if "{" not in path or "{" not in other or len(ours) != len(theirs):
        return False
    return all("{" in (a[:1], b[:1]) or a == b for a, b in zip(ours, theirs, strict=True))


__all__ = ["EndpointListener", "EndpointRegistry", "H", "declared"]

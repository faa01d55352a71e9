"""The ops endpoints, as one ASGI application."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.observability.ops_endpoints import Endpoint, Operation
from divan_obs_asgi.ops.guard import PUBLIC, Guard
from divan_obs_asgi.ops.handlers import responder
from divan_obs_asgi.ops.paths import is_plain, path_below_root, resolved
from divan_obs_asgi.ops.responses import NOT_STORED, RequestRefused
from divan_obs_asgi.types import Message, Receive, Scope, Send

# Every path below it is for operators, unknown ones included.
OPS = "/ops"
_NOT_FOUND = RequestRefused(404, "There is no such endpoint.")


class OpsApplication:
    """
    Answers a list of endpoints, each at its exact path.

    Another spelling of a guarded path (`//metrics`, `/x/../ops`) is owned and is 404: a proxy's rule may have been
    meant to block the endpoint, and the application might read the path as that endpoint.

    Args:
        endpoints: those of the library; the list is kept, and those of the service are added to it.
        prefix: the prefix of the paths of all endpoints.
    """

    def __init__(self, endpoints: list[Endpoint], guard: Guard, prefix: str = "") -> None:
        self.endpoints = endpoints
        self.prefix = prefix
        self._built_in = tuple(endpoints)
        self._polled = {endpoint.path for endpoint in endpoints if endpoint.polled}
        self._ops = prefix + OPS
        self._guard = guard
        # A path without any of these words cannot be ours: most requests need one search only. Endpoints of the
        # service stand below /ops, whose word is among them.
        words = {one.path.split("/")[1] for one in self._built_in if one.guarded or "{" in one.path}
        self._hint = re.compile("|".join(["%", *sorted(words)]))
        self._index()

    def serve(self, added: Iterable[Endpoint]) -> None:
        """
        Serve these endpoints of the service beside those of the library.

        Raises:
            ImproperlyConfigured: naming each of them that has a path of the library's.
        """
        taken = {endpoint.path for endpoint in self._built_in}
        own = [self._prepared(endpoint) for endpoint in added]
        conflicts = [
            f"Endpoint {one.path} belongs to the library; choose another path." for one in own if one.path in taken
        ]
        if conflicts:
            raise ImproperlyConfigured("\n".join(conflicts))
        self.endpoints[len(self._built_in) :] = own
        self._index()

    def owns(self, path: str) -> bool:
        """Return whether a path below the root is answered here and never by the application."""
        if path in self._exact:
            return True
        if self._hint.search(path) is None:
            return False
        return self._found(path) is not None or self.is_below_ops(path) or self._is_guarded(resolved(path))

    def is_below_ops(self, path: str) -> bool:
        """Return whether a path is /ops or below it."""
        return path == self._ops or path.startswith(f"{self._ops}/")

    def is_for_everybody(self, path: str) -> bool:
        """Return whether a path is that of an endpoint that other clients than operators use."""
        found = self._found(path)
        return found is not None and not found[0].guarded and not found[0].internal

    def is_housekeeping(self, route: str) -> bool:
        """
        Return whether nobody needs to know of a successful request: a health check, a scrape, a poll of a page.

        All other requests of operators to /ops are logged, also those that change nothing.
        """
        return not self.is_below_ops(route) or route in self._polled

    def route(self, path: str) -> str:
        """Return the template of a path that is owned."""
        endpoint, _ = self._found(path) or (None, {})
        return endpoint.path if endpoint is not None else f"{self._ops}/{{unknown}}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "only requests are answered here"
        request = Request(dict(scope), receive)
        try:
            response = await self._answer(request)
        except Exception:
            failed = Response("Internal Server Error", 500, NOT_STORED, "text/plain")
            await failed(scope, receive, send)
            raise

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # The headers of HEAD are those of GET, the length of the body included.
        await response(scope, receive, send_without_body if request.method == "HEAD" else send)

    async def _answer(self, request: Request) -> Response:
        path = path_below_root(request.scope)
        endpoint, parameters = self._found(path) or (None, {})
        request.scope["path_params"] = parameters
        try:
            if endpoint is None or (endpoint.guarded and not is_plain(request.scope, path)):
                return await self._not_found(request, path)
            operation = endpoint.operation(request.method)
            if operation is None:
                raise RequestRefused(405, "This method is not allowed here.", {"allow": ", ".join(endpoint.methods)})
            return await self._operate(request, endpoint, operation)
        except RequestRefused as refused:
            return refused.response()
        except ClientDisconnect:
            # Nobody reads this response.
            return RequestRefused(400, "The client has disconnected.").response()

    async def _not_found(self, request: Request, path: str) -> Response:
        if self.is_below_ops(path):
            # Only operators may learn which endpoints exist.
            await self._guard.admit(request.scope, self.route(path), changes=False)
        raise _NOT_FOUND

    async def _operate(self, request: Request, endpoint: Endpoint, operation: Operation) -> Response:
        by = PUBLIC
        if endpoint.guarded:
            by = await self._guard.admit(request.scope, endpoint.path, changes=operation.changes)
        if not operation.changes or not operation.audited:
            return await _call(operation, request)
        outcome = "failed"
        try:
            response = await _call(operation, request)
            outcome = str(response.status_code)
            return response
        except RequestRefused as refused:
            outcome = str(refused.status)
            raise
        finally:
            audit = self._guard.audit
            if by == PUBLIC:
                audit.used_by_anybody(request.scope, endpoint.path, outcome)
            else:
                audit.used(request.scope, endpoint.path, by, outcome)

    def _prepared(self, endpoint: Endpoint) -> Endpoint:
        """Return an endpoint of the service as it is served."""
        operations = tuple(replace(one, handler=responder(one.handler)) for one in endpoint.operations)
        return replace(endpoint, path=self.prefix + endpoint.path, operations=operations)

    def _index(self) -> None:
        self._exact = {endpoint.path: endpoint for endpoint in self.endpoints if "{" not in endpoint.path}
        self._templates = [
            (compile_path(endpoint.path)[0], endpoint) for endpoint in self.endpoints if "{" in endpoint.path
        ]

    def _found(self, path: str) -> tuple[Endpoint, dict[str, Any]] | None:
        endpoint = self._exact.get(path)
        if endpoint is not None:
            return endpoint, {}
        for pattern, candidate in self._templates:
            match = pattern.match(path)
            if match is not None:
                return candidate, match.groupdict()
        return None

    def _is_guarded(self, path: str) -> bool:
        found = self._found(path)
        return self.is_below_ops(path) if found is None else found[0].guarded


async def _call(operation: Operation, request: Request) -> Response:
    response: Response = await operation.handler(request)
    return response


__all__ = ["OPS", "OpsApplication"]

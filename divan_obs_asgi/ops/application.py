"""The ops endpoints, as one ASGI application."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path

from divan_obs_asgi.ops.endpoint import Endpoint, Operation
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.paths import is_plain, path_below_root, resolved
from divan_obs_asgi.ops.responses import NOT_STORED, Refused
from divan_obs_asgi.types import Receive, Scope, Send

# All below it is for operators, also what is not there.
OPS = "/ops"
_NOT_FOUND = Refused(404, "There is no such endpoint.")


class OpsApplication:
    """
    Answers the endpoints that it is given, by their exact paths.

    A path that is a guarded one in another spelling (`//metrics`, `/x/../ops`) is `refused_spelling`: neither the
    operators' answer, which a proxy's rule may have meant to block, nor the application's.

    Args:
        prefix: what stands before all paths of the endpoints.
    """

    def __init__(self, endpoints: Iterable[Endpoint], guard: Guard, prefix: str = "") -> None:
        self.endpoints = tuple(endpoints)
        self.prefix = prefix
        self._ops = prefix + OPS
        self._guard = guard
        self._exact = {endpoint.path: endpoint for endpoint in self.endpoints if "{" not in endpoint.path}
        self._templates = [
            (compile_path(endpoint.path)[0], endpoint) for endpoint in self.endpoints if "{" in endpoint.path
        ]
        # Where none of these stands in a path, there is nothing to look for: one search for every request.
        words = {one.path.split("/")[1] for one in self.endpoints if one.guarded or "{" in one.path}
        self._sign = re.compile("|".join(["%", *sorted(words)]))

    def owns(self, path: str) -> bool:
        """Tell whether a path below the root is answered here, and by nobody else."""
        if path in self._exact:
            return True
        if self._sign.search(path) is None:
            return False
        return self._found(path) is not None or self.is_below_ops(path) or self._is_guarded(resolved(path))

    def is_below_ops(self, path: str) -> bool:
        """Tell whether a path is one for operators."""
        return path == self._ops or path.startswith(f"{self._ops}/")

    def is_for_everybody(self, path: str) -> bool:
        """Tell whether a path is that of an endpoint without a guard."""
        endpoint = self._exact.get(path)
        return endpoint is not None and not endpoint.guarded

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
        if request.method == "HEAD":
            response.body = b""  # Its headers tell the length that it would have.
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = path_below_root(request.scope)
        endpoint, parameters = self._found(path) or (None, {})
        request.scope["path_params"] = parameters
        try:
            if endpoint is None or (endpoint.guarded and not is_plain(request.scope, path)):
                return await self._not_found(request, path)
            operation = endpoint.operation(request.method)
            if operation is None:
                raise Refused(405, "This method is not allowed here.", {"allow": ", ".join(endpoint.methods)})
            return await self._answered(request, endpoint, operation)
        except Refused as refused:
            return refused.answer()
        except ClientDisconnect:
            return Refused(400, "The client has gone.").answer()  # Nobody reads it.

    async def _not_found(self, request: Request, path: str) -> Response:
        if self.is_below_ops(path):
            # What there is, and what not, is for operators.
            await self._guard.admit(request.scope, self.route(path), changes=False)
        raise _NOT_FOUND

    async def _answered(self, request: Request, endpoint: Endpoint, operation: Operation) -> Response:
        if not endpoint.guarded:
            return await operation.answer(request)
        if not operation.changes:
            await self._guard.admit(request.scope, endpoint.path, changes=False)
            return await operation.answer(request)
        by = await self._guard.admit(request.scope, endpoint.path, changes=True)
        outcome = "failed"
        try:
            response = await operation.answer(request)
            outcome = str(response.status_code)
            return response
        except Refused as refused:
            outcome = str(refused.status)
            raise
        finally:
            self._guard.audit.used(request.scope, endpoint.path, by, outcome)

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


__all__ = ["OPS", "OpsApplication"]

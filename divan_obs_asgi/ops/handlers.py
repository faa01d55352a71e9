"""The functions that a service makes ops endpoints, called so that they cannot break the host."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.internal_errors import is_foreign_cancellation
from divan_obs_asgi.observability.ops_endpoints import Handler
from divan_obs_asgi.ops.responses import NOT_STORED, RequestRefused, json_response
from divan_obs_asgi.tracing.spans.decorator import is_async


def responder(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """
    Return an async function that calls `handler` and returns its response.

    A plain function runs in a thread. What is not a `Response` is sent as JSON. A cancellation of another task, and
    `sys.exit`, end the request and not the server.
    """
    calls_in_loop = is_async(handler)

    async def respond(request: Request) -> Response:
        try:
            if calls_in_loop:
                result = await handler(request)
            else:
                result = await anyio.to_thread.run_sync(handler, request)
            if inspect.isawaitable(result):
                result = await result
        except HTTPException as error:
            raise RequestRefused(error.status_code, str(error.detail), error.headers) from None
        except BaseException as error:
            if isinstance(error, SystemExit) or is_foreign_cancellation(error):
                raise RuntimeError(f"The handler of an ops endpoint raised {type(error).__name__}.") from error
            raise
        if not isinstance(result, Response):
            return json_response(result)
        for name, value in NOT_STORED.items():
            result.headers.setdefault(name, value)
        return result

    return respond


__all__ = ["responder"]

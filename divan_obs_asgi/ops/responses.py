"""Responses of the ops endpoints: JSON that is never cached, and refusals with a reason."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

# A cached response would show an earlier health, or the operators' metrics to somebody else.
NOT_STORED = {"cache-control": "no-store"}


class RequestRefused(Exception):
    """
    A request is refused: a status, and a sentence that the client reads.

    Args:
        detail: contains nothing that the client has sent.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self) -> Response:
        """Return the response to the client."""
        return json_response({"detail": self.detail}, self.status, self.headers)


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `content` as a JSON response with `Cache-Control: no-store`."""
    return Response(orjson.dumps(content), status, {**NOT_STORED, **(headers or {})}, "application/json")


__all__ = ["NOT_STORED", "RequestRefused", "json_response"]

"""How the ops endpoints answer: JSON that nobody keeps, and refusals that say why."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

# A cache that repeats yesterday's health, or the operators' metrics, would be worse than none.
NOT_STORED = {"cache-control": "no-store"}


class Refused(Exception):
    """A request cannot be granted: a status, and a sentence that holds nothing of what the client sent."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def answer(self) -> Response:
        """Return the response that says so."""
        return json_answer({"detail": self.detail}, self.status, self.headers)


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `content` as JSON; no cache keeps it."""
    return Response(orjson.dumps(content), status, {**NOT_STORED, **(headers or {})}, "application/json")


__all__ = ["NOT_STORED", "Refused", "json_answer"]

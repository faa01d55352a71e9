"""GET and POST /ops/loggers: read the levels of loggers, and set one for a while."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from divan_obs_asgi.logs.runtime_levels import MAX_CHANGES, ROOT, TooManyChanges
from divan_obs_asgi.settings import LOG_LEVELS

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_logger = logging.getLogger("divan_obs_asgi.ops")

_NOT_STORED = {"cache-control": "no-store"}
_MAX_BODY = 64 * 1024
# Dotted names, as `__name__` gives them, and what people add to them.
_LOGGER_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,200}")
_DEFAULT_TTL_S = 600.0
_MAX_TTL_S = 86_400.0


class Refused(Exception):
    """The request cannot be granted: a status, and a sentence that holds nothing of what the client sent."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for; the level None is: as it was."""

    logger: str
    level: str | None
    ttl_s: float


class LoggersEndpoint:
    """
    Reads and sets the levels of this process's loggers.

    Where a service has several processes, one of them answers; its `pid` says which.
    """

    def __init__(self, obs: Observability) -> None:
        self._obs = obs

    async def answer(self, request: Request) -> Response:
        """Answer a GET with all loggers, a POST with the one that was set."""
        levels = self._obs.log.levels
        if request.method != "POST":
            return _json({"pid": os.getpid(), "levels": list(LOG_LEVELS), "loggers": levels.describe()})
        try:
            wish = read_wish(await _body(request))
            self._grant(wish)
        except Refused as refused:
            return _json({"detail": refused.detail}, refused.status)
        except ClientDisconnect:
            return _json({"detail": "The client has gone."}, 400)  # Nobody reads it.
        return _json({"pid": os.getpid(), "logger": wish.logger, **levels.describe_one(wish.logger)})

    def _grant(self, wish: Wish) -> None:
        levels = self._obs.log.levels
        if wish.level is None:
            levels.reset(wish.logger)
            _logger.warning("The level of logger %s is what it was before.", wish.logger)
            return
        try:
            before = levels.set(wish.logger, logging.getLevelNamesMapping()[wish.level], wish.ttl_s)
        except TooManyChanges:
            raise Refused(409, f"{MAX_CHANGES} loggers are changed already; put one back first.") from None
        # A warning, so that neither level nor sampling drops it.
        _logger.warning(
            "The level of logger %s is %s for %g s; it was %s.",
            wish.logger,
            wish.level,
            wish.ttl_s,
            logging.getLevelName(before),
        )


def read_wish(body: bytes) -> Wish:
    """
    Read `{"logger": "app.db", "level": "DEBUG", "ttl_s": 600}`; "ttl_s" may be missing.

    Raises:
        Refused: 400 where it is no JSON object, 422 where a value is none that can be granted.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "The body is no JSON.") from None
    if not isinstance(content, dict):
        raise Refused(400, 'The body is no JSON object like {"logger": "app.db", "level": "DEBUG", "ttl_s": 600}.')
    unknown = content.keys() - {"logger", "level", "ttl_s"}
    if unknown or "level" not in content:
        raise Refused(422, "Expected logger, level and ttl_s, and nothing else.")
    name, level, ttl_s = content.get("logger"), content["level"], content.get("ttl_s", _DEFAULT_TTL_S)
    if not isinstance(name, str) or not _LOGGER_NAME.fullmatch(name):
        raise Refused(422, f"logger is no name; expected one like 'app.db', or '{ROOT}'.")
    if level is not None and (not isinstance(level, str) or level.upper() not in LOG_LEVELS):
        raise Refused(422, f"level is none of {', '.join(LOG_LEVELS)}, and not null for what it was.")
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, (int, float)) or not 0 < ttl_s <= _MAX_TTL_S:
        raise Refused(422, f"ttl_s is no number of seconds up to {_MAX_TTL_S:g}.")
    return Wish(name, level.upper() if level is not None else None, float(ttl_s))


async def _body(request: Request) -> bytes:
    """Read the body, and no more of it than can be meant seriously."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise Refused(413, f"The body is longer than {_MAX_BODY} bytes.")
    return body


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, _NOT_STORED, "application/json")


__all__ = ["LoggersEndpoint", "Refused", "Wish", "read_wish"]

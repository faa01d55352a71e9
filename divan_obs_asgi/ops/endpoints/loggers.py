"""GET and POST /ops/loggers: read the levels of loggers, and set one for a limited time."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.logs.runtime_levels import MAX_CHANGES, ROOT, TooManyChanges
from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.audit import AUDIT_LOGGER
from divan_obs_asgi.ops.bodies import read_json
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import RequestRefused, json_response
from divan_obs_asgi.settings.logs import LOG_LEVELS

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_logger = logging.getLogger("divan_obs_asgi.ops")

# Dotted names like `__name__`, and other characters that people use in the names of loggers.
_LOGGER_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,200}")
_DEFAULT_TTL_S = 600.0
_MAX_TTL_S = 86_400.0
# Changes are audited at any level.
_FIXED = frozenset({AUDIT_LOGGER})

_BODY: Schema = {
    "type": "object",
    "properties": {
        "logger": {"type": "string", "pattern": f"^{_LOGGER_NAME.pattern}$", "examples": ["app.db", ROOT]},
        "level": {"enum": [*LOG_LEVELS, None], "description": "null resets it."},
        "ttl_s": {"type": "number", "exclusiveMinimum": 0, "maximum": _MAX_TTL_S, "default": _DEFAULT_TTL_S},
    },
    "required": ["logger", "level"],
    "additionalProperties": False,
}
_LEVEL_OF_ONE: Schema = {
    "level": {"type": ["string", "null"]},
    "effective": {"type": "string"},
    "reverts_in_s": {"type": ["number", "null"]},
}
_CHANGED: Schema = {
    "type": "object",
    "properties": {"pid": {"type": "integer"}, "logger": {"type": "string"}, **_LEVEL_OF_ONE},
    "required": ["pid", "logger", *_LEVEL_OF_ONE],
}
_LEVELS: Schema = {
    "type": "object",
    "properties": {
        "pid": {"type": "integer"},
        "levels": {"type": "array", "items": {"enum": list(LOG_LEVELS)}},
        "loggers": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": _LEVEL_OF_ONE, "required": [*_LEVEL_OF_ONE]},
        },
    },
    "required": ["pid", "levels", "loggers"],
}


@dataclass(frozen=True, slots=True)
class LevelChange:
    """The change that a client asks for; the level None resets it."""

    logger: str
    level: str | None
    ttl_s: float


class LoggersEndpoint:
    """
    Reads and sets the levels of this process's loggers.

    With several workers, one of them answers; `pid` shows which one.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        levels = ResponseDescription("The levels.", _LEVELS)
        changed = ResponseDescription("The logger after the change.", _CHANGED)
        full = ResponseDescription(f"The levels of {MAX_CHANGES} loggers are changed already.", ERROR_SCHEMA)
        summary = "Set the level of a logger for a limited time."
        yield Endpoint(
            "/ops/loggers",
            (
                Operation("GET", "The log levels of this process.", self.describe, {200: levels}),
                Operation("POST", summary, self.change, {200: changed, 409: full}, _BODY),
            ),
        )

    async def describe(self, request: Request) -> Response:
        redacted = self._obs.redaction.redact_text
        loggers = {redacted(name): levels for name, levels in self._obs.log.levels.describe().items()}
        return json_response({"pid": os.getpid(), "levels": list(LOG_LEVELS), "loggers": loggers})

    async def change(self, request: Request) -> Response:
        change = read_change(await read_json(request))
        self._apply(change)
        described = self._obs.log.levels.describe_one(change.logger)
        return json_response({"pid": os.getpid(), "logger": change.logger, **described})

    def _apply(self, change: LevelChange) -> None:
        levels = self._obs.log.levels
        if change.level is None:
            levels.reset(change.logger)
            _logger.warning("The level of logger %s is reset.", change.logger)
            return
        try:
            before = levels.set(change.logger, logging.getLevelNamesMapping()[change.level], change.ttl_s)
        except TooManyChanges:
            raise RequestRefused(409, f"{MAX_CHANGES} loggers are changed already; reset one first.") from None
        # A warning, so that neither level nor sampling drops it.
        _logger.warning(
            "The level of logger %s is %s for %g s; it was %s.",
            change.logger,
            change.level,
            change.ttl_s,
            logging.getLevelName(before),
        )


def read_change(content: object) -> LevelChange:
    """
    Return the change in a body like `{"logger": "app.db", "level": "DEBUG", "ttl_s": 600}`; "ttl_s" is optional.

    Raises:
        RequestRefused: 400 if it is not an object, 422 if a value is not allowed.
    """
    if not isinstance(content, dict):
        raise RequestRefused(
            400, 'The body must be a JSON object like {"logger": "app.db", "level": "DEBUG", "ttl_s": 600}.'
        )
    unknown = content.keys() - {"logger", "level", "ttl_s"}
    if unknown or "level" not in content:
        raise RequestRefused(422, "The body must have logger and level, may have ttl_s, and nothing else.")
    name, level, ttl_s = content.get("logger"), content["level"], content.get("ttl_s", _DEFAULT_TTL_S)
    if not isinstance(name, str) or not _LOGGER_NAME.fullmatch(name):
        raise RequestRefused(422, f"logger must be a name like 'app.db', or '{ROOT}'.")
    if name in _FIXED:
        raise RequestRefused(422, f"The level of {AUDIT_LOGGER} is fixed.")
    if level is not None and (not isinstance(level, str) or level.upper() not in LOG_LEVELS):
        raise RequestRefused(422, f"level must be one of {', '.join(LOG_LEVELS)}, or null to reset.")
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, (int, float)) or not 0 < ttl_s <= _MAX_TTL_S:
        raise RequestRefused(422, f"ttl_s must be a number of seconds up to {_MAX_TTL_S:g}.")
    return LevelChange(name, level.upper() if level is not None else None, float(ttl_s))


__all__ = ["LevelChange", "LoggersEndpoint", "read_change"]

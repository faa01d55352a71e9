"""GET and POST /ops/loggers: read the levels of loggers, and set one for a while."""

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
from divan_obs_asgi.ops.audit import AUDIT_LOGGER
from divan_obs_asgi.ops.bodies import read_json
from divan_obs_asgi.ops.endpoint import REFUSAL, Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import Refused, json_answer
from divan_obs_asgi.settings.logs import LOG_LEVELS

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_logger = logging.getLogger("divan_obs_asgi.ops")

# Dotted names, as `__name__` gives them, and what people add to them.
_LOGGER_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,200}")
_DEFAULT_TTL_S = 600.0
_MAX_TTL_S = 86_400.0
# What changes something is told whatever the levels are.
_FIXED = frozenset({AUDIT_LOGGER})

_WISH: Schema = {
    "type": "object",
    "properties": {
        "logger": {"type": "string", "pattern": f"^{_LOGGER_NAME.pattern}$", "examples": ["app.db", ROOT]},
        "level": {"enum": [*LOG_LEVELS, None], "description": "null: as it was."},
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
    """What a client asked for; the level None is: as it was."""

    logger: str
    level: str | None
    ttl_s: float


class Loggers:
    """
    Reads and sets the levels of this process's loggers.

    Where a service has several processes, one of them answers; its `pid` says which.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        told = Content("The levels.", _LEVELS)
        changed = Content("The logger as it is now.", _CHANGED)
        full = Content(f"{MAX_CHANGES} loggers are changed already.", REFUSAL)
        sets = "Set the level of one logger for a while."
        yield Endpoint(
            "/ops/loggers",
            (
                Operation("GET", "The levels of this process's loggers.", self.describe, {200: told}),
                Operation("POST", sets, self.change, {200: changed, 409: full}, _WISH),
            ),
        )

    async def describe(self, request: Request) -> Response:
        told = self._obs.redaction.redact_text
        loggers = {told(name): levels for name, levels in self._obs.log.levels.describe().items()}
        return json_answer({"pid": os.getpid(), "levels": list(LOG_LEVELS), "loggers": loggers})

    async def change(self, request: Request) -> Response:
        wish = read_wish(await read_json(request))
        self._grant(wish)
        described = self._obs.log.levels.describe_one(wish.logger)
        return json_answer({"pid": os.getpid(), "logger": wish.logger, **described})

    def _grant(self, wish: LevelChange) -> None:
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


def read_wish(content: object) -> LevelChange:
    """
    Read `{"logger": "app.db", "level": "DEBUG", "ttl_s": 600}`; "ttl_s" may be missing.

    Raises:
        Refused: 400 where it is no object, 422 where a value is none that can be granted.
    """
    if not isinstance(content, dict):
        raise Refused(400, 'The body is no JSON object like {"logger": "app.db", "level": "DEBUG", "ttl_s": 600}.')
    unknown = content.keys() - {"logger", "level", "ttl_s"}
    if unknown or "level" not in content:
        raise Refused(422, "Expected logger, level and ttl_s, and nothing else.")
    name, level, ttl_s = content.get("logger"), content["level"], content.get("ttl_s", _DEFAULT_TTL_S)
    if not isinstance(name, str) or not _LOGGER_NAME.fullmatch(name):
        raise Refused(422, f"logger is no name; expected one like 'app.db', or '{ROOT}'.")
    if name in _FIXED:
        raise Refused(422, f"The level of {AUDIT_LOGGER} is fixed.")
    if level is not None and (not isinstance(level, str) or level.upper() not in LOG_LEVELS):
        raise Refused(422, f"level is none of {', '.join(LOG_LEVELS)}, and not null for what it was.")
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, (int, float)) or not 0 < ttl_s <= _MAX_TTL_S:
        raise Refused(422, f"ttl_s is no number of seconds up to {_MAX_TTL_S:g}.")
    return LevelChange(name, level.upper() if level is not None else None, float(ttl_s))


__all__ = ["LevelChange", "Loggers", "read_wish"]

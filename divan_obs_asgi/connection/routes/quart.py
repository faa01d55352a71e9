"""Quart: notes the matched rule at its signals."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from divan_obs_asgi.connection.routes.matched import Reader, note_match
from divan_obs_asgi.connection.routes.notation import from_angles


def reader(applications: Iterable[object]) -> Reader | None:
    """Connect to the signals that Quart sends when the rule is known; connecting again has no effect."""
    quart: Any = sys.modules["quart"]
    quart.request_started.connect(_request_started)
    quart.websocket_started.connect(_websocket_started)
    return None


# Async: Quart would call a plain function in a thread.
async def _request_started(sender: object, **_: object) -> None:
    _note(sys.modules["quart"].request)


async def _websocket_started(sender: object, **_: object) -> None:
    _note(sys.modules["quart"].websocket)


def _note(request: Any) -> None:
    rule = request.url_rule
    if rule is not None:
        note_match(request.scope, _template, rule)


def _template(rule: Any) -> str | None:
    return from_angles(str(rule.rule))


__all__ = ["reader"]

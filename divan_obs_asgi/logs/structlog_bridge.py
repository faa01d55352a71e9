"""For those who log through structlog: its events as records of the standard library, so that there is one pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from divan_obs_asgi.logs.lines import FIELDS_KEY

# What the standard library's methods take beside the message.
_KEYWORDS = ("exc_info", "stack_info", "stacklevel")


def structlog_processor(
    logger: object, method_name: str, event_dict: Mapping[str, Any]
) -> tuple[tuple[object, ...], dict[str, Any]]:
    """
    Hand an event to the standard library's logger: the last one in a list of structlog processors.

    The event is the message and all else are fields of the line, whatever their names; `extra` would refuse some.
    """
    fields = dict(event_dict)
    message = fields.pop("event", "")
    arguments = fields.pop("positional_args", ())
    keywords: dict[str, Any] = {name: fields.pop(name) for name in _KEYWORDS if name in fields}
    keywords["extra"] = {FIELDS_KEY: fields}
    return (message, *arguments), keywords


__all__ = ["structlog_processor"]

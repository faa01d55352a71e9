"""Turns events of structlog into records of the standard library, so that all lines go through one pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from divan_obs_asgi.logs.lines import FIELDS_KEY

# Keyword arguments of the standard library's log methods.
_KEYWORDS = ("exc_info", "stack_info", "stacklevel")


def structlog_processor(
    logger: object, method_name: str, event_dict: Mapping[str, Any]
) -> tuple[tuple[object, ...], dict[str, Any]]:
    """
    Pass an event to the standard library's logger. It must be the last processor in structlog's list.

    The event becomes the message, everything else becomes fields of the line. `extra` would reject some names.
    """
    fields = dict(event_dict)
    message = fields.pop("event", "")
    arguments = fields.pop("positional_args", ())
    keywords: dict[str, Any] = {name: fields.pop(name) for name in _KEYWORDS if name in fields}
    keywords["extra"] = {FIELDS_KEY: fields}
    return (message, *arguments), keywords


__all__ = ["structlog_processor"]

"""Where the adapter of a framework notes the match of a connection, and how to name it at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from divan_obs_asgi.types import Scope

UNMATCHED = "__unmatched__"
# An application that routes by itself, or on a copy of the scope, sets its route under this key.
ROUTE_KEY = "divan_obs_asgi.route"
RECORD_KEY = "divan_obs_asgi.record"

# Reads the template of a connection at its end from the framework's entries in the scope; None for no match.
Reader: TypeAlias = Callable[[Scope], str | None]


def note_match(scope: Scope, name: Callable[[Any], str | None], match: object, *, below_mounts: bool = True) -> None:
    """
    Make `name(match)` the route of the connection at its end.

    The record is in every copy of the scope. `name` is called only when the route is read.

    Args:
        below_mounts: False for a framework that matches the whole path, the part of the mounts included.
    """
    record = scope.get(RECORD_KEY)
    if record is not None:
        record.matched = name, match, below_mounts


__all__ = ["RECORD_KEY", "ROUTE_KEY", "UNMATCHED", "Reader", "note_match"]

"""Where a framework's adapter leaves what was matched for a connection, and how it is named at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from divan_obs_asgi.types import Scope

UNMATCHED = "__unmatched__"
# An application that routes by itself, or on a copy of the scope, says here what it matched.
ROUTE_KEY = "divan_obs_asgi.route"
RECORD_KEY = "divan_obs_asgi.record"

# Reads the template of a connection at its end, from what a framework has left in the scope; None for no match.
Reader: TypeAlias = Callable[[Scope], str | None]


def note_match(scope: Scope, name: Callable[[Any], str | None], match: object, *, below_mounts: bool = True) -> None:
    """
    Have the record of a connection name its route at its end, as `name(match)`.

    The record is found in every copy of the scope. `name` is not called where nobody asks for the route.

    Args:
        below_mounts: False for a framework that matches the whole path, whatever a mount has taken off its front.
    """
    record = scope.get(RECORD_KEY)
    if record is not None:
        record.matched = name, match, below_mounts


__all__ = ["RECORD_KEY", "ROUTE_KEY", "UNMATCHED", "Reader", "note_match"]

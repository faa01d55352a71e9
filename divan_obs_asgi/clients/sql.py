"""What the SQL libraries have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], index: int, name: str) -> Any:
    """Return an argument that may be given by position or by name; None if it is missing."""
    return args[index] if len(args) > index else kwargs.get(name)


def size_of(parameters: Any) -> int | None:
    """Return the number of sets of parameters; None for an iterator, which cannot be counted without reading it."""
    return len(parameters) if isinstance(parameters, Sized) else None


__all__ = ["argument", "size_of"]

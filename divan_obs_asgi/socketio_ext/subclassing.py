"""An object that somebody else has made, as one of a subclass: no other of its class changes."""

from __future__ import annotations

from typing import Any


def become(instance: Any, mixin: type[Any]) -> None:
    """
    Put `mixin` in front of the class of one instance, whose every method stays reachable by `super()`.

    A manager is handed over ready made, and python-socketio makes its Engine.IO server itself; both are called from
    within, so that a wrapper around them would miss half of it.
    """
    if not isinstance(instance, mixin):
        cls = type(instance)
        instance.__class__ = type(f"Observed{cls.__name__}", (mixin, cls), {"__module__": __name__})


__all__ = ["become"]

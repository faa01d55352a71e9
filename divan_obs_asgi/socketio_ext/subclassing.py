"""Makes one object an instance of a subclass, without changing its class for others."""

from __future__ import annotations

from typing import Any


def become(instance: Any, mixin: type[Any]) -> None:
    """
    Put `mixin` in front of the class of one instance; `super()` reaches the methods of that class.

    An application passes a finished manager, and python-socketio makes the Engine.IO server itself. Both call their
    own methods, so that a wrapper around them would miss half of the calls.
    """
    if not isinstance(instance, mixin):
        cls = type(instance)
        instance.__class__ = type(f"Observed{cls.__name__}", (mixin, cls), {"__module__": __name__})


__all__ = ["become"]

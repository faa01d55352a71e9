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
        kinds = (mixin, type(instance))
        if kinds not in _subclasses:
            _subclasses[kinds] = type(f"Observed{kinds[1].__name__}", kinds, {"__module__": __name__})
        instance.__class__ = _subclasses[kinds]


# By both classes; the application's managers have few.
_subclasses: dict[tuple[type[Any], type[Any]], type[Any]] = {}

__all__ = ["become"]

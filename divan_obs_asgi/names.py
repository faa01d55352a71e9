"""What a job, a probe or a group of probes may be called: a key of answers, a label of series, a part of a path."""

from __future__ import annotations

import re
from typing import TypeGuard

NAME_PATTERN = "[a-z][a-z0-9_]{0,63}"
_NAME = re.compile(NAME_PATTERN)


# As Python writes a class: identifiers, and where it was made in a function.
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.(?:<locals>|[A-Za-z_][A-Za-z0-9_]*))*")
_MAX_CLASS = 120
# For what may be data: `type(text, (Exception,), {})` has any text for its name.
UNNAMED = "__unnamed__"


def class_name(kind: type) -> str:
    """Return the qualified name of a class, for a label or a line; `UNNAMED` where it is not as Python writes them."""
    name = kind.__qualname__
    return name if len(name) <= _MAX_CLASS and _CLASS.fullmatch(name) else UNNAMED


def is_name(value: object) -> TypeGuard[str]:
    """Tell whether `value` is a text of lower-case letters, digits and _ that begins with a letter."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


__all__ = ["NAME_PATTERN", "UNNAMED", "class_name", "is_name"]

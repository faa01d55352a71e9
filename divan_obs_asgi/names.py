"""Valid names of jobs, probes and groups of probes. A name is a JSON key, a label value and a part of a path."""

from __future__ import annotations

import re
from typing import TypeGuard

NAME_PATTERN = "[a-z][a-z0-9_]{0,63}"
_NAME = re.compile(NAME_PATTERN)
# A qualified name as Python writes it: identifiers, and `<locals>` for a class made in a function.
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.(?:<locals>|[A-Za-z_][A-Za-z0-9_]*))*")
_MAX_CLASS = 120
# Instead of a name that may be data: `type(text, (Exception,), {})` accepts any text as name.
UNNAMED = "__unnamed__"


def class_name(kind: type) -> str:
    """Return the qualified name of a class, for a label or a log line; `UNNAMED` if it is not an identifier."""
    name = kind.__qualname__
    return name if len(name) <= _MAX_CLASS and _CLASS.fullmatch(name) else UNNAMED


def is_name(value: object) -> TypeGuard[str]:
    """Return whether `value` is a text of lower-case letters, digits and _ that begins with a letter."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


__all__ = ["NAME_PATTERN", "UNNAMED", "class_name", "is_name"]

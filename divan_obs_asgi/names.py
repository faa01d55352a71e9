"""What a job, a probe or a group of probes may be called: a key of answers, a label of series, a part of a path."""

from __future__ import annotations

import re
from typing import TypeGuard

NAME_PATTERN = "[a-z][a-z0-9_]{0,63}"
_NAME = re.compile(NAME_PATTERN)


def is_name(value: object) -> TypeGuard[str]:
    """Tell whether `value` is a text of lower-case letters, digits and _ that begins with a letter."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


__all__ = ["NAME_PATTERN", "is_name"]

"""Patterns that are made and not written: many words as one, which `re` tries by their first letter."""

from __future__ import annotations

import re
from collections.abc import Iterable

JOINT = "\0"
"""Stands in a word for what may be between two parts of a name: nothing, or one of `-_. `."""


class _Node(dict[str, "_Node"]):
    """What may follow; the key "" says that a word may end here."""


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for any of `words`, the longest first where one begins another."""
    root = _Node()
    for word in words:
        node = root
        for char in word:
            node = node.setdefault(char, _Node())
        node[""] = _Node()
    return _alternatives(root)


def _alternatives(node: _Node) -> str:
    return "|".join(_escaped(char) + _following(below) for char, below in sorted(node.items()) if char)


def _following(node: _Node) -> str:
    branches = _alternatives(node)
    if "" in node:
        return f"(?:{branches})?" if branches else ""
    return f"(?:{branches})" if len(node) > 1 else branches


def _escaped(char: str) -> str:
    return "[-_. ]?" if char == JOINT else re.escape(char)


__all__ = ["JOINT", "any_of"]

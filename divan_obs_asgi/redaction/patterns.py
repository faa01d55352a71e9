"""Generates a pattern for many words, which `re` tries by their first letter."""

from __future__ import annotations

import re
from collections.abc import Iterable

JOINT = "\0"
"""In a word, the place for an optional separator between two parts of a name: one of `-_. `."""


class _Node(dict[str, "_Node"]):
    """A node of a trie, with a node for each next character; the key "" means that a word may end here."""


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for any of `words`; if one word begins another, the longer one is tried first."""
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

"""One notation for the templates of all frameworks: `/users/{id}`, without the types of parameters."""

from __future__ import annotations

import re

# For an unnamed part of a regular expression.
UNNAMED_PART = "{var}"

# `<int:id>`, `<any(a, b):kind>`, `<id>`: Django, werkzeug (Quart).
_ANGLES = re.compile(r"<(?:[A-Za-z_]\w*(?:\([^<>]*\))?:)?([A-Za-z_]\w*)>")
# `{id:int}`, `{day:dt("%Y")}`: Falcon.
_BRACES = re.compile(r"\{([A-Za-z_]\w*)(?::[^{}]*)?\}")

_NAMED = re.compile(r"\(\?P<([A-Za-z_]\w*)>")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[?+]?")
_ANCHORS = frozenset("AZzbB")
_CLASSES = frozenset("dDwWsS")


def from_angles(rule: str) -> str:
    """Return `/users/<int:id>` as `/users/{id}`."""
    return _ANGLES.sub(r"{\1}", rule)


def from_braces(template: str) -> str:
    """Return `/users/{id:int}` as `/users/{id}`."""
    return _BRACES.sub(r"{\1}", template)


def from_django(route: str) -> str:
    """
    Return a route of Django's, made of paths (`users/<int:id>/`) and regular expressions (`^users/(?P<id>[0-9]+)/$`).

    An unnamed part of an expression becomes `{var}`; anchors, flags and assertions are omitted.
    """
    return _Expression(route).template()


class _Expression:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def template(self) -> str:
        parts: list[str] = []
        while self._at < len(self._text):
            part = self._part()
            repeated = _QUANTIFIER.match(self._text, self._at)
            if repeated:
                self._at = repeated.end()
                if part == ".":
                    part = UNNAMED_PART
            if part and not (part == UNNAMED_PART and parts and parts[-1] == part):
                parts.append(part)
        return "".join(parts)

    def _part(self) -> str:
        text, start = self._text, self._at
        character = text[start]
        self._at += 1
        if character in "^$":
            return ""
        if character == "\\":
            self._at += 1
            escaped = text[start + 1 : start + 2]
            return "" if escaped in _ANCHORS else UNNAMED_PART if escaped in _CLASSES else escaped
        if character == "[":
            self._at = self._end_of_set(start)
            return UNNAMED_PART
        if character == "(":
            self._at = self._end_of_group(start)
            return self._group(text[start : self._at])
        if character == "<" and (parameter := _ANGLES.match(text, start)):
            self._at = parameter.end()
            return f"{{{parameter[1]}}}"
        return character

    def _group(self, group: str) -> str:
        named = _NAMED.match(group)
        if named:
            return f"{{{named[1]}}}"
        if not group.startswith("(?"):
            return UNNAMED_PART
        if not group.startswith("(?:"):
            return ""  # Flags, assertions, comments.
        within = _Expression(group[3:-1]).template()
        return UNNAMED_PART if "|" in within else within

    def _end_of_set(self, start: int) -> int:
        # A bracket that comes first is one of the set's characters.
        at = start + (2 if self._text[start + 1 : start + 2] == "^" else 1) + 1
        while at < len(self._text) and self._text[at] != "]":
            at += 2 if self._text[at] == "\\" else 1
        return at + 1

    def _end_of_group(self, start: int) -> int:
        depth, at = 0, start
        while at < len(self._text):
            character = self._text[at]
            if character == "[":
                at = self._end_of_set(at)
                continue
            if character == "\\":
                at += 1
            elif character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
                if not depth:
                    return at + 1
            at += 1
        return at


__all__ = ["UNNAMED_PART", "from_angles", "from_braces", "from_django"]

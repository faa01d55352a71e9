"""Removes literals from SQL statements and arguments from Redis commands. Works without a tracing library."""

from __future__ import annotations

import re

from divan_obs_asgi.redaction.commands import redis_word

# Longer statements are cut before they are read, which bounds the time. A literal that the cut leaves open is removed
# too.
_LENGTH = 8192

# In this order: comments, which may contain anything; PostgreSQL's $tag$...$tag$; '...' with '' and \' inside (E'',
# MySQL); names, including "..." and `...`, and placeholders ($1, :p1); numbers. If an alternative is never closed, it
# consumes the text to its end.
_LITERAL = re.compile(
    r"(?P<comment>--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z))"
    r"|(?P<dollar>\$(?P<tag>[A-Za-z_][A-Za-z_0-9]*|)\$(?:(?!\$(?P=tag)\$).)*(?:\$(?P=tag)\$|\Z))"
    r"|(?P<text>(?:\b[EeBbXxNn]|\b[Uu]&)?'(?:[^'\\]|''|\\.)*(?:'|\\?\Z))"
    r"|(?P<name>\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|[A-Za-z_][A-Za-z_0-9$]*|[$:@%?][A-Za-z_0-9]+)"
    r"|(?P<number>0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)",
    re.DOTALL,
)


def without_literals(statement: str) -> str:
    """Return `statement` with `?` for every literal, without comments, in one line."""
    return " ".join(_LITERAL.sub(_replaced, statement[:_LENGTH]).split())


def commands_only(statement: str) -> str:
    """Return a Redis command, or the lines of a pipeline, with `?` for every argument."""
    return "\n".join(_command_only(line) for line in statement[:_LENGTH].split("\n"))


def _replaced(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "comment":
        return " "
    return match[0] if kind == "name" else "?"


def _command_only(line: str) -> str:
    words = line.split()
    return " ".join([*(redis_word(word) for word in words[:1]), *("?" for _ in words[1:])])


__all__ = ["commands_only", "without_literals"]

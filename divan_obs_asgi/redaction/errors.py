"""Exceptions whose text repeats data: which they are, and what stands in the place of the text."""

from __future__ import annotations

import re

from divan_obs_asgi.redaction import databases, validation

_FRAME = re.compile(r"[ |]*File \"[^\"\n]*\", line [0-9]+, in \S+\Z")


def marker_for(error: BaseException) -> str | None:
    """
    Return what stands in the place of the text of `error`; None where the text may be told.

    It is hidden where `error`, or any exception that its traceback shows or hides, is of a database or of a validation:
    what is raised instead of one of these often repeats its text.
    """
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    found = None
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(link).__mro__]
        if any(map(databases.of_a_database, kinds)):
            return databases.MARKER
        if found is None and (any(map(validation.of_a_validator, kinds)) or validation.carries_an_input(link)):
            found = validation.MARKER
        chain += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            chain += link.exceptions
    return found


def marker_for_text(kind: str, stacktrace: str) -> str | None:
    """Return the same for an exception that is a text already: by its full name, and by those in its traceback."""
    if databases.of_a_database(kind) or databases.names_a_database(stacktrace):
        return databases.MARKER
    if validation.of_a_validator(kind) or validation.names_a_validator(stacktrace):
        return validation.MARKER
    return None


def frames_only(stacktrace: str) -> str:
    """Return the places of a traceback, without its messages and lines of code."""
    return "\n".join(line for line in stacktrace.split("\n") if _FRAME.match(line))


__all__ = ["frames_only", "marker_for", "marker_for_text"]

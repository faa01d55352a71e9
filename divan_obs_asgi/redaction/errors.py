"""Finds exceptions whose text repeats data, and replaces their text by a marker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from divan_obs_asgi.redaction import databases, validation

# A shorter text may be in a message by chance.
_SHORTEST = 4
_BEGINS = "Traceback (most recent call last):"
_FRAME = re.compile(r"[ |]*File \"[^\"\n]*\", line [0-9]+, in \S+\Z")


def marker_for(error: BaseException) -> str | None:
    """
    Return the marker that replaces the text of `error`; None if the text may be shown.

    The text is hidden if `error`, or any exception in its chain, comes from a database or a validation: an exception
    that is raised in place of such an exception often repeats its text. The text of an exhausted pool repeats nothing.
    """
    found = None
    for link in _chain(error):
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(link).__mro__]
        if any(map(databases.is_database_error, kinds)):
            if not _is_of_a_pool(link):
                return databases.MARKER
        elif found is None and (any(map(validation.is_validation_error, kinds)) or validation.carries_an_input(link)):
            found = validation.MARKER
    return found


def _is_of_a_pool(error: BaseException) -> bool:
    try:
        return databases.is_pool_text(str(error))
    except Exception:
        return False


def without_texts(message: str, error: BaseException) -> str:
    """
    Return a message without the texts of `error` that repeat data: `f"failed: {error}"`, asyncio's `exception=...`.

    If `marker_for` hides the text of `error`, the texts of all exceptions in its chain are replaced.
    """
    marker = marker_for(error)
    if marker is None:
        return message
    for text in sorted({text for link in _chain(error) for text in _texts(link)}, key=len, reverse=True):
        message = message.replace(text, marker)
    return message


def without_tracebacks(message: str) -> str:
    """Return a message in which tracebacks of databases and validations have no texts."""
    head, begins, stacktrace = message.partition(_BEGINS)
    marker = marker_for_text("", stacktrace) if begins else None
    return message if marker is None else f"{head}{begins}\n{frames_only(stacktrace)}\n{marker}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and every exception in its chain, including suppressed contexts."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        chain += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            chain += link.exceptions


def _texts(error: BaseException) -> Iterator[str]:
    arguments = [argument for argument in error.args if isinstance(argument, str)]
    with suppress(Exception):  # If `__str__` raises, no message contains its text.
        arguments.append(str(error))
    for text in (*arguments, *map(repr, arguments)):
        if len(text) >= _SHORTEST:
            yield text


def marker_for_text(kind: str, stacktrace: str, message: str = "") -> str | None:
    """Return the marker for an exception that is given as text: its full name, its traceback and its message."""
    is_of_a_database = databases.is_database_error(kind) and not databases.is_pool_text(message)
    if is_of_a_database or databases.names_a_database(stacktrace):
        return databases.MARKER
    if validation.is_validation_error(kind) or validation.names_a_validator(stacktrace):
        return validation.MARKER
    return None


def frames_only(stacktrace: str) -> str:
    """Return the places of a traceback, without its messages and lines of code."""
    return "\n".join(line for line in stacktrace.split("\n") if _FRAME.match(line))


__all__ = ["frames_only", "marker_for", "marker_for_text", "without_texts", "without_tracebacks"]

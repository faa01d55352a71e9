"""Formats an exception like Python, with messages of limited length: a long message hides neither frames nor type."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from divan_obs_asgi.redaction.policy import RedactionPolicy
from divan_obs_asgi.redaction.view import Budget

# Maximum characters of the text of an exception, and of each note.
_MESSAGE = 1000


def formatted(
    error: BaseException,
    policy: RedactionPolicy,
    budget: Budget | None = None,
    *,
    frames: int | None = None,
    room: int | None = None,
) -> str:
    """
    Return the traceback of `error`, with long messages redacted and cut; everything else still has to be redacted.

    Args:
        frames: maximum number of frames, the innermost ones; default is all.
        room: maximum number of characters with causes and contexts; beyond it, only the last exception is formatted.
    """
    limit = None if frames is None else -frames
    # Like `traceback.format_exception`. `compact` skips exceptions that are not shown.
    formatted_error = traceback.TracebackException(type(error), error, error.__traceback__, limit=limit, compact=True)
    for link in _links(formatted_error):
        # Python's private name for str(error). If a version has no such attribute, messages are not cut.
        text = getattr(link, "_str", None)
        if isinstance(text, str) and len(text) > _MESSAGE:
            link._str = policy.redact_text(text, budget, _MESSAGE)  # type: ignore[attr-defined]
        notes = getattr(link, "__notes__", None)
        if isinstance(notes, (list, tuple)):
            link.__notes__ = [
                policy.redact_text(note, budget, _MESSAGE) if isinstance(note, str) and len(note) > _MESSAGE else note
                for note in notes
            ]
    text = "".join(formatted_error.format())
    return text if room is None or len(text) <= room else "".join(formatted_error.format(chain=False))


def _links(error: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    waiting: list[traceback.TracebackException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None:
            yield link
            waiting += [link.__cause__, link.__context__, *(link.exceptions or ())]


__all__ = ["formatted"]

"""An exception as Python prints it, with messages of bounded length: a long one hides neither frames nor type."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from divan_obs_asgi.redaction.policy import RedactionPolicy
from divan_obs_asgi.redaction.view import Budget

# Characters that are told of the text of an exception, and of each note.
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
    Return the traceback of `error`, in which long messages are redacted and cut; all else is still to be redacted.

    Args:
        frames: how many of the innermost frames are told; all by default.
        room: characters; where causes and contexts do not fit into them, the last exception is told alone.
    """
    limit = None if frames is None else -frames
    # As `traceback.format_exception` has it: compact spares the exceptions that are not told.
    told = traceback.TracebackException(type(error), error, error.__traceback__, limit=limit, compact=True)
    for link in _links(told):
        # Python's own name for str(error); without it messages are as long as they are.
        text = getattr(link, "_str", None)
        if isinstance(text, str) and len(text) > _MESSAGE:
            link._str = policy.redact_text(text, budget, _MESSAGE)  # type: ignore[attr-defined]
        notes = getattr(link, "__notes__", None)
        if isinstance(notes, (list, tuple)):
            link.__notes__ = [
                policy.redact_text(note, budget, _MESSAGE) if isinstance(note, str) and len(note) > _MESSAGE else note
                for note in notes
            ]
    text = "".join(told.format())
    return text if room is None or len(text) <= room else "".join(told.format(chain=False))


def _links(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        link = waiting.pop()
        if link is not None:
            yield link
            waiting += [link.__cause__, link.__context__, *(link.exceptions or ())]


__all__ = ["formatted"]

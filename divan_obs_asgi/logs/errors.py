"""The field `error` of a line."""

from __future__ import annotations

import hashlib
import logging
import sys
from types import TracebackType

from divan_obs_asgi.logs.raises import is_of_raise, raise_of
from divan_obs_asgi.names import class_name
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.errors import frames_only, marker_for
from divan_obs_asgi.redaction.tracebacks import formatted
from divan_obs_asgi.redaction.view import Budget

# Limits of a traceback: frames, and characters. The latter is below the length to which the policy cuts a text.
_FRAMES = 6
_ROOM = 2000
_UNREADABLE = "[redacted:unreadable]"
# The attribute in which an exception carries its fingerprint, with the raise to which it belongs.
_KEY = "_divan_obs_fingerprint"
# Servers also report errors of the application.
SERVERS = frozenset({"uvicorn", "hypercorn", "gunicorn", "granian", "daphne"})
# Parsers and protocols: their complaints are about a client's input.
PROTOCOLS = frozenset(
    {
        *("aioquic", "h11", "h2", "hpack", "httptools", "hyperframe", "wsproto", "websockets", "zttp"),
        *("asyncio", "engineio", "multipart", "python_multipart", "socketio", "uvloop"),
    }
)
# Code that runs between a client's bytes and the application's.
_NOT_THE_APPLICATION = SERVERS | PROTOCOLS | sys.stdlib_module_names | {"divan_obs_asgi"}


def describe_error(
    error: BaseException, policy: RedactionPolicy, budget: Budget | None = None, *, places_only: bool = False
) -> dict[str, str]:
    """
    Return the type, a fingerprint that is the same in every run, and the redacted traceback; never raises.

    The fingerprint is a hash of the type and of the functions in the traceback, each once. It depends neither on the
    text nor on the depth of a recursion. All lines about one raise of an exception have the fingerprint of the first
    line: an application that logs an exception and raises it again sees fewer frames than a later line does.

    The text of an exception of a database or a validation repeats data, so its traceback has the places only.

    Args:
        budget: the budget of the line, from `RedactionPolicy.line_budget`.
        places_only: whether the traceback has the places only, for any exception.
    """
    kind = policy.redact_text(class_name(type(error)), budget)
    try:
        # The end of a traceback matters most: the innermost frames, then causes and contexts if there is room.
        text = formatted(error, policy, budget, frames=_FRAMES, room=_ROOM)
        hidden = marker_for(error)
        if hidden is not None:
            text = f"{frames_only(text)}\n{kind}: {hidden}"
        elif places_only:
            text = f"{frames_only(text)}\n{kind}"
    except Exception:
        # Fail closed: an exception that cannot be formatted is named by its type.
        text = _UNREADABLE
    return {
        "type": kind,
        "fingerprint": _fingerprint(error, kind),
        "traceback": policy.redact_traceback(text, budget),
    }


def _fingerprint(error: BaseException, kind: str) -> str:
    known = vars(error).get(_KEY)
    if known is not None and is_of_raise(error, known[0]):
        return str(known[1])
    path = "".join(f"{place};" for place in dict.fromkeys(_places(error.__traceback__)))
    fingerprint = hashlib.sha256(f"{kind}|{path}".encode("utf-8", "replace")).hexdigest()[:16]
    if error.__traceback__ is not None:
        vars(error)[_KEY] = raise_of(error), fingerprint
    return fingerprint


def exception_of(record: logging.LogRecord) -> BaseException | None:
    """Return the exception of a record; other libraries put any object into `exc_info`."""
    found = record.exc_info[1] if isinstance(record.exc_info, tuple) and len(record.exc_info) == 3 else None
    return found if isinstance(found, BaseException) else None


def is_without_application(step: TracebackType | None) -> bool:
    """Return whether all frames of a traceback belong to servers, protocols, Python or this library."""
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__")).partition(".")[0] not in _NOT_THE_APPLICATION:
            return False
        step = step.tb_next
    return True


def describe_stack(text: str, policy: RedactionPolicy, budget: Budget | None = None) -> str:
    """Return the end of the stack that `stack_info=True` recorded, redacted."""
    return policy.redact_text("\n".join(text.rsplit("\n", 2 * _FRAMES)[-2 * _FRAMES :]), budget)


def _places(step: TracebackType | None) -> list[str]:
    """Return `file:function` of each frame. `traceback.extract_tb` would read the source files."""
    places = []
    while step is not None:
        code = step.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{code.co_name}")
        step = step.tb_next
    return places


__all__ = ["PROTOCOLS", "SERVERS", "describe_error", "describe_stack", "exception_of", "is_without_application"]

"""Tells application errors from client disconnects and cancellations."""

from __future__ import annotations

from starlette.background import BackgroundTask, BackgroundTasks
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

# Starlette raises these in an application whose client has gone.
_CLIENT_HAS_GONE = (ClientDisconnect, WebSocketDisconnect)

_BACKGROUND_TASKS = frozenset({BackgroundTask.__call__.__code__, BackgroundTasks.__call__.__code__})


def own_failure(error: BaseException | None, hang_up: OSError | None) -> Exception | None:
    """
    Return the application's own exception; None where the client has gone, or for a cancellation.

    Args:
        hang_up: the exception that `send` has raised, which may be `error` itself.
    """
    errors = [error]
    while errors:
        error = errors.pop()
        if isinstance(error, BaseExceptionGroup):
            errors.extend(error.exceptions)
        elif isinstance(error, Exception) and error is not hang_up and not isinstance(error, _CLIENT_HAS_GONE):
            return error
    return None


def in_background(error: BaseException) -> bool:
    """Return whether a background task of Starlette has raised it; then the response was complete before."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code in _BACKGROUND_TASKS:
            return True
        step = step.tb_next
    return isinstance(error, BaseExceptionGroup) and any(map(in_background, error.exceptions))


__all__ = ["in_background", "own_failure"]

"""Detects whether a developer runs this process, and not an orchestrator."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

# Variables that a reloader sets in the process that it restarts: watchfiles, Werkzeug and Django.
_RELOADER_VARIABLES = ("WATCHFILES_CHANGES", "WERKZEUG_RUN_MAIN", "RUN_MAIN")
# `fastapi dev` is uvicorn with --reload.
_RELOADING_COMMANDS = (("fastapi", "dev"),)
# The option's name in uvicorn and in hypercorn.
_RELOAD_OPTIONS = ("reload", "use_reloader")


def why_development(frame: FrameType | None, *, dev: bool = False) -> str:
    """
    Return why this is a developer's process, like "under a reloader"; empty if it is not known to be one.

    Args:
        frame: of a function that the server has called; the frames around it are searched.
        dev: whether OBS_ENV=dev is set.
    """
    if is_reloaded(sys.argv, os.environ, frame):
        return "under a reloader"
    if is_terminal(sys.stdin) or is_terminal(sys.stderr):
        return "on a terminal"
    return "OBS_ENV=dev" if dev else ""


def is_terminal(stream: object) -> bool:
    """Return whether a stream is a terminal."""
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False  # It is missing, closed, or replaced by an object that is not a file.


def is_reloaded(argv: Sequence[str], environ: Mapping[str, str], frame: FrameType | None) -> bool:
    """Return whether a reloader restarts this process. Processes of `multiprocessing` have their parent's arguments."""
    command = (Path(argv[0]).name, *argv[1:2]) if argv else ()
    return (
        "--reload" in argv
        or command in _RELOADING_COMMANDS
        or any(environ.get(name) for name in _RELOADER_VARIABLES)
        or any(
            getattr(config, option, False) is True for config in _server_configs(frame) for option in _RELOAD_OPTIONS
        )
    )


def _server_configs(frame: FrameType | None) -> Iterator[object]:
    """
    Yield the configurations of the servers that have called this frame.

    In the process that it spawns, `uvicorn.run(app, reload=True)` is visible only in the arguments of its functions.
    """
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in ("uvicorn", "hypercorn"):
            yield frame.f_locals.get("config")
        frame = frame.f_back


__all__ = ["is_reloaded", "is_terminal", "why_development"]

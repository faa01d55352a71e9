"""Whether a developer runs this process, and not an orchestrator."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

# Set in the process that a reloader restarts: by watchfiles' `run_process` and command, by Werkzeug, by Django.
_OF_RELOADERS = ("WATCHFILES_CHANGES", "WERKZEUG_RUN_MAIN", "RUN_MAIN")
# `fastapi dev` is uvicorn with --reload.
_COMMANDS_THAT_RELOAD = (("fastapi", "dev"),)
# uvicorn's and hypercorn's names for it.
_OPTIONS = ("reload", "use_reloader")


def why_development(frame: FrameType | None, *, dev: bool = False) -> str:
    """
    Return by what a process is known to be a developer's: "under a reloader"; empty where by nothing.

    Args:
        frame: of a function that the server has called; those around it are looked at.
        dev: whether somebody has said OBS_ENV=dev.
    """
    if is_reloaded(sys.argv, os.environ, frame):
        return "under a reloader"
    if is_terminal(sys.stdin) or is_terminal(sys.stderr):
        return "on a terminal"
    return "OBS_ENV=dev" if dev else ""


def is_terminal(stream: object) -> bool:
    """Tell whether somebody sits before a stream."""
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False  # Not there, closed, or replaced by something that is not a file.


def is_reloaded(argv: Sequence[str], environ: Mapping[str, str], frame: FrameType | None) -> bool:
    """Tell whether a reloader restarts this process; what `multiprocessing` spawns has its parent's arguments."""
    command = (Path(argv[0]).name, *argv[1:2]) if argv else ()
    return (
        "--reload" in argv
        or command in _COMMANDS_THAT_RELOAD
        or any(environ.get(name) for name in _OF_RELOADERS)
        or any(getattr(config, option, False) is True for config in _configurations(frame) for option in _OPTIONS)
    )


def _configurations(frame: FrameType | None) -> Iterator[object]:
    """
    Yield the configurations of the servers below whose frames this one is.

    `uvicorn.run(app, reload=True)` leaves no trace in the process that it spawns but the arguments of its functions.
    """
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in ("uvicorn", "hypercorn"):
            yield frame.f_locals.get("config")
        frame = frame.f_back


__all__ = ["is_reloaded", "is_terminal", "why_development"]

"""Which loggers are the application's own, and which are a library's."""

from __future__ import annotations

import logging
import os
import re
import sys
import sysconfig
from collections.abc import Iterable

from divan_obs_asgi.logs.libraries import names_a_library

# This library's own lines hold no data.
_OURS = "divan_obs_asgi"
# Installed packages of any environment, and copies that a package brings along.
_LIBRARY_FOLDER = re.compile(r"[\\/](?:site-packages|dist-packages|_?vendor(?:ed)?|third_party)[\\/]")
_LIBRARY_ROOTS = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
# Where a log call seems to stand that goes through structlog, by a logger which was there before structlog was set up.
# Such a record is decided by its logger's name alone.
_WRAPPER = re.compile(r"[\\/]structlog[\\/]\w+\.py$")
# Decisions that are remembered; an application that makes a logger for each of its users has more of them.
_MAX_KNOWN = 4096


class OwnLoggers:
    """
    Decides whether a line below the written level may be kept for an incident.

    A logger that is called after a module belongs to that module; any other belongs to the file of the log call
    (`record.pathname`). Such a file is the application's own where it lies below an entry of `sys.path` which holds
    no libraries: not the standard library, not site-packages, not a folder or an archive into which packages were
    unpacked (`pip install --target`). The package that calls `init` or `wrap` is the application's own wherever it is
    installed. Everything else is a library's.

    Args:
        named: further loggers, each with those below it.
    """

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = (_OURS, *named)
        self._places: tuple[str, ...] = ()
        self._known: dict[tuple[str, str], bool] = {}

    def add_package(self, module: str) -> None:
        """Treat the top-level package of `module` as the application's own."""
        self._places = (*self._places, *_places_of(module))
        self._known.clear()

    def wrote(self, record: logging.LogRecord) -> bool:
        """Return whether the record is the application's own, or of a named logger."""
        key = (record.name, record.pathname)
        known = self._known.get(key)
        if known is None:
            known = self._decide(*key)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known

    def _decide(self, name: str, file: str) -> bool:
        if not (isinstance(name, str) and isinstance(file, str)):
            return False
        if any(name == own or name.startswith(f"{own}.") for own in self._named):
            return True
        if names_a_library(name):
            return False
        # The name first: a library may give its caller's file (`stacklevel`), and a thread pool that calls an
        # application's `logger.info` is the caller there.
        files = _paths_of_module(name) or ([] if _WRAPPER.search(file) else [file])
        return all(map(self._is_own_file, files))

    def _is_own_file(self, file: str) -> bool:
        path = os.path.abspath(file)
        if any(_is_below(path, place) for place in self._places):
            return not _LIBRARY_FOLDER.search(_below(path, self._places))
        # `<string>` and the like: code that was made at run time may be anybody's.
        if not os.path.isabs(file):
            return False
        if _LIBRARY_FOLDER.search(path) or path.startswith(_LIBRARY_ROOTS):
            return False
        roots = [root for root in map(_as_folder, sys.path) if path.startswith(root)]
        return bool(roots) and not _holds_libraries(max(roots, key=len))


def _places_of(module: str) -> list[str]:
    """Return the folders of a module's top-level package, or the file of a module that stands alone."""
    top = sys.modules.get(module.partition(".")[0])
    folders = getattr(top, "__path__", None)
    if folders:
        return [_as_folder(folder) for folder in folders]
    file = getattr(top, "__file__", None)
    return [os.path.abspath(file)] if isinstance(file, str) else []


def _paths_of_module(logger: str) -> list[str]:
    """Return where the module is that a logger is called after; nothing where there is none."""
    top = logger.partition(".")[0]
    module = sys.modules.get(top)
    # `queue`, `calendar`, `code` are words that an application uses, too, and modules that log nothing.
    if module is None or top in sys.stdlib_module_names:
        return []
    file = getattr(module, "__file__", None)
    folders = getattr(module, "__path__", ())  # A namespace package has no file.
    return [file] if isinstance(file, str) else [os.path.join(folder, "__init__.py") for folder in folders]


def _is_below(path: str, place: str) -> bool:
    return path.startswith(place) if place.endswith(os.sep) else path == place


def _below(path: str, places: Iterable[str]) -> str:
    """Return the part of a path that is below the one of `places` which holds it."""
    longest = max((place for place in places if _is_below(path, place)), key=len)
    return os.sep + path[len(longest) :]


def _as_folder(path: str) -> str:
    return os.path.join(os.path.abspath(path), "")


def _holds_libraries(root: str) -> bool:
    """Return whether packages were installed into a folder; an archive is taken for one that holds some."""
    try:
        with os.scandir(root) as entries:
            return any(entry.name.endswith(".dist-info") for entry in entries)
    except OSError:
        return True


__all__ = ["OwnLoggers"]

"""Decides which loggers belong to the application and which to a library."""

from __future__ import annotations

import logging
import os
import re
import sys
import sysconfig
from collections.abc import Iterable

from divan_obs_asgi.logs.libraries import names_a_library

# Lines of this library contain no data.
_OURS = "divan_obs_asgi"
# Installed packages of any environment, and vendored copies.
_LIBRARY_FOLDER = re.compile(r"[\\/](?:site-packages|dist-packages|_?vendor(?:ed)?|third_party)[\\/]")
_LIBRARY_ROOTS = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
# If a logger existed before structlog was configured, its calls through structlog seem to come from these files. Then
# the logger's name alone decides.
_WRAPPER = re.compile(r"[\\/]structlog[\\/]\w+\.py$")
# Cached decisions. An application that creates a logger for each user would need more.
_MAX_KNOWN = 4096


class OwnLoggers:
    """
    Decides whether the flight recorder may buffer a line below the written level.

    A logger that is named after a module belongs to that module; any other belongs to the file of the log call
    (`record.pathname`). A file is the application's if it lies below an entry of `sys.path` without libraries: not in
    the standard library, in site-packages, or in a folder or an archive with installed packages (`pip install
    --target`). The package that calls `init` or `wrap` is the application's wherever it is installed. Everything else
    is a library's.

    Args:
        named: further loggers, each with the loggers below it.
    """

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = (_OURS, *named)
        self._places: tuple[str, ...] = ()
        self._known: dict[tuple[str, str], bool] = {}
        self._excluded: dict[str, bool] = {}

    def add_package(self, module: str) -> None:
        """Treat the top-level package of `module` as the application's."""
        self._places = (*self._places, *_places_of(module))
        self._known.clear()
        self._excluded.clear()

    def include(self, record: logging.LogRecord) -> bool:
        """Return whether the record comes from the application or from a named logger."""
        key = (record.name, record.pathname)
        known = self._known.get(key)
        if known is None:
            known = self._decide(*key)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known

    def excludes(self, name: str) -> bool:
        """Return whether the logger is a library's whichever file calls it."""
        known = self._excluded.get(name)
        if known is None:
            known = self._excludes(name)
            if len(self._excluded) >= _MAX_KNOWN:
                self._excluded.clear()
            self._excluded[name] = known
        return known

    def _excludes(self, name: str) -> bool:
        if not isinstance(name, str) or self._is_named(name):
            return False
        return names_a_library(name) or not all(map(self._is_own_file, _paths_of_module(name)))

    def _is_named(self, name: str) -> bool:
        return any(name == own or name.startswith(f"{own}.") for own in self._named)

    def _decide(self, name: str, file: str) -> bool:
        if not (isinstance(name, str) and isinstance(file, str)):
            return False
        if self._is_named(name):
            return True
        if names_a_library(name):
            return False
        # The name comes first. With `stacklevel` a library may log the file of its caller, and a thread pool is the
        # caller of an application's `logger.info`.
        files = _paths_of_module(name) or ([] if _WRAPPER.search(file) else [file])
        return all(map(self._is_own_file, files))

    def _is_own_file(self, file: str) -> bool:
        path = os.path.abspath(file)
        if any(_is_below(path, place) for place in self._places):
            return not _LIBRARY_FOLDER.search(_below(path, self._places))
        # `<string>` and the like: code that was generated at run time may belong to a library.
        if not os.path.isabs(file):
            return False
        if _LIBRARY_FOLDER.search(path) or path.startswith(_LIBRARY_ROOTS):
            return False
        roots = [root for root in map(_as_folder, sys.path) if path.startswith(root)]
        return bool(roots) and not _holds_libraries(max(roots, key=len))


def _places_of(module: str) -> list[str]:
    """Return the folders of a module's top-level package, or the file of a top-level module."""
    top = sys.modules.get(module.partition(".")[0])
    folders = getattr(top, "__path__", None)
    if folders:
        return [_as_folder(folder) for folder in folders]
    file = getattr(top, "__file__", None)
    return [os.path.abspath(file)] if isinstance(file, str) else []


def _paths_of_module(logger: str) -> list[str]:
    """Return the paths of the module that a logger is named after; empty if there is no such module."""
    top = logger.partition(".")[0]
    module = sys.modules.get(top)
    # Modules such as `queue`, `calendar` and `code` log nothing, and an application may use these words.
    if module is None or top in sys.stdlib_module_names:
        return []
    file = getattr(module, "__file__", None)
    folders = getattr(module, "__path__", ())  # A namespace package has no file.
    return [file] if isinstance(file, str) else [os.path.join(folder, "__init__.py") for folder in folders]


def _is_below(path: str, place: str) -> bool:
    return path.startswith(place) if place.endswith(os.sep) else path == place


def _below(path: str, places: Iterable[str]) -> str:
    """Return the part of a path below the longest of `places` that contains it."""
    longest = max((place for place in places if _is_below(path, place)), key=len)
    return os.sep + path[len(longest) :]


def _as_folder(path: str) -> str:
    return os.path.join(os.path.abspath(path), "")


def _holds_libraries(root: str) -> bool:
    """Return whether packages were installed into a folder; true for an archive."""
    try:
        with os.scandir(root) as entries:
            return any(entry.name.endswith(".dist-info") for entry in entries)
    except OSError:
        return True


__all__ = ["OwnLoggers"]

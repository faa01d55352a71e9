"""Reads and writes whole files in one folder, and never outside it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from divan_obs_asgi.ops_assets.errors import AssetsError


class Folder:
    """
    The text files of a folder, by path with `/` as the separator on every system.

    Bytes that are not UTF-8 are decoded to surrogates, so that any file can be compared.
    """

    def __init__(self, path: Path) -> None:
        with _explained(path):
            if path.exists() and not path.is_dir():
                raise AssetsError(f"{path} is not a folder.")
            self._root = path.resolve()

    def read(self, name: str) -> str | None:
        """Return the text of a file, or None if it does not exist."""
        path = self._inside(name)
        with _explained(path):
            try:
                return path.read_bytes().decode("utf-8", "surrogateescape")
            except FileNotFoundError:
                return None

    def change(self, written: Mapping[str, str], removed: Iterable[str] = ()) -> None:
        """
        Write and remove files: all of them, or none if one of the texts cannot be written.

        The files of `written` are replaced in order.
        """
        goals = {self._inside(name): text for name, text in written.items()}
        gone = [self._inside(name) for name in removed]
        made: list[Path] = []
        staged: dict[Path, Path] = {}
        with _explained(self._root):
            try:
                for goal, text in goals.items():
                    made += _folders(goal.parent)
                    staged[goal] = _temporary(goal, text)
            except OSError:
                _forget([*staged.values(), *reversed(made)])
                raise
            try:
                for path in gone:
                    path.unlink(missing_ok=True)
                for goal in goals:
                    staged[goal].replace(goal)
            finally:
                _forget(staged.values())

    def _inside(self, name: str) -> Path:
        """Return the real path of a file; raise an error if a symbolic link leads out of the folder."""
        path = self._root / name
        with _explained(path):
            try:
                real = path.resolve()
            except RuntimeError:  # A loop of links, before Python 3.13.
                raise AssetsError(f"{path} is a symbolic link that leads to itself.") from None
            if not real.is_relative_to(self._root):
                raise AssetsError(f"{path} leads out of {self._root} through a symbolic link.")
            for folder in path.relative_to(self._root).parents:
                if (self._root / folder).exists() and not (self._root / folder).is_dir():
                    raise AssetsError(f"{self._root / folder} is not a folder.")
            if real.is_dir():
                raise AssetsError(f"{path} is a folder, not a file.")
        return real


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AssetsError(f"{error.filename or path}: {error.strerror or error}.") from None
    except ValueError as error:  # A null byte, or another name that the file system does not allow.
        raise AssetsError(f"{str(path)!r}: {error}.") from None


def _folders(path: Path) -> list[Path]:
    """Create a folder and its missing parents; return the created folders, the uppermost first."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    missing.reverse()
    made: list[Path] = []
    try:
        for folder in missing:
            folder.mkdir()
            made.append(folder)
    except OSError:
        _forget(reversed(made))
        raise
    return missing


def _temporary(goal: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}.")
    path = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        # mkstemp makes the file readable for its owner only, but Prometheus in a container runs as another user.
        path.chmod(goal.stat().st_mode & 0o777 if goal.exists() else 0o666 & ~_umask())
    except OSError:
        path.unlink()
        raise
    return path


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _forget(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)


__all__ = ["Folder"]

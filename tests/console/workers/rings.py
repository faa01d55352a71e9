"""Ring files for tests."""

from __future__ import annotations

from pathlib import Path

import orjson

from divan_obs_asgi.console.workers.ring_directory import read
from divan_obs_asgi.console.workers.ring_file import RingFile
from divan_obs_asgi.console.workers.ring_format import MIN_SIZE


class Seconds:
    """A clock that a test moves."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Ring(RingFile):
    """A small ring file that keeps its failures."""

    def __init__(self, directory: Path, *, wall: float = 1_790_000_000.0) -> None:
        self.failures: list[Exception] = []
        self.seconds = Seconds()
        super().__init__(directory, "divan", MIN_SIZE, self.failures.append, self.seconds, Seconds(wall))

    @property
    def path(self) -> Path:
        return self.directory / self.name

    def write(self, kind: str, *ids: str, **fields: object) -> None:
        for one in ids:
            self.append(kind, orjson.dumps({"id": one, **fields}))
            self.flush()

    def ids(self, kind: str) -> list[str]:
        return ids_of(self.path, kind)


def ids_of(path: Path, kind: str) -> list[str]:
    """Return the ids of the entries of a kind in a ring file, in the order in which they were written."""
    return [orjson.loads(entry.data)["id"] for entry in read(path) if entry.kind == kind]


__all__ = ["Ring", "Seconds", "ids_of"]

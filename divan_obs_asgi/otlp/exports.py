"""The exports of log lines and metrics that a bundle runs."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Protocol, runtime_checkable


class SignalExport(Protocol):
    """The export of one signal. Its methods block, for the shutdown timeout at most."""

    def prepare(self) -> object:
        """Import what the first export needs."""
        ...

    def flush(self) -> object:
        """Export what has been collected so far."""
        ...

    def pause(self) -> object:
        """Export, and end the threads until there is something to export again."""
        ...

    def shutdown(self) -> object:
        """Export what is left, because the process ends."""
        ...


@runtime_checkable
class ScheduledExport(Protocol):
    """An export that is made at an interval."""

    async def run(self) -> None: ...


class Exports:
    """All exports of a bundle but that of spans, in the order in which they are flushed."""

    def __init__(self, *exports: SignalExport) -> None:
        self._exports = exports

    @property
    def runs(self) -> list[Callable[[], Awaitable[object]]]:
        """What runs beside the application: the exports at an interval."""
        return [export.run for export in self._exports if isinstance(export, ScheduledExport)]

    @property
    def prepares(self) -> list[Callable[[], object]]:
        """The calls that import what the first exports need."""
        return [export.prepare for export in self._exports]

    def flush(self) -> None:
        for export in self._exports:
            export.flush()

    def pause(self) -> None:
        for export in self._exports:
            export.pause()


def shut_down_at_exit(export: SignalExport) -> None:
    """Call `shutdown` at the end of the process, if the export still exists then."""
    _register()
    _at_exit.add(export)


@cache
def _register() -> None:
    # At the first export and not at the import: functions that are registered later run earlier, and the sinks, whose
    # module every export of lines has imported, have to end after it.
    atexit.register(_shut_down_all)


def _shut_down_all() -> None:
    for export in list(_at_exit):
        export.shutdown()


_at_exit: weakref.WeakSet[SignalExport] = weakref.WeakSet()

__all__ = ["Exports", "SignalExport", "shut_down_at_exit"]

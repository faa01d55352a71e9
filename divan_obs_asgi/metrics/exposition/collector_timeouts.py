"""What an application has registered, called for as long as a scrape can wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

# Prometheus gives a scrape up after 10 s (scrape_timeout): what hangs leaves the others time to arrive.
PATIENCE_S = 4.0

_logger = logging.getLogger("divan_obs_asgi.metrics")


class CollectorTimeouts:
    """
    Calls functions that may hang, each in a thread of its own.

    One that hangs is not called again until it has come back, so that threads do not pile up.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._hanging: set[object] = set()
        self._warned: set[str] = set()

    def call(self, key: object, name: str, function: Callable[[], T]) -> T:
        """
        Return what `function` returns; blocks.

        Args:
            key: what must not hang twice.
            name: for the log, which tells of it once.

        Raises:
            TimeoutError: where it has not returned in time, or hangs since an earlier call.
        """
        if key in self._hanging:
            raise TimeoutError
        future: Future[T] = Future()
        # A daemon: it keeps no process from its end.
        threading.Thread(target=_run, args=(function, future), name="divan_obs_asgi.callback", daemon=True).start()
        try:
            return future.result(self._patience_s)
        except TimeoutError:
            if not future.done():
                if name not in self._warned:
                    self._warned.add(name)
                    _logger.warning("%s hangs; its series are left out until it has come back.", name)
                self._hanging.add(key)
                future.add_done_callback(lambda done: self._hanging.discard(key))
            raise


def _run(function: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))


__all__ = ["PATIENCE_S", "CollectorTimeouts"]

"""Calls collectors and gauge functions of the application with a timeout."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

# Prometheus aborts a scrape after 10 s (scrape_timeout); a collector that hangs must leave time for the other series.
TIMEOUT_S = 4.0

_logger = logging.getLogger("divan_obs_asgi.metrics")


class CollectorTimeouts:
    """
    Calls functions that may hang, each in a thread of its own.

    A function that hangs is not called again before it has returned, so that threads do not accumulate.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._hanging: set[object] = set()
        self._warned: set[str] = set()

    def call(self, key: object, name: str, function: Callable[[], T]) -> T:
        """
        Return the result of `function`; blocks.

        Args:
            key: identifies the function; while it hangs, it is not called again.
            name: for the log, which warns once for each name.

        Raises:
            TimeoutError: if the function has not returned in time, or an earlier call still hangs.
        """
        if key in self._hanging:
            raise TimeoutError
        future: Future[T] = Future()
        # A daemon thread does not delay the end of the process.
        threading.Thread(target=_run, args=(function, future), name="divan_obs_asgi.callback", daemon=True).start()
        try:
            return future.result(self._timeout_s)
        except TimeoutError:
            if not future.done():
                if name not in self._warned:
                    self._warned.add(name)
                    _logger.warning(
                        "%s has not returned within %g s; its series are missing until it returns.",
                        name,
                        self._timeout_s,
                    )
                self._hanging.add(key)
                future.add_done_callback(lambda done: self._hanging.discard(key))
            raise


def _run(function: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))


__all__ = ["TIMEOUT_S", "CollectorTimeouts"]

"""An HTTP request that knows what it has waited for."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Coroutine, Generator
from functools import cached_property
from typing import Any

from divan_obs_asgi.connection.loop_holds import holds_here
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.wait_times import Cause, WaitTimes, shown
from divan_obs_asgi.internal_errors import InternalErrors


class MeasuredRequest(RequestRecord):
    """
    A request with wait times. They are made at the first wait: most requests have none, and pay nothing.

    Attributes:
        slow_s: a request that takes longer is slow; see `measured_request`.
        paused_s: what `pauses.total_s` was when it began.
    """

    slow_s = math.inf
    paused_s = 0.0

    # Anew for each record, where the class attribute of the parent is None.
    @cached_property
    def waited(self) -> WaitTimes:  # type: ignore[override]
        # Until its first wait the request's own task has run.
        return WaitTimes(self._clock, self._started, self.paused_s, holds_here(), running=True)

    def call_finishers(self, faults: InternalErrors) -> None:
        if self.outcome != "ok" or self.status >= 500 or (self.duration_s > self.slow_s and not self.lingers):
            self.add_detail("waited", shown(self.waited.counts, self.time_by_cause()))
        RequestRecord.call_finishers(self, faults)
        if self.waited_s is None and "waited" in vars(self):
            self.waited.forget()

    def time_by_cause(self) -> dict[Cause, float]:
        """Return the seconds of each cause, which add up to the duration; for a finished record."""
        if self.waited_s is None:
            self.waited.stop(self._started + self.duration_s)
            self.waited_s = self.waited.in_all(self.duration_s)
        return self.waited_s

    # The duration ends before the record is finished.

    def hung_up(self, error: OSError | None = None) -> None:
        RequestRecord.hung_up(self, error)
        if "waited" in vars(self):
            self.waited.stop()

    def _doubt(self) -> None:
        if "waited" in vars(self):
            self.waited.stop()
        RequestRecord._doubt(self)


def measured_request(slow_s: float) -> type[MeasuredRequest]:
    """Return the class for the requests of one stack: an attribute of each would cost more."""
    return type("MeasuredRequest", (MeasuredRequest,), {"slow_s": slow_s})


@types.coroutine
def in_steps(
    coroutine: Coroutine[Any, Any, object], awaited: object, record: MeasuredRequest
) -> Generator[Any, Any, None]:
    """
    Await the rest of a coroutine, and note when it is suspended and resumed.

    Args:
        awaited: what its first step has yielded. The caller takes that step: most requests need no other.
    """
    waited = record.waited
    if record.outcome is not None:
        # Its first wait is one of a background task, which is not measured.
        waited.forget()
    while True:
        resume: Callable[[Any], Any] = coroutine.send
        argument: Any = None
        waited.suspend()
        try:
            argument = yield awaited
        except BaseException as error:  # A cancellation, which the coroutine has to get.
            resume, argument = coroutine.throw, error
        # Its result may be large.
        awaited = None
        waited.resume()
        try:
            awaited = resume(argument)
        except StopIteration:
            return
        finally:
            # Otherwise a cycle: the traceback of the exception holds this frame, which holds the exception.
            argument = None


def awaited_by(steps: Any) -> object:
    """Return the coroutine that a generator of `in_steps` awaits; None for anything else."""
    if getattr(steps, "gi_code", None) is not _CODE or steps.gi_frame is None:
        return None
    coroutine: object = steps.gi_frame.f_locals["coroutine"]
    return coroutine


_CODE = in_steps.__code__

__all__ = ["MeasuredRequest", "awaited_by", "in_steps", "measured_request"]

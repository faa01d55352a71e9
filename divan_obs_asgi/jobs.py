"""Jobs: work of the service outside of requests. Each run is counted, timed, traced and logged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import anyio.to_thread

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.logs.errors import describe_error
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.names import is_name
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.tracing.spans.decorator import is_async, wrap_calls
from divan_obs_asgi.tracing.spans.internal import SpanFactory

F = TypeVar("F", bound=Callable[..., object])
Result: TypeAlias = Literal["ok", "error", "cancelled"]

RESULTS: tuple[Result, ...] = get_args(Result)
_logger = logging.getLogger(__name__)


class Job:
    """A named function. Direct calls and calls by `run` are observed in the same way."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self._function = function
        self._running = 0
        # A plain function may be called in any thread.
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether a call is running in this process."""
        return self._running > 0

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function and return its result. A function that is not async is called in a thread."""
        if is_async(self._function):
            return await self._function(*args, **kwargs)
        return await anyio.to_thread.run_sync(partial(self._function, *args, **kwargs))

    def count_running(self, change: Literal[1, -1]) -> None:
        """Note that a call has begun (1) or ended (-1)."""
        with self._lock:
            self._running += change


class Jobs:
    """
    The jobs of one service, by name.

    Args:
        policy: redacts the text of an error before it is logged.
        observing: whether runs are observed. If not, functions stay unchanged and can still be run by name.
        clock: seconds, monotonic.
        now: Unix time in seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        work: SpanFactory,
        policy: RedactionPolicy,
        faults: InternalErrors,
        *,
        observing: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = metrics
        self._work = work
        self._policy = policy
        self._faults = faults
        self._observing = observing
        self._clock = clock
        self._now = now
        self._jobs: dict[str, Job] = {}

    def register(self, name: str, function: F) -> F:
        """
        Make `function` a job, and return the observed function. It stays plain or async.

        Raises:
            ImproperlyConfigured: if the name is taken or invalid.
            TypeError: for a generator function.
        """
        if not is_name(name):
            raise ImproperlyConfigured(
                f"Invalid job name {name!r}; expected lower-case letters, digits and _, like 'lb_snapshot'."
            )
        if name in self._jobs:
            raise ImproperlyConfigured(f"A job named {name!r} is registered already.")
        observed = wrap_calls(function, lambda: self._observed_run(job), "job") if self._observing else function
        job = self._jobs[name] = Job(name, observed)
        if self._observing:
            self._start_at_zero(name)
        return observed

    def get(self, name: str) -> Job | None:
        """Return the job with that name, or None."""
        return self._jobs.get(name)

    def names(self) -> list[str]:
        """Return the names of all jobs, in the order of registration."""
        return list(self._jobs)

    def _start_at_zero(self, name: str) -> None:
        # `rate` and `increase` miss the first failure if the series starts with it.
        for result in RESULTS:
            self._metrics.jobs_runs.labels(name, result)
        self._metrics.jobs_duration.labels(name)
        self._metrics.jobs_running.labels(name)
        self._metrics.jobs_last_success.labels(name).set(0)

    @contextmanager
    def _observed_run(self, job: Job) -> Iterator[None]:
        started = self._clock()
        result: Result = "cancelled"  # Ended by an exception that is not an `Exception`: cancelled, or shutting down.
        failure: Exception | None = None
        self._begin(job)
        try:
            with _SafeSpan(self._work.span(f"job {job.name}", **{"divan.job.name": job.name}), self._faults):
                yield
            result = "ok"
        except Exception as error:
            result, failure = "error", error
            raise
        finally:
            self._end(job, result, self._clock() - started, failure)

    def _begin(self, job: Job) -> None:
        job.count_running(1)
        try:
            self._metrics.jobs_running.labels(job.name).inc()
        except Exception as error:
            self._faults.report("jobs", error)

    def _end(self, job: Job, result: Result, seconds: float, failure: Exception | None) -> None:
        job.count_running(-1)
        try:
            self._metrics.jobs_running.labels(job.name).dec()
            self._metrics.jobs_runs.labels(job.name, result).inc()
            self._metrics.jobs_duration.labels(job.name).observe(seconds)
            if result == "ok":
                self._metrics.jobs_last_success.labels(job.name).set(self._now())
            self._log(job.name, result, seconds, failure)
        except Exception as error:
            self._faults.report("jobs", error)

    def _log(self, name: str, result: Result, seconds: float, failure: Exception | None) -> None:
        fields: dict[str, object] = {"job": name, "result": result, "duration_ms": round(seconds * 1e3, 3)}
        level = logging.INFO
        if failure is not None:
            level = logging.ERROR
            # Not as exc_info, because other log handlers would print it unredacted.
            fields["error"] = describe_error(failure, self._policy)
        _logger.log(level, "job %s: %s", name, result, extra=fields)


class _SafeSpan:
    """A span whose failures are reported and not raised: a span processor of the application may raise."""

    def __init__(self, span: AbstractContextManager[object], faults: InternalErrors) -> None:
        self._span = span
        self._faults = faults
        self._has_started = False

    def __enter__(self) -> None:
        try:
            self._span.__enter__()
            self._has_started = True
        except Exception as error:
            self._faults.report("jobs", error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._has_started:
            return
        try:
            self._span.__exit__(kind, error, traceback)
        except Exception as failure:
            if failure is not error:
                self._faults.report("jobs", failure)


__all__ = ["RESULTS", "Job", "Jobs", "Result"]

"""Runs of jobs that an operator has started; they do not depend on the requests that started them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from divan_obs_asgi.internal_errors import must_propagate
from divan_obs_asgi.jobs import Job, Result
from divan_obs_asgi.ops.responses import RequestRefused
from divan_obs_asgi.tracing.spans.internal import SpanFactory


class JobRun:
    """
    One run.

    Attributes:
        result: None until it has ended.
    """

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.result: Result | None = None


class JobRunner:
    """Runs jobs in a task group that lives as long as the application; each job once at a time."""

    def __init__(self, work: SpanFactory) -> None:
        self._work = work
        self._tasks: TaskGroup | None = None
        self._started: set[str] = set()

    async def serve(self) -> None:
        """Run jobs until the application ends; cancel those that are running then."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            # Runs of an earlier lifespan that were cancelled before their first step.
            self._started.clear()
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    def admit(self, job: Job) -> JobRun:
        """
        Return a new run, for `run`.

        Raises:
            RequestRefused: 409 if the job is running.
        """
        if job.running or job.name in self._started:
            raise RequestRefused(409, "This job is running already.")
        # Until the first step of the run `job.running` is False.
        self._started.add(job.name)
        return JobRun()

    async def run(self, run: JobRun, job: Job, patience_s: float) -> None:
        """Run `job`; return when it has ended, or after `patience_s`."""
        if self._tasks is None:
            # The server has no lifespan: the run needs the task of the request.
            await self._execute(job, run)
            return
        self._tasks.start_soon(self._execute, job, run, name=f"divan_obs_asgi.rollover.{job.name}")
        with anyio.move_on_after(patience_s):
            await run.ended.wait()

    async def _execute(self, job: Job, run: JobRun) -> None:
        observed: Callable[[], Awaitable[object]] = self._work.background(job.run)
        result: Result = "cancelled"
        try:
            await observed()
            result = "ok"
        except Exception:
            # The job counts, logs and traces the error, as in each of its runs.
            result = "error"
        except BaseException as error:
            if must_propagate(error):
                raise
        finally:
            run.result = result
            self._started.discard(job.name)
            run.ended.set()


__all__ = ["JobRun", "JobRunner"]

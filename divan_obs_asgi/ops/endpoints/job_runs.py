"""Runs of jobs that an operator has started, beside the requests that asked for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from divan_obs_asgi.internal_errors import must_propagate
from divan_obs_asgi.jobs import Job, Result
from divan_obs_asgi.ops.responses import Refused
from divan_obs_asgi.tracing.spans.internal import WorkSpans


class Run:
    """
    One run.

    Attributes:
        result: None until it has ended.
    """

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.result: Result | None = None


class Runs:
    """Starts jobs, each of them once at a time, in the task group of the application's life."""

    def __init__(self, work: WorkSpans) -> None:
        self._work = work
        self._tasks: TaskGroup | None = None
        self._started: set[str] = set()

    async def serve(self) -> None:
        """Take runs until the application ends, and end them then."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            # What was to run when the life before ended, and did not come to its first step, does not run.
            self._started.clear()
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    def admit(self, job: Job) -> Run:
        """
        Return the run that is next to be carried out.

        Raises:
            Refused: 409 where the job runs already.
        """
        if job.running or job.name in self._started:
            raise Refused(409, "This job runs already.")
        # Between here and its first step nobody else sees that it runs.
        self._started.add(job.name)
        return Run()

    async def carry_out(self, run: Run, job: Job, patience_s: float) -> None:
        """Have `job` run; return when it has ended, or after `patience_s`."""
        if self._tasks is None:
            # A server without lifespan: there is only the request's own task to run it in.
            await self._execute(job, run)
            return
        self._tasks.start_soon(self._execute, job, run, name=f"divan_obs_asgi.rollover.{job.name}")
        with anyio.move_on_after(patience_s):
            await run.ended.wait()

    async def _execute(self, job: Job, run: Run) -> None:
        observed: Callable[[], Awaitable[object]] = self._work.background(job.run)
        result: Result = "cancelled"
        try:
            await observed()
            result = "ok"
        except Exception:
            # It is counted, logged and traced as that of every run.
            result = "error"
        except BaseException as error:
            if must_propagate(error):
                raise
        finally:
            run.result = result
            self._started.discard(job.name)
            run.ended.set()


__all__ = ["Run", "Runs"]

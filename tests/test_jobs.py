"""Jobs: what is recorded for each run, and how a job is found and run by its name."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.jobs import RESULTS, Jobs
from divan_obs_asgi.tracing.spans.internal import SpanFactory
from tests.logs.root_logger import root_logger_kept
from tests.stacks import BACKENDS, Observed, run_on
from tests.test_docs import blocks

SECRET = "hunter2"


class ObservedJobs(Observed):
    """An `Observability` with the metrics and log lines of its jobs."""

    def runs(self, name: str) -> dict[str, float]:
        return {result: self.value("divan_jobs_runs_total", name=name, result=result) for result in RESULTS}

    def job_lines(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["logger"] == "divan_obs_asgi.jobs"]


@pytest.fixture
def observed() -> Iterator[ObservedJobs]:
    with root_logger_kept():
        observed = ObservedJobs()
        observed.obs.log.install()
        yield observed


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_call_is_recorded(observed: ObservedJobs, backend: str) -> None:
    """Counted, timed and logged, on every event loop. Arguments and results are unchanged."""

    @observed.obs.job("lb_snapshot")
    async def snapshot(period: str, *, scope: str = "all") -> str:
        """Freeze the leaderboards."""
        await anyio.lowlevel.checkpoint()
        return f"{period}/{scope}"

    assert run_on(backend, snapshot, "day") == "day/all"
    assert inspect.iscoroutinefunction(snapshot)
    assert (snapshot.__name__, snapshot.__doc__) == ("snapshot", "Freeze the leaderboards.")
    assert list(inspect.signature(snapshot).parameters) == ["period", "scope"]
    assert observed.runs("lb_snapshot") == {"ok": 1.0, "error": 0.0, "cancelled": 0.0}
    assert observed.value("divan_jobs_duration_seconds_count", name="lb_snapshot") == 1
    (line,) = observed.job_lines()
    assert (line["level"], line["msg"]) == ("INFO", "job lb_snapshot: ok")
    assert (line["job"], line["result"]) == ("lb_snapshot", "ok")
    assert line["duration_ms"] >= 0


def test_a_plain_function_stays_plain(observed: ObservedJobs) -> None:
    """A call runs in the thread of its caller. `run` uses another thread, so the event loop is not blocked."""
    threads = []

    @observed.obs.job("thumbnails")
    def render(count: int) -> int:
        threads.append(threading.current_thread())
        return count

    job = observed.obs.jobs.get("thumbnails")
    assert job is not None
    assert render(3) == 3
    assert anyio.run(job.run, 4) == 4
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()
    assert observed.runs("thumbnails")["ok"] == 2


def test_a_failure_is_recorded_without_its_secret_and_raised(observed: ObservedJobs) -> None:
    """The caller gets the exception itself. Log and metrics get its type and its redacted text."""
    error = ValueError(f"password={SECRET}")

    @observed.obs.job("mails")
    def send() -> None:
        raise error

    with pytest.raises(ValueError, match=SECRET) as raised:
        send()
    assert raised.value is error
    assert observed.runs("mails") == {"ok": 0.0, "error": 1.0, "cancelled": 0.0}
    assert observed.value("divan_jobs_duration_seconds_count", name="mails") == 1
    assert observed.value("divan_jobs_last_success_timestamp_seconds", name="mails") == 0
    (line,) = observed.job_lines()
    assert (line["level"], line["result"], line["error"]["type"]) == ("ERROR", "error", "ValueError")
    assert "test_jobs.py" in line["error"]["traceback"]
    assert SECRET not in observed.stream.getvalue().decode()


def test_no_handler_of_the_application_gets_the_text_of_a_failure(
    observed: ObservedJobs, caplog: pytest.LogCaptureFixture
) -> None:
    """The line is redacted before it is logged, because other handlers write it as it is."""

    @observed.obs.job("mails")
    def send() -> None:
        raise ValueError(f"password={SECRET}")

    with pytest.raises(ValueError, match=SECRET):
        send()
    (record,) = [record for record in caplog.records if record.name == "divan_obs_asgi.jobs"]
    assert record.exc_info is None
    assert SECRET not in str(vars(record))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_run_is_not_an_error(observed: ObservedJobs, backend: str) -> None:
    """It is not a success either. The cancellation is raised."""
    started = anyio.Event()

    @observed.obs.job("sweep")
    async def sweep() -> None:
        started.set()
        await anyio.sleep_forever()

    async def cancel_it() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sweep)
            await started.wait()
            tasks.cancel_scope.cancel()

    run_on(backend, cancel_it)
    assert observed.runs("sweep") == {"ok": 0.0, "error": 0.0, "cancelled": 1.0}
    assert observed.value("divan_jobs_running", name="sweep") == 0
    assert observed.value("divan_jobs_last_success_timestamp_seconds", name="sweep") == 0
    assert [line["level"] for line in observed.job_lines()] == ["INFO"]


def test_a_running_job_is_visible(observed: ObservedJobs) -> None:
    """In the gauge and on the job, until the last of several calls has ended."""
    seen: list[tuple[bool, float]] = []

    @observed.obs.job("sweep")
    async def sweep(deeper: int) -> None:
        if deeper:
            await sweep(deeper - 1)
        job = observed.obs.jobs.get("sweep")
        assert job is not None
        seen.append((job.running, observed.value("divan_jobs_running", name="sweep")))

    job = observed.obs.jobs.get("sweep")
    assert job is not None
    assert not job.running
    anyio.run(job.run, 2)
    assert seen == [(True, 3.0), (True, 2.0), (True, 1.0)]
    assert not job.running


def test_series_start_at_zero_before_the_first_run(observed: ObservedJobs) -> None:
    """An alert on the first failure needs them."""

    @observed.obs.job("lb_snapshot")
    def snapshot() -> None: ...

    runs = observed.samples("divan_jobs_runs_total")
    assert runs == {(("name", "lb_snapshot"), ("result", result)): 0.0 for result in RESULTS}
    named = (("name", "lb_snapshot"),)
    for name in ("jobs_duration_seconds_count", "jobs_running", "jobs_last_success_timestamp_seconds"):
        assert observed.samples(f"divan_{name}") == {named: 0.0}


def test_the_time_of_the_last_success_is_exposed() -> None:
    """As Unix time. A later failure does not change it."""
    observed = Observed()
    bundle = observed.obs
    times = iter([1_700_000_000.0, 1_700_000_060.0])
    jobs = Jobs(bundle.metrics, bundle.work, bundle.redaction, bundle.faults, now=lambda: next(times))

    def snapshot(fail: bool) -> None:
        if fail:
            raise ValueError

    observe = jobs.register("lb_snapshot", snapshot)
    for fail in (False, False, True):
        with suppress(ValueError):
            observe(fail)
    assert observed.value("divan_jobs_last_success_timestamp_seconds", name="lb_snapshot") == 1_700_000_060.0


def test_jobs_are_found_by_name(observed: ObservedJobs) -> None:
    """In the order of registration; an unknown name returns None."""
    for name in ("second", "first"):
        observed.obs.job(name)(lambda: None)
    assert observed.obs.jobs.names() == ["second", "first"]
    assert observed.obs.jobs.get("third") is None


@pytest.mark.parametrize("name", ["", "LB", "lb-snapshot", "1st", "a" * 65, "lb snapshot", "lb\n", None, 7])
def test_an_invalid_name_is_a_start_up_error(observed: ObservedJobs, name: Any) -> None:
    """A job's name is a label value, and part of a path."""
    with pytest.raises(obs.ImproperlyConfigured, match=r"^Invalid job name .*, like 'lb_snapshot'\.$"):
        observed.obs.job(name)(lambda: None)
    assert observed.obs.jobs.names() == []


def test_a_name_is_unique(observed: ObservedJobs) -> None:
    """Two functions with one name would share a row of the dashboard."""
    observed.obs.job("sweep")(lambda: None)
    with pytest.raises(obs.ImproperlyConfigured, match="A job named 'sweep' is registered already"):
        observed.obs.job("sweep")(lambda: None)


def test_a_generator_function_is_rejected(observed: ObservedJobs) -> None:
    """Calling it runs nothing yet, so there is nothing to time. The name stays free."""

    def numbers() -> Any:
        yield 1

    with pytest.raises(TypeError, match="job got the generator function numbers"):
        observed.obs.job("numbers")(numbers)
    observed.obs.job("numbers")(lambda: None)


def test_switched_off_a_job_can_still_be_run() -> None:
    """With OBS_ENABLED=false the function is unchanged, and can be run by its name."""
    observed = Observed({"OBS_ENABLED": "false"})

    async def snapshot() -> str:
        return "done"

    assert observed.obs.job("lb_snapshot")(snapshot) is snapshot
    job = observed.obs.jobs.get("lb_snapshot")
    assert job is not None
    assert anyio.run(job.run) == "done"
    assert observed.samples("divan_jobs_runs_total") == {}


def test_an_internal_error_does_not_affect_the_job() -> None:
    """The job continues, and the error is counted."""
    observed = Observed()
    bundle = observed.obs

    def no_time() -> float:
        raise OSError

    jobs = Jobs(bundle.metrics, bundle.work, bundle.redaction, bundle.faults, now=no_time)
    assert jobs.register("sweep", lambda: "swept")() == "swept"
    assert observed.value("divan_obs_errors_total", component="jobs") == 1


class Broken:
    """A tracer whose spans cannot be begun, or not be ended."""

    def __init__(self, when: str) -> None:
        self.when = when

    @contextmanager
    def start_as_current_span(self, *_: object, **__: object) -> Iterator[Any]:
        if self.when == "begun":
            raise RuntimeError
        try:
            yield SimpleNamespace(is_recording=lambda: False)
        finally:
            if self.when == "ended":
                raise RuntimeError


@pytest.mark.parametrize("when", ["begun", "ended"])
def test_a_span_that_raises_does_not_affect_the_job(when: str) -> None:
    """A span processor of the application may raise. The job's result and exception are unchanged."""
    observed = Observed()
    bundle = observed.obs
    tracer: Any = Broken(when)
    work = SpanFactory(lambda: tracer, bundle.redaction)
    jobs = Jobs(bundle.metrics, work, bundle.redaction, bundle.faults)
    assert jobs.register("sweep", lambda: "swept")() == "swept"
    error = KeyError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as raised:
        jobs.register("fail", fail)()
    assert raised.value is error
    assert observed.value("divan_jobs_runs_total", name="sweep", result="ok") == 1
    assert observed.value("divan_jobs_runs_total", name="fail", result="error") == 1
    assert observed.value("divan_obs_errors_total", component="jobs") == 2


def test_the_documented_jobs_run() -> None:
    """The example of docs/jobs.md can be copied."""
    shown: dict[str, Any] = {"__name__": "shown"}
    for code in blocks("jobs.md", "python"):
        exec(code, shown)
    anyio.run(shown["roll_over"])
    shown["render"]()
    count = shown["observability"].metrics.registry.get_sample_value
    assert count("divan_jobs_runs_total", {"name": "lb_snapshot", "result": "ok"}) == 1
    assert count("divan_jobs_runs_total", {"name": "thumbnails", "result": "ok"}) == 1


def test_a_job_without_tracing_needs_no_tracer() -> None:
    """Jobs run without extras."""
    observed = Observed()
    work = SpanFactory(lambda: None, observed.obs.redaction)
    jobs = Jobs(observed.obs.metrics, work, observed.obs.redaction, observed.obs.faults)
    assert jobs.register("sweep", lambda: "swept")() == "swept"

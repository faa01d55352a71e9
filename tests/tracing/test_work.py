"""Spans for the application's own work: with a decorator, in a `with` block, in the background."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.background import BackgroundTasks
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.stacks import Observed
from tests.tracing.exported import Exported

SECRET = "hunter2"


class Traced:
    """An `Observability` with tracing, and its exported spans."""

    def __init__(self, **flags: str) -> None:
        self.exported = Exported()
        self.observed = Observed({"OBS_TRACING_ENABLED": "true", **flags}, span_exporter=self.exported)
        self.work = self.observed.obs.work

    def spans(self) -> dict[str, ReadableSpan]:
        self.observed.obs.flush()
        return {span.name: span for span in self.exported.spans}


def test_a_decorated_function_is_a_span() -> None:
    """The span has the name of the function or the given name. Plain and async functions return their result."""
    traced = Traced()

    @traced.work.traced
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @traced.work.traced("adding slowly", campus="north")
    async def add_later(a: int, b: int) -> int:
        return a + b

    assert add(1, b=2) == 3
    assert asyncio.run(add_later(3, 4)) == 7
    assert (add.__name__, add.__doc__) == ("add", "Add.")
    spans = traced.spans()
    assert set(spans) == {"add", "adding slowly"}
    assert dict(spans["adding slowly"].attributes or {}) == {"campus": "north"}


def test_spans_nest() -> None:
    """A span inside another one is its child."""
    traced = Traced()
    with traced.work.span("outer"), traced.work.span("inner") as inner:
        inner.set_attribute("n", 1)
    spans = traced.spans()
    assert spans["inner"].parent == spans["outer"].context
    assert dict(spans["inner"].attributes or {}) == {"n": 1}


def test_an_exception_is_recorded_without_its_secret_and_raised() -> None:
    """This also holds for a provider of the application, whose exporter does not redact."""
    exported = Exported()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    observed = Observed({"OBS_TRACING_ENABLED": "true"}, tracer_provider=provider)
    error = ValueError(f"password={SECRET}")
    with pytest.raises(ValueError, match=SECRET) as raised, observed.obs.work.span("work", token=SECRET):
        raise error
    assert raised.value is error
    (span,) = exported.spans
    (event,) = span.events
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert (event.attributes or {})["exception.type"] == "ValueError"
    assert "raise error" in str((event.attributes or {})["exception.stacktrace"])
    assert SECRET not in span.to_json()


def test_a_database_exception_is_recorded_without_its_message() -> None:
    """The message repeats values that no rule can recognize. The traceback is enough."""
    traced = Traced()

    @traced.work.traced("work")
    def store() -> None:
        try:
            raise sqlite3.IntegrityError("Key (name)=(planted) already exists")
        except sqlite3.IntegrityError as error:
            raise RuntimeError("planted: cannot store it") from error

    with pytest.raises(RuntimeError):
        store()
    span = traced.spans()["work"]
    (event,) = span.events
    assert (event.attributes or {})["exception.message"] == "[redacted:database]"
    assert "test_work.py" in str((event.attributes or {})["exception.stacktrace"])
    assert "planted" not in span.to_json()


def test_an_exception_without_a_readable_message_is_recorded() -> None:
    """An error in `__str__` does not replace the exception."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    traced = Traced()
    with pytest.raises(Broken), traced.work.span("work"):
        raise Broken
    assert traced.spans()["work"].status.status_code is StatusCode.ERROR


def test_cancellation_is_not_an_error() -> None:
    """It propagates, and the span has no error status."""
    traced = Traced()

    @traced.work.traced
    async def wait() -> None:
        await anyio.sleep_forever()

    async def cancel() -> None:
        with anyio.move_on_after(0.005) as cancelling:
            await wait()
        assert cancelling.cancelled_caught

    anyio.run(cancel)
    assert traced.spans()["wait"].status.status_code is StatusCode.UNSET


def test_a_generator_function_cannot_be_decorated() -> None:
    """Its body runs during the iteration, not during the call. The error message says what to do instead."""
    work = Traced().work

    def numbers() -> Any:
        yield 1

    async def letters() -> Any:
        yield "a"

    with pytest.raises(TypeError, match="traced got the generator function numbers; use span inside it"):
        work.traced(numbers)
    with pytest.raises(TypeError, match="generator function letters"):
        work.traced("name")(letters)


@pytest.mark.parametrize("kind", ["async", "sync", "partial"])
def test_background_work_has_its_own_trace_with_a_link_to_the_request(kind: str) -> None:
    """It does not count as latency of the request, and the request can be found from it."""
    traced = Traced()
    done: list[str] = []

    async def send_mail(to: str) -> None:
        done.append(to)

    def send_fax(to: str) -> None:
        done.append(to)

    work: Any = {"async": send_mail, "sync": send_fax, "partial": partial(send_mail)}[kind]

    async def invite(request: Request) -> Response:
        tasks = BackgroundTasks()
        tasks.add_task(traced.work.background(work, to="ada"))
        return PlainTextResponse("", background=tasks)

    stack = obs.build_stack(Starlette(routes=[Route("/invite", invite)]), traced.observed.obs)
    anyio.run(converse, stack, http_scope("/invite"))
    spans = traced.spans()
    (line,) = traced.observed.lines()
    request = spans["GET /invite"]
    background = spans["background " + ("send_fax" if kind == "sync" else "send_mail")]
    assert done == ["ada"]
    assert background.parent is None
    assert background.context is not None
    assert request.context is not None
    assert background.context.trace_id != request.context.trace_id
    assert [link.context.span_id for link in background.links] == [request.context.span_id]
    assert dict(background.attributes or {}) == {"divan.request_id": line["request_id"]}


def test_a_run_of_a_job_is_a_span() -> None:
    """Spans of the job's work are its children; a failure is recorded without its secret."""
    traced = Traced()

    @traced.observed.obs.job("mails")
    def send() -> None:
        with traced.work.span("inner"):
            raise ValueError(f"password={SECRET}")

    with pytest.raises(ValueError, match=SECRET):
        send()
    spans = traced.spans()
    assert spans["inner"].parent == spans["job mails"].context
    assert (spans["job mails"].attributes or {})["divan.job.name"] == "mails"
    assert spans["job mails"].status.status_code is StatusCode.ERROR
    assert SECRET not in spans["job mails"].to_json()

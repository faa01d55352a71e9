"""What a bundle has started ends with it: threads, exporters, and the bundle itself."""

from __future__ import annotations

import gc
import io
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, cast

import anyio
import pytest
from asgi_lifespan import LifespanManager
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S

# A port on which nobody listens: an exporter of our own, with a channel of its own.
EXPORTING = {
    "OBS_TRACING_ENABLED": "true",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "0.1",
    "OBS_TRACING_CLIENTS": "",
}
FLAGS = pytest.mark.parametrize("flags", [{"OBS_TRACING_ENABLED": "false"}, EXPORTING], ids=["plain", "tracing"])


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    with root_logger_kept():
        yield


def made(flags: dict[str, str], **arguments: Any) -> tuple[Any, obs.Observability]:
    async def hello(request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    bundle = obs.Observability.from_env(flags, log_stream=io.BytesIO(), **arguments)
    return obs.wrap(cast(Any, Starlette(routes=[Route("/", hello)])), bundle), bundle


async def live(app: Any) -> None:
    async with LifespanManager(app, startup_timeout=PATIENCE_S, shutdown_timeout=PATIENCE_S) as manager:
        assert (await converse(cast(Any, manager.app), http_scope())).status == 200


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("divan")]


def until_gone(what: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while what():
        assert time.monotonic() < deadline, f"still there: {what()}"
        gc.collect()
        time.sleep(0.01)


@FLAGS
def test_bundles_end_with_their_lifespans(flags: dict[str, str]) -> None:
    """As fixtures of a test suite make them; the last one still has the root logger."""
    before = ours()
    alive: list[weakref.ref[obs.Observability]] = []
    for _ in range(5):
        app, bundle = made(flags)
        anyio.run(live, app)
        alive.append(weakref.ref(bundle))
        del app, bundle
    until_gone(lambda: [one for one in alive[:-1] if one() is not None])
    until_gone(lambda: [name for name in ours() if name not in before])


@FLAGS
def test_bundles_without_lifespan_end_with_their_last_reference(flags: dict[str, str]) -> None:
    """Their threads too, which have written and exported by then."""
    before = ours()
    alive: list[weakref.ref[obs.Observability]] = []
    for _ in range(5):
        app, bundle = made(flags)
        assert anyio.run(converse, app, http_scope()).status == 200
        alive.append(weakref.ref(bundle))
        del app, bundle
    until_gone(lambda: [one for one in alive[:-1] if one() is not None])
    until_gone(lambda: [name for name in ours() if name not in before])


def test_a_bundle_may_be_started_again() -> None:
    """Lines and spans of the second lifespan are written and exported like those of the first."""
    exporter = InMemorySpanExporter()
    app, bundle = made({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ""}, span_exporter=exporter)
    for count in (1, 2):
        anyio.run(live, app)
        stream = bundle.log.sink._stream
        assert isinstance(stream, io.BytesIO)
        assert stream.getvalue().count(b'"route":"/"') == count
        assert len(exporter.get_finished_spans()) == count


def test_an_exporter_of_the_application_outlives_the_bundle() -> None:
    """A suite hands the same one to each of its bundles."""
    exporter = InMemorySpanExporter()
    for count in (1, 2, 3):
        app, bundle = made({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ""}, span_exporter=exporter)
        anyio.run(live, app)
        assert len(exporter.get_finished_spans()) == count
        del app, bundle
        gc.collect()

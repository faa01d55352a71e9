"""The console never breaks the service that it shows."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.from_thread
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import CONTRACT, Check
from divan_obs_asgi.types import ASGIApp
from tests.console.consoles import FLAGS, Watched
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, CORE, Observed, run_on


async def fine(request: Request) -> Response:
    obs.logger("shop").warning("a line")
    return PlainTextResponse("fine")


async def fails(request: Request) -> Response:
    raise LookupError("no such thing")


def application() -> Starlette:
    return Starlette(routes=[Route("/fine", fine), Route("/fails", fails)])


def broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("a part of the console")


# Each with how to break it.
PARTS: dict[str, Any] = {
    "requests": lambda console: vars(console.requests).update(sort=broken, add=broken),
    "finisher": lambda console: setattr(console.feed, "_extra", broken),
    "errors": lambda console: setattr(console.errors, "add", broken),
    "policy": lambda console: setattr(console.feed, "_policy", None),
    "routes": lambda console: setattr(console.routes, "add", broken),
    "series": lambda console: setattr(console.series, "add", broken),
    "changes": lambda console: setattr(console.changes, "_text", broken),
    "jobs": lambda console: setattr(console.changes, "_look_at_jobs", broken),
    "sockets": lambda console: setattr(console.sockets, "figures", broken),
    "socket rates": lambda console: setattr(console.sockets, "tick", broken),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_raises_changes_no_response(part: str) -> None:
    """It is counted, said in the monitoring of the page, and the page has everything else."""

    async def main() -> None:
        watched = Watched(application())
        await watched.get("/fine")
        PARTS[part](watched.console)
        watched.console._stepped = watched.console._ticked = float("-inf")
        watched.console._totals_before["exceptions"] = 0.0

        @watched.obs.probes.probe("late", fail_after=1)
        async def late() -> dict[str, object]:
            raise obs.ProbeFailed("refused")

        await watched.obs.probes.ask("ready")
        fine = await watched.get("/fine")
        failed = await watched.get("/fails")
        assert (fine.status, fine.body) == (200, b"fine")
        assert isinstance(failed.error, LookupError)
        if part == "policy":
            return  # It is used for bound fields only, of which there are none here.
        if part == "requests":
            # What fails in the rings fails in the answer too, and is a 500 to the operator.
            count = watched.obs.metrics.errors.labels("console")._value.get()
            assert count == 2
            return
        state = await watched.state()
        (row,) = [row for row in state["monitoring"] if row["id"] == "errors"]
        assert row["ok"] is False
        assert "console" in row["value"]
        assert row["cure"]
        assert state["service"]["name"]

    anyio.run(main)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_the_stack_keeps_the_contract_with_the_console_on(check: Check, backend: str) -> None:
    """On every event loop: messages, errors, scopes and contexts are as they were."""
    observed = Observed(FLAGS)

    def build(app: ASGIApp) -> ASGIApp:
        for factory in reversed(CORE):
            app = factory(app, observed.obs)
        return app

    run_on(backend, check, build)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_looks_at_the_service_while_that_runs(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a second, in a thread, until the service ends."""

    async def main() -> None:
        watched = Watched(application())
        console = watched.console
        noticed, look = anyio.Event(), console.changes.look

        def look_and_tell() -> None:
            look()
            if any(one.change["kind"] == "drain" for one in console.changes.kept):
                anyio.from_thread.run_sync(noticed.set)

        monkeypatch.setattr(console.changes, "look", look_and_tell)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(console.run)
            watched.obs.drain.start("maintenance")
            with anyio.fail_after(PATIENCE_S):
                await noticed.wait()
            tasks.cancel_scope.cancel()
        (change,) = [row for row in (await watched.state())["changes"] if row["kind"] == "drain"]
        assert (change["text"], change["ok"]) == ("draining (maintenance)", False)

    run_on(backend, main)

"""The contract of every middleware: alone and in every subset, on every event loop."""

from __future__ import annotations

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.stack.build import MiddlewareFactory
from divan_obs_asgi.testing import CONTRACT, Build, Check
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import BACKENDS, CORE, Observed, loops, run_on, subsets

FLAGS = {"OBS_ADMIN_TOKEN": "a test's token"}


@pytest.mark.slow
@pytest.mark.interpreter
@pytest.mark.parametrize(("factories", "backend"), loops(subsets(CORE)))
def test_every_subset_keeps_the_contract(factories: tuple[MiddlewareFactory, ...], backend: str) -> None:
    """Any middlewares, on any event loop, leave the application's messages, errors and scopes as they are."""
    observed = Observed(FLAGS)
    run_on(backend, keeps_the_contract, lambda app: wrapped(app, observed.obs, factories))


async def keeps_the_contract(build: Build) -> None:
    """Run every check, each in a task and so in a context of its own."""
    for check in CONTRACT:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, check, build)


async def run(check: Check, build: Build) -> None:
    await check(build)


def wrapped(app: ASGIApp, bundle: obs.Observability, factories: tuple[MiddlewareFactory, ...]) -> ASGIApp:
    for factory in reversed(factories):
        app = factory(app, bundle)
    return app


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_order_does_not_matter_to_the_contract(backend: str) -> None:
    """A settings list may name the middlewares in any order."""
    observed = Observed(FLAGS)
    for start in range(len(CORE)):
        rotated = CORE[start:] + CORE[:start]
        run_on(backend, keeps_the_contract, lambda app, order=rotated: wrapped(app, observed.obs, order))


def test_a_stack_with_everything_off_is_the_application() -> None:
    """Switched off means not there: no wrapper, no cost."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    switches = [flag.name for flag, default in obs.Settings.flags() if default is True and flag.name != "OBS_ENABLED"]
    off = obs.Observability.from_env(dict.fromkeys(switches, "false"))
    assert obs.build_stack(app, off) is app
    assert obs.build_stack(app, obs.Observability.from_env({"OBS_ENABLED": "false"})) is app

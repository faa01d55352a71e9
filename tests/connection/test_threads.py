"""Threads of the application's own log as part of the request that has started them."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.stacks import Observed

who: ContextVar[str] = ContextVar("who", default="nobody")
log = obs.logger("shop")


def name() -> str:
    return who.get()


class Shop:
    def owner(self, title: str = "") -> str:
        return title + who.get()

    def __call__(self) -> str:
        return who.get()


def in_thread(function: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.fixture(autouse=True)
def _ada() -> Iterator[None]:
    token = who.set("ada")
    yield
    who.reset(token)


@pytest.mark.parametrize(
    "function",
    [name, Shop().owner, Shop(), partial(name), lambda: who.get()],
    ids=["plain", "method", "object", "partial", "lambda"],
)
def test_a_callable_takes_its_context_along(function: Any) -> None:
    """Whatever kind of callable it is."""
    assert in_thread(function) == "nobody"
    assert in_thread(obs.carry(function)) == "ada"


def test_it_stays_the_callable_that_it_is() -> None:
    """Arguments, what it returns, what it raises, and its name."""
    carried = obs.carry(Shop().owner)
    assert carried(title="Dr. ") == "Dr. ada"
    assert carried.__name__ == "owner"
    with pytest.raises(ZeroDivisionError):
        in_thread(obs.carry(partial(divmod, 1, 0)))


def test_it_may_be_called_often_and_at_once() -> None:
    """A context can be entered once at a time; each call has a copy, and none sees what another one sets."""
    meeting = threading.Barrier(8)

    def rename() -> str:
        found = who.get()
        who.set("somebody else")
        meeting.wait(30)
        return found

    carried = obs.carry(rename)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            assert [future.result() for future in [pool.submit(carried) for _ in range(8)]] == ["ada"] * 8
    assert who.get() == "ada"


def test_it_may_call_itself() -> None:
    """Also by another thread, for which it is carried again."""

    def again(deep: int) -> str:
        return carried(deep - 1) if deep else who.get()

    carried = obs.carry(again)
    assert in_thread(partial(carried, 3)) == "ada"


async def coroutine() -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def stream() -> AsyncIterator[int]:
    yield 1


class Later:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize("function", [coroutine, generator, stream, partial(coroutine), Later()])
def test_what_runs_later_is_refused(function: Any) -> None:
    """Its body would run without the context, and nobody would notice."""
    with pytest.raises(TypeError, match="runs after the call has returned"):
        obs.carry(function)


def test_what_cannot_be_called_is_refused() -> None:
    """As `obs.carry(work())` is, where `obs.carry(work)` was meant."""
    with pytest.raises(TypeError, match="carry got NoneType; expected a callable"):
        obs.carry(None)  # type: ignore[arg-type]


def test_another_process_is_out_of_reach() -> None:
    """Said where it is tried."""
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        pickle.dumps(obs.carry(name))


def test_an_executor_does_it() -> None:
    """By `submit` and by `map`; the context is that of the call."""
    with obs.CarryingExecutor(2) as pool:
        first = pool.submit(name)
        assert list(pool.map(lambda title: title + who.get(), ["a ", "b "])) == ["a ada", "b ada"]
        who.set("grace")
        assert (first.result(), pool.submit(name).result()) == ("ada", "grace")


def test_lines_of_threads_belong_to_the_request() -> None:
    """With its id, and with its flight recorder where it fails: by hand, by the default executor, by `to_thread`."""

    def work(how: str) -> None:
        log.debug("%s worked", how)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, work, "nobody")
        with ThreadPoolExecutor(1) as pool:
            await loop.run_in_executor(pool, obs.carry(work), "by hand")
        thread = threading.Thread(target=obs.carry(work), args=("thread",))
        thread.start()
        thread.join()
        loop.set_default_executor(obs.CarryingExecutor(1))
        await loop.run_in_executor(None, work, "default")
        await asyncio.to_thread(work, "asyncio")
        await anyio.to_thread.run_sync(work, "anyio")
        raise LookupError

    with root_logger_kept():
        observed = Observed()
        observed.obs.log.install()
        anyio.run(converse, obs.build_stack(app, observed.obs), http_scope())
        *details, access = observed.lines()
    assert [line["msg"].split(" worked")[0] for line in details] == ["by hand", "thread", "default", "asyncio", "anyio"]
    assert {line["request_id"] for line in details} == {access["request_id"]} != {""}

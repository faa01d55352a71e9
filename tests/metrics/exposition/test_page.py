"""A scrape stalls nothing, and many scrapes cost no more than one."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from divan_obs_asgi.metrics import Format, Pages
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, run_on


class Rendering:
    """Renders numbered pages, and can wait for `go`."""

    def __init__(self) -> None:
        self.begun = 0
        self.pages = 0
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.go.set()
        self.now = 100.0
        self.spent = 0.0
        self.cost_s = 0.0
        self.rested: list[float] = []

    def __call__(self, form: Format) -> Iterator[bytes]:
        self.begun += 1
        self.go.wait(PATIENCE_S)
        self.pages += 1
        self.spent += self.cost_s
        self.threads.add(threading.get_ident())
        yield form.name.encode()
        yield b" %d" % self.pages

    def made(self) -> Pages:
        return Pages(self, clock=lambda: self.now, cost=lambda: self.spent, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Have time pass."""
        self.rested.append(round(seconds, 3))
        self.now += seconds


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_page_is_created_in_a_thread(backend: str) -> None:
    """The event loop goes on meanwhile."""
    rendering = Rendering()

    async def ask() -> None:
        rendering.go.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: pages.page(Format.TEXT, compressed=False))
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert rendering.pages == 0
            rendering.go.set()
        assert rendering.pages == 1

    pages = rendering.made()
    run_on(backend, ask)
    assert threading.get_ident() not in rendering.threads


@pytest.mark.parametrize("backend", BACKENDS)
def test_concurrent_requests_share_the_next_page(backend: str) -> None:
    """
    Fifty scrapers at once are two renderings: the first one's was begun before the others asked, and what has been
    counted since then, and exposed by another worker, would be missing in it.
    """
    rendering = Rendering()
    bodies: list[bytes] = []

    async def ask() -> None:
        bodies.append(await pages.page(Format.TEXT, compressed=False))

    async def all_of_them() -> None:
        rendering.go.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while not rendering.begun:  # noqa: ASYNC110 - a thread does what is waited for
                await anyio.sleep(0.001)
            rendering.now += 0.001
            for _ in range(49):
                tasks.start_soon(ask)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            rendering.now += 0.001
            rendering.go.set()
        rendering.now += 0.001
        await ask()

    pages = rendering.made()
    run_on(backend, all_of_them)
    assert bodies == [b"TEXT 1"] + [b"TEXT 2"] * 49 + [b"TEXT 3"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_page_is_created_while_all_threads_of_the_application_hang(backend: str) -> None:
    """Forty requests that wait for a database occupy all threads of anyio; an operator needs the page then."""
    pages, go = Rendering().made(), threading.Event()
    bodies: list[bytes] = []

    async def ask() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, go.wait, 30)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(10):
                bodies.append(await pages.page(Format.TEXT, compressed=False))
            go.set()

    run_on(backend, ask)
    assert bodies == [b"TEXT 1"]


def test_a_cheap_page_is_always_new() -> None:
    """It includes the most recent events."""
    rendering = Rendering()
    rendering.cost_s = 0.004
    pages = rendering.made()

    async def ask_twice() -> list[bytes]:
        first = await pages.page(Format.TEXT, compressed=False)
        rendering.now += 0.001
        return [first, await pages.page(Format.TEXT, compressed=False)]

    assert anyio.run(ask_twice) == [b"TEXT 1", b"TEXT 2"]


@pytest.mark.parametrize(("cost_s", "rests"), [(0.004, 0.0), (0.05, 0.2), (3.0, 1.0)])
def test_an_expensive_page_is_new_too(cost_s: float, rests: float) -> None:
    """
    Whoever asks right after it waits for a while, so that pages take a fifth of the time at most, and gets a new one.

    With an old page a counter would decrease, if another worker's page has exposed a larger count.
    """
    rendering = Rendering()
    rendering.cost_s = cost_s
    pages = rendering.made()
    bodies = []

    async def ask() -> None:
        for pause in (0.0, 0.001, 5.0):
            rendering.now += pause
            bodies.append(await pages.page(Format.TEXT, compressed=False))

    anyio.run(ask)
    assert bodies == [b"TEXT 1", b"TEXT 2", b"TEXT 3"]
    assert rendering.rested == [pytest.approx(max(0.0, rests - 0.001)), 0.0]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_failed_page_is_created_again(compressed: bool) -> None:
    """No client waits for a failed page, and no thread for the rest of it."""
    calls = []

    def slices(form: Format) -> list[bytes]:
        calls.append(form)
        if len(calls) == 1:
            raise RuntimeError("no")
        return [b"page"]

    pages = Pages(slices)

    async def ask() -> bytes:
        with pytest.raises(RuntimeError):
            await pages.page(Format.TEXT, compressed=compressed)
        return await pages.page(Format.TEXT, compressed=compressed)

    page = anyio.run(ask)
    assert (gzip.decompress(page) if compressed else page) == b"page"
    assert not [thread for thread in threading.enumerate() if thread.name == "divan_obs_asgi.gzip"]


def test_a_client_that_disconnects_does_not_affect_others() -> None:
    """The other client gets the page."""
    rendering = Rendering()
    pages = rendering.made()
    bodies: list[bytes] = []

    async def ask() -> None:
        bodies.append(await pages.page(Format.TEXT, compressed=False))

    async def ask_and_leave(leaving: anyio.CancelScope) -> None:
        with leaving:
            await pages.page(Format.TEXT, compressed=False)

    async def both() -> None:
        rendering.go.clear()
        leaving = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_and_leave, leaving)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(ask)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            leaving.cancel()
            rendering.go.set()

    anyio.run(both)
    assert bodies == [b"TEXT 1"]


def test_a_compressed_page_has_the_same_contents() -> None:
    """And the same bytes for the same series, without a time in them."""
    rendering = Rendering()
    pages = rendering.made()
    packed = anyio.run(lambda: pages.page(Format.TEXT, compressed=True))
    assert gzip.decompress(packed) == b"TEXT 1"
    assert packed[4:8] == bytes(4)


def test_a_compressed_page_has_all_its_parts() -> None:
    """However they come: thousands of them, small and large."""
    parts = [b"%d," % number * (number % 50) for number in range(5000)]
    pages = Pages(lambda form: iter(parts))
    packed = anyio.run(lambda: pages.page(Format.TEXT, compressed=True))
    assert gzip.decompress(packed) == b"".join(parts)

"""Stacks for tests: any set of middlewares, on any event loop, with everything that leaves them at hand."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Sequence
from itertools import combinations
from typing import Any, TypeVar

import anyio
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi import middlewares
from divan_obs_asgi.stack.build import MiddlewareFactory

CORE: tuple[MiddlewareFactory, ...] = (
    middlewares.ContextMiddleware,
    middlewares.RequestIdMiddleware,
    middlewares.RedactionMiddleware,
    middlewares.MetricsMiddleware,
    middlewares.AccessLogMiddleware,
    middlewares.OpsMiddleware,
)
T = TypeVar("T")

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def run_on(backend: str, function: Callable[..., Awaitable[T]], *args: object) -> T:
    """Run a coroutine function on one of `BACKENDS`."""
    name, options = BACKENDS[backend]
    return anyio.run(function, *args, backend=name, backend_options=options)


def subsets(factories: Sequence[MiddlewareFactory]) -> list[tuple[MiddlewareFactory, ...]]:
    """Return every set of middlewares that is not empty, each in its order."""
    return [chosen for size in range(1, len(factories) + 1) for chosen in combinations(factories, size)]


def pairs(factories: Sequence[MiddlewareFactory]) -> list[tuple[MiddlewareFactory, ...]]:
    """Return every set of one or two middlewares, and the set of all, each in its order."""
    return [chosen for chosen in subsets(factories) if len(chosen) in (1, 2, len(factories))]


def loops(sets: Sequence[tuple[MiddlewareFactory, ...]]) -> list[Any]:
    """
    Return parameters: each set of middlewares on asyncio and on trio, and some of them on uvloop too.

    Tasks and context variables under uvloop are asyncio's own, and no sockets are involved: the smallest sets and the
    largest one show that uvloop runs the middlewares.
    """
    most = max(map(len, sets))
    return [
        pytest.param(one, backend, id=f"{named(one)}-{backend}")
        for one in sets
        for backend in BACKENDS
        if backend != "uvloop" or len(one) in (1, most)
    ]


def named(factories: Sequence[Any]) -> str:
    return "+".join(factory.__name__.removesuffix("Middleware") for factory in factories)


class Observed:
    """An `Observability` whose log lines and series can be read."""

    def __init__(self, environ: dict[str, str] | None = None, **arguments: Any) -> None:
        self.stream = io.BytesIO()
        # No test patches client libraries for those after it, unless it says so and takes it back.
        # And every question to a probe is a check, whose outcome is told.
        at_once = {"HEALTH_INTERVAL_S": "0", "HEALTH_FAIL_AFTER": "1"}
        flags = {"OBS_TRACING_CLIENTS": "", **at_once, **(environ or {})}
        self.obs = obs.Observability.from_env(flags, log_stream=self.stream, **arguments)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines so far."""
        self.obs.log.sink.flush()
        return [orjson.loads(line) for line in self.stream.getvalue().splitlines()]

    def value(self, name: str, /, **labels: str) -> float:
        """Return the value of a sample, 0.0 where there is none."""
        return self.obs.metrics.registry.get_sample_value(name, labels) or 0.0

    def samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the samples of one name, by their labels."""
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in self.obs.metrics.registry.collect()
            for sample in family.samples
            if sample.name == name
        }

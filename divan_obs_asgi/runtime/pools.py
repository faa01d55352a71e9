"""Metrics of connection pools: connections in use and idle, the limit, and how long callers wait for a connection."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import NamedTuple

import anyio
from prometheus_client import Gauge

from divan_obs_asgi.clients.patches import patched
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.names import is_name
from divan_obs_asgi.runtime.pool_usage import PoolKind, Usage, pool_kind, summed

# How often a worker writes its values for the page of another worker.
INTERVAL_S = 1.0
STATES = ("in_use", "idle")

_EXPECTED = "an SQLAlchemy engine, databases.Database, an asyncpg pool, a redis-py client or a pool of psycopg_pool"


class PoolRegistry:
    """
    The connection pools of one service, by name: `observability.pools.register("main", engine)`.

    The pools of `SqlProbe` and `RedisProbe` get the names of the probes, unless the service registers them itself.

    Args:
        observing: False if the library is off: nothing is patched and nothing is exposed.
    """

    def __init__(self, metrics: Metrics, faults: InternalErrors, *, observing: bool = True) -> None:
        self._metrics = metrics
        self._faults = faults
        self._observing = observing
        self._pools: dict[str, ObservedPool] = {}
        self._of_probes: dict[str, object] = {}
        self._exposed: dict[Gauge, set[tuple[str, ...]]] = {}
        self._lock = Lock()
        self._stops: list[Callable[[], None]] = []
        if observing:
            # Weakly: the patched library refers to the metrics, and must not keep the bundle.
            present = weakref.WeakMethod(self.read)
            metrics.registry.before.append(lambda: (read := present()) and read())
            weakref.finalize(self, _call_all, self._stops).atexit = False

    def register(self, name: str, source: object) -> None:
        """
        Expose the pool of `source` under `name`. The series have the name as label `pool`.

        Args:
            source: an SQLAlchemy engine (sync or async), a `databases.Database` (PostgreSQL), an asyncpg pool, a
                redis-py client (sync or asyncio, also of a cluster), a pool of psycopg_pool, or the pool of an engine
                or a client. It need not be connected yet.

        Raises:
            ImproperlyConfigured: if the name is invalid or taken, if the pool has another name, or if `source` is of
                an unknown kind.
        """
        if not is_name(name):
            raise ImproperlyConfigured(
                f"Invalid pool name {name!r}; expected lower-case letters, digits and _, like 'main'."
            )
        kind = pool_kind(source)
        if kind is None:
            raise ImproperlyConfigured(f"Not a pool: {type(source).__name__}; expected {_EXPECTED}.")
        with self._lock:
            if name in self._pools:
                raise ImproperlyConfigured(f"A pool named {name!r} is registered already.")
            known = self._name_of(kind, source)
            if known is not None:
                raise ImproperlyConfigured(f"The pool {name!r} is registered already, as {known!r}.")
            self._add(name, kind, source)

    def register_probe(self, probe: object) -> None:
        """Expose the pool of the probe's source, if it has one, by the probe's name, from the next reading on."""
        source = getattr(probe, "pool_source", None)
        if source is not None and self._observing and pool_kind(source) is not None:
            self._of_probes[str(getattr(probe, "name", ""))] = source

    def names(self) -> list[str]:
        """Return the names of all pools, in the order of registration."""
        self._adopt()
        return list(self._pools)

    async def run(self) -> None:
        """Read once a second until cancelled. Another worker may be asked for the page."""
        while True:
            self.read()
            await anyio.sleep(INTERVAL_S)

    def read(self) -> None:
        """Expose the present state of each pool."""
        self._adopt()
        if not self._pools:
            return
        with self._lock:
            found: dict[Gauge, dict[tuple[str, ...], float]] = {}
            for name, pool in self._pools.items():
                try:
                    usage = pool.usage()
                except Exception as error:
                    self._faults.report("pools", error)
                    usage = None
                for gauge, labels, value in self._values(name, usage, pool.waiting):
                    found.setdefault(gauge, {})[labels] = value
            self._expose(found)

    def _adopt(self) -> None:
        """Register the pools of probes. What the service itself has registered by now keeps its name."""
        if not self._of_probes:
            return
        with self._lock:
            for name, source in self._of_probes.items():
                kind = pool_kind(source)
                if kind is not None and name not in self._pools and self._name_of(kind, source) is None:
                    self._add(name, kind, source)
            self._of_probes.clear()

    def _name_of(self, kind: PoolKind, source: object) -> str | None:
        pools = kind.pools(source)
        for name, pool in self._pools.items():
            if pool.source is source or any(map(pool.watches, pools)):
                return name
        return None

    def _add(self, name: str, kind: PoolKind, source: object) -> None:
        pool = self._pools[name] = ObservedPool(kind, source, name, self._metrics)
        if self._observing:
            library = patched(kind.library)
            library.watch(pool)
            self._stops.append(lambda: library.end_watching(pool))

    def _values(self, name: str, usage: Usage | None, waiting: int) -> list[_Value]:
        metrics = self._metrics
        values = [_Value(metrics.pool_waiting, (name,), waiting)]
        if usage is not None:
            values += [
                _Value(metrics.pool_connections, (name, state), count)
                for state, count in zip(STATES, (usage.in_use, usage.idle), strict=True)
            ]
            if usage.limit is not None:
                values.append(_Value(metrics.pool_limit, (name,), usage.limit))
        return values

    def _expose(self, found: Mapping[Gauge, Mapping[tuple[str, ...], float]]) -> None:
        for gauge in {**self._exposed, **found}:
            now = found.get(gauge, {})
            for labels, value in now.items():
                gauge.labels(*labels).set(value)
            for labels in self._exposed.get(gauge, set()) - now.keys():
                self._metrics.forget(gauge, *labels)
            self._exposed[gauge] = set(now)


class _Value(NamedTuple):
    gauge: Gauge
    labels: tuple[str, ...]
    value: float


class ObservedPool:
    """One pool, or those of a cluster's nodes, and the watcher of the attempts to get a connection from it."""

    def __init__(self, kind: PoolKind, source: object, name: str, metrics: Metrics) -> None:
        self._kind = kind
        self.source = source
        # Of all counters only this one can change in any thread, and in the collector's calls, without a lock.
        self._attempts: deque[None] = deque()
        self._wait = metrics.pool_wait.labels(name)
        self._exhausted = metrics.pool_exhausted.labels(name)

    @property
    def waiting(self) -> int:
        """The attempts in progress, including those for which a connection is being opened."""
        return len(self._attempts)

    def usage(self) -> Usage | None:
        """Return the connections of the pool, summed over the nodes of a cluster; None if they are unknown."""
        return summed(self._usages())

    def watches(self, pool: object) -> bool:
        # Asked at every attempt, where a generator would cost as much as the rest.
        for one in self._kind.pools(self.source):  # noqa: SIM110
            if one is pool:
                return True
        return False

    def begin(self) -> None:
        self._attempts.append(None)

    def end(self, seconds: float, error: BaseException | None) -> None:
        self._attempts.pop()
        self._wait.observe(seconds)
        if error is not None and self._is_full():
            self._exhausted.inc()

    def _is_full(self) -> bool:
        # The exception does not say it: asyncpg raises a TimeoutError, and `asyncio.timeout` cancels, also while the
        # pool opens a connection.
        try:
            return any(usage.is_full for usage in self._usages())
        except Exception:
            return False

    def _usages(self) -> list[Usage]:
        return [usage for usage in map(self._kind.usage, self._kind.pools(self.source)) if usage is not None]


def _call_all(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()


__all__ = ["INTERVAL_S", "STATES", "ObservedPool", "PoolRegistry"]

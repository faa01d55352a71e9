"""Whether the SQL database answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed, ProbeReason
from divan_obs_asgi.probes.base import Group

Scalar: TypeAlias = Callable[[str], Awaitable[Any]]

# SQLAlchemy's error, its adapter's, the driver's; more would be a circle.
_MAX_CAUSES = 8


class SqlProbe:
    """
    Readiness: `SELECT 1` within 300 ms (SPEC section 5).

    Args:
        source: a connected `databases.Database` (PostgreSQL, SQLite), an SQLAlchemy `AsyncEngine` or an
            asyncpg pool.
        name: "postgres" feeds `divan_postgres_up` and its latency.
    """

    def __init__(
        self,
        source: object,
        *,
        name: str = "postgres",
        timeout: float = 0.3,
        critical: bool = True,
        group: Group = "ready",
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.critical = critical
        self.group: Group = group
        self._scalar = scalar_reader(source)

    async def check(self) -> Mapping[str, object]:
        await read_scalar(self._scalar, "SELECT 1")
        return {}


def scalar_reader(source: object) -> Scalar:
    """
    Return a function that runs a query on `source` and returns the first column of the first row.

    Raises:
        ImproperlyConfigured: where `source` is none of the kinds known.
    """
    for method in ("fetch_val", "fetchval"):  # databases.Database, asyncpg.Pool
        read: Scalar | None = getattr(source, method, None)
        if read is not None:
            return read
    if hasattr(source, "connect") and hasattr(source, "sync_engine"):
        return _engine_reader(source)
    raise ImproperlyConfigured(
        f"{type(source).__name__} is no SQL source; expected databases.Database, AsyncEngine or an asyncpg pool."
    )


async def read_scalar(scalar: Scalar, query: str) -> Any:
    """
    Run `query`.

    Raises:
        ProbeFailed: in place of whatever the driver raises, whose text can hold the DSN.
    """
    try:
        return await scalar(query)
    except TimeoutError:
        raise ProbeFailed("timeout") from None
    except OSError:
        raise ProbeFailed("refused") from None
    except Exception as error:
        raise ProbeFailed(_reason(error)) from None


def _reason(error: BaseException) -> ProbeReason:
    for cause in _causes(error):
        state = str(getattr(cause, "sqlstate", ""))
        # SQLSTATE classes of ISO 9075 and PostgreSQL, appendix A: 28 invalid authorization; 08 connection
        # exception; 57 operator intervention (shutting down, starting up).
        if state.startswith("28"):
            return "auth"
        if state.startswith(("08", "57")) or isinstance(cause, OSError):
            return "refused"
        # asyncpg of a connection that has died, under the first name or, where it died in mid-air, the second.
        if type(cause).__name__ in ("InterfaceError", "InternalClientError"):
            return "refused"
    return "error"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it stands for: SQLAlchemy keeps the driver's as `orig`."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__


def _engine_reader(engine: Any) -> Scalar:
    from sqlalchemy import text

    async def read(query: str) -> Any:
        async with engine.connect() as connection:
            return (await connection.execute(text(query))).scalar()

    return read


__all__ = ["SqlProbe", "read_scalar", "scalar_reader"]

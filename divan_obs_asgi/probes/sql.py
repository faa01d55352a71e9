"""Probe: the SQL database responds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Unpack

from divan_obs_asgi.exceptions import ProbeFailed, ProbeReason
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dedicated import RENEW_S, DedicatedConnection
from divan_obs_asgi.probes.connections.sql import SqlConnection, connection_factory, database_name

# SQLAlchemy's error, its adapter's, the driver's. More of them means a loop.
_MAX_CAUSES = 8


class SqlProbe(NamedProbe):
    """
    Readiness: the database answers `SELECT 1` within 300 ms, on a dedicated connection.

    Args:
        source: a connected `databases.Database` (PostgreSQL, SQLite), an SQLAlchemy `AsyncEngine` or an
            asyncpg pool. The probe connects as it does, and uses none of its connections.
        name: default is the name of the database: "postgres", "sqlite", "mysql" or another; "sql" if it is unknown.
            The name "postgres" feeds `divan_postgres_up` and its latency.
        renew_s: seconds after which the connection is replaced, so that a changed password is noticed.
    """

    timeout = 0.3

    def __init__(
        self,
        source: object,
        *,
        name: str | None = None,
        renew_s: float = RENEW_S,
        **options: Unpack[Options],
    ) -> None:
        sql = DedicatedSqlClient(source, renew_s)
        super().__init__(database_name(source) if name is None else name, **options)
        self._sql = sql
        self.pool_source = source

    async def check(self) -> Mapping[str, object]:
        await self._sql.scalar("SELECT 1")
        return {}

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        await self._sql.aclose()


class DedicatedSqlClient:
    """
    Runs the queries of one probe on a dedicated connection.

    Raises:
        ImproperlyConfigured: if `source` is of an unknown kind.
    """

    def __init__(self, source: object, renew_s: float = RENEW_S) -> None:
        self._connection: DedicatedConnection[SqlConnection] = DedicatedConnection(
            connection_factory(source), renew_s, is_full=_is_full
        )

    async def scalar(self, query: str) -> object:
        """
        Return the first column of the first row.

        Raises:
            ProbeFailed: instead of the driver's exception, whose text can contain the DSN.
        """
        try:
            return await self._connection.use(lambda connection: connection.scalar(query))
        except ProbeFailed:
            raise
        except TimeoutError:
            raise ProbeFailed("timeout") from None
        except OSError:
            raise ProbeFailed("refused") from None
        except Exception as error:
            raise ProbeFailed(_reason(error)) from None

    async def aclose(self) -> None:
        await self._connection.aclose()


def _is_full(error: Exception) -> bool:
    # PostgreSQL, appendix A: too_many_connections, for the server or the role.
    return any(getattr(cause, "sqlstate", None) == "53300" for cause in _causes(error))


def _reason(error: BaseException) -> ProbeReason:
    for cause in _causes(error):
        state = str(getattr(cause, "sqlstate", ""))
        # SQLSTATE classes of ISO 9075 and PostgreSQL, appendix A: 28 invalid authorization; 08 connection
        # exception; 57 operator intervention (shutting down, starting up).
        if state.startswith("28"):
            return "auth"
        if state.startswith(("08", "57")) or isinstance(cause, OSError):
            return "refused"
        # asyncpg raises these for a lost connection; the second one if it was lost during a query.
        if type(cause).__name__ in ("InterfaceError", "InternalClientError"):
            return "refused"
    return "error"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and its causes. SQLAlchemy keeps the driver's exception as `orig`."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__


__all__ = ["DedicatedSqlClient", "SqlProbe"]

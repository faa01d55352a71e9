"""Whether the SQL database answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Unpack

from divan_obs_asgi.exceptions import ProbeFailed, ProbeReason
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dedicated import RENEW_S, DedicatedConnection
from divan_obs_asgi.probes.connections.sql import SqlLink, kind_of, link_maker

# SQLAlchemy's error, its adapter's, the driver's; more would be a circle.
_MAX_CAUSES = 8


class SqlProbe(NamedProbe):
    """
    Readiness: `SELECT 1` within 300 ms, on a connection of its own.

    Args:
        source: a connected `databases.Database` (PostgreSQL, SQLite), an SQLAlchemy `AsyncEngine` or an
            asyncpg pool. Its connections are not used; they show how to make one.
        name: default is the database's own: "postgres", "sqlite", "mysql" or another; "sql" where the source does not
            say. "postgres" feeds `divan_postgres_up` and its latency.
        renew_s: seconds after which the connection is made anew, so that a changed password is noticed.
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
        sql = Sql(source, renew_s)
        super().__init__(kind_of(source) if name is None else name, **options)
        self._sql = sql

    async def check(self) -> Mapping[str, object]:
        await self._sql.scalar("SELECT 1")
        return {}

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        await self._sql.aclose()


class Sql:
    """
    A source of SQL, asked on a connection of its own.

    Raises:
        ImproperlyConfigured: where `source` is none of the kinds known.
    """

    def __init__(self, source: object, renew_s: float = RENEW_S) -> None:
        self._own: DedicatedConnection[SqlLink] = DedicatedConnection(link_maker(source), renew_s, is_full=_is_full)

    async def scalar(self, query: str) -> object:
        """
        Return the first column of the first row.

        Raises:
            ProbeFailed: in place of whatever the driver raises, whose text can hold the DSN.
        """
        try:
            return await self._own.use(lambda link: link.scalar(query))
        except ProbeFailed:
            raise
        except TimeoutError:
            raise ProbeFailed("timeout") from None
        except OSError:
            raise ProbeFailed("refused") from None
        except Exception as error:
            raise ProbeFailed(_reason(error)) from None

    async def aclose(self) -> None:
        await self._own.aclose()


def _is_full(error: Exception) -> bool:
    # PostgreSQL, appendix A: too_many_connections, of the server or of the role.
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


__all__ = ["Sql", "SqlProbe"]

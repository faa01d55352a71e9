"""Whether the database's schema is new enough for this code."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import Group
from divan_obs_asgi.probes.own import RENEW_S
from divan_obs_asgi.probes.sql import Sql

# Where Alembic keeps what was applied last.
ALEMBIC = "SELECT version_num FROM alembic_version"


class MigrationsProbe:
    """
    Readiness: the applied migration is at least `minimum` (SPEC: `HEALTH_MIN_MIGRATION`).

    Args:
        source: as for `SqlProbe`.
        minimum: a version like "0008"; None accepts every version.
        query: its first column of the first row is the version that is applied.
    """

    def __init__(
        self,
        source: object,
        minimum: str | None,
        *,
        query: str = ALEMBIC,
        name: str = "migrations",
        timeout: float = 0.3,
        critical: bool = True,
        group: Group = "ready",
        renew_s: float = RENEW_S,
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.critical = critical
        self.group: Group = group
        self._minimum = minimum
        self._query = query
        self._sql = Sql(source, renew_s)

    async def check(self) -> Mapping[str, object]:
        applied = await self._sql.scalar(self._query)
        if applied is None:
            raise ProbeFailed("outdated", version=None)
        version = str(applied)
        if self._minimum is not None and not _reaches(version, self._minimum):
            raise ProbeFailed("outdated", version=version)
        return {"version": version}

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        await self._sql.aclose()


def _reaches(version: str, minimum: str) -> bool:
    """Compare by number, so that 0010 is after 0008 and 8 is 0008; other names compare as text."""
    if version.isdecimal() and minimum.isdecimal():
        return int(version) >= int(minimum)
    return version >= minimum


__all__ = ["ALEMBIC", "MigrationsProbe"]

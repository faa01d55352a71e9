"""Probe: the database's schema is new enough for this code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Unpack

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dedicated import RENEW_S
from divan_obs_asgi.probes.sql import DedicatedSqlClient

# Alembic keeps the last applied migration here.
ALEMBIC_QUERY = "SELECT version_num FROM alembic_version"
# yoyo keeps all applied migrations here. Its ids begin with a number or a date.
YOYO_QUERY = "SELECT max(migration_id) FROM _yoyo_migration"

# `0008`, `0008_read_marks` (Django), `20261125_01_xyz-rooms` (yoyo), `2026_11_24`; not `0008a4c1` (Alembic's hashes).
_VERSION = re.compile(r"[0-9]{1,20}(?:[._-][0-9]{1,20})*(?![0-9A-Za-z])")
_APP = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


def django_query(app: str) -> str:
    """
    Return the query for the newest migration of a Django app: `MigrationsProbe(..., query=django_query("chat"))`.

    Raises:
        ImproperlyConfigured: if `app` is not a valid app label.
    """
    if not _APP.fullmatch(app):
        raise ImproperlyConfigured(f"Invalid Django app label {app!r}; expected a label like 'chat'.")
    return f"SELECT max(name) FROM django_migrations WHERE app = '{app}'"


class MigrationsProbe(NamedProbe):
    """
    Readiness: the applied migration is `minimum` (`HEALTH_MIN_MIGRATION`) or a later one.

    Versions that begin with numbers compare by these numbers: 0010 is after 0008, and 8 equals 0008. Other ids, like
    Alembic's hashes, have no order: only `minimum` itself passes, unless `order` lists the later ones.

    Args:
        source: as for `SqlProbe`.
        minimum: a version like "0008"; None accepts every version.
        query: returns the applied version in the first column of the first row: `ALEMBIC_QUERY`, `YOYO_QUERY`,
            `django_query("app")` or your own.
        order: all ids that this code knows, oldest first. An id that is not in the list counts as newer, so that the
            old instances stay ready during a deployment.
        renew_s: as for `SqlProbe`.

    Raises:
        ImproperlyConfigured: if `minimum` is not in `order`.
    """

    timeout = 0.3

    def __init__(
        self,
        source: object,
        minimum: str | None,
        *,
        query: str = ALEMBIC_QUERY,
        order: Sequence[str] | None = None,
        name: str = "migrations",
        renew_s: float = RENEW_S,
        **options: Unpack[Options],
    ) -> None:
        if order is not None and minimum is not None and minimum not in order:
            raise ImproperlyConfigured(f"The minimum migration {minimum!r} is not in the order given.")
        super().__init__(name, **options)
        self._minimum = minimum
        self._query = query
        self._order = order
        self._sql = DedicatedSqlClient(source, renew_s)

    async def check(self) -> Mapping[str, object]:
        applied = await self._sql.scalar(self._query)
        if applied is None:
            raise ProbeFailed("outdated", version=None)
        version = str(applied)
        if self._minimum is not None and not _reaches(version, self._minimum, self._order):
            raise ProbeFailed("outdated", version=version)
        return {"version": version}

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        await self._sql.aclose()


def _reaches(applied: str, minimum: str, order: Sequence[str] | None) -> bool:
    if order is not None:
        return applied not in order or order.index(applied) >= order.index(minimum)
    versions = _numbers(applied), _numbers(minimum)
    if versions[0] is None or versions[1] is None:
        return applied == minimum
    return versions[0] >= versions[1]


def _numbers(version: str) -> tuple[int, ...] | None:
    found = _VERSION.match(version)
    return tuple(int(number) for number in re.split("[._-]", found[0])) if found else None


__all__ = ["ALEMBIC_QUERY", "YOYO_QUERY", "MigrationsProbe", "django_query"]

"""Calls of aiosqlite, and of what is built on it: SQLAlchemy and `databases` over aiosqlite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from divan_obs_asgi.clients.calls import Method, wrap_async, wrap_result
from divan_obs_asgi.clients.description import Description, Descriptions, Server
from divan_obs_asgi.clients.sql import argument, size_of

# The file is not named: its path can contain the names of people.
_SERVER = Server("sqlite")


def _statement(
    descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Description | None:
    return descriptions.statement(_SERVER, args[0] if args else kwargs["sql"])


def _script(descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Description:
    return descriptions.statement(_SERVER, argument(args, kwargs, 0, "sql_script"))


def _many(descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Description:
    sets = size_of(argument(args, kwargs, 1, "parameters"))
    return descriptions.statement(_SERVER, argument(args, kwargs, 0, "sql"), sets)


_CONNECTION, _CURSOR = "aiosqlite.core.Connection", "aiosqlite.cursor.Cursor"
METHODS = (
    *(
        Method(_CONNECTION, name, wrap_result, "sql", _statement)
        for name in ("execute", "execute_insert", "execute_fetchall")
    ),
    Method(_CONNECTION, "executemany", wrap_result, "sql", _many),
    Method(_CONNECTION, "executescript", wrap_result, "sql", _script),
    Method(_CURSOR, "execute", wrap_async, "sql", _statement),
    Method(_CURSOR, "executemany", wrap_async, "sql", _many),
    Method(_CURSOR, "executescript", wrap_async, "sql", _script),
    *(Method(_CURSOR, name, wrap_async, "sql") for name in ("fetchone", "fetchmany", "fetchall")),
    *(Method(_CONNECTION, name, wrap_async, "sql") for name in ("commit", "rollback")),
)

__all__ = ["METHODS"]

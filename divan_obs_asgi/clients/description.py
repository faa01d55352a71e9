"""Names and attributes of database and Redis spans, by OpenTelemetry's stable conventions, without any value."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.commands import UNKNOWN, redis_name, sql_name
from divan_obs_asgi.redaction.sql import without_literals

# Literals in statements make many of them: the cache is bounded in entries and in the length of each.
_REMEMBERED, _LENGTH = 1024, 4096
# Of a pipeline, and of a command.
_MAX_COMMANDS, _MAX_ARGUMENTS = 32, 32
_LONGEST_COMMAND = 64
# The table after FROM, INTO, JOIN and a leading UPDATE. It is not a function, nor part of `FROM a, b`.
_NAME = r"(?:\"[^\"]++\"|`[^`]++`|[A-Za-z_][\w$]*+)"
_PATH = rf"(?:ONLY\s+)?(?P<{{}}>{_NAME}(?:\.{_NAME})*+)"
_TABLE = re.compile(
    rf"(?:(?<!DISTINCT )\bFROM|\bJOIN)\s+{_PATH.format('read')}(?!\s*\()(?P<more>(?:\s+(?:AS\s+)?{_NAME})?\s*,)?"
    rf"|(?:\bINTO|\A\W*UPDATE)\s+{_PATH.format('written')}",
    re.IGNORECASE,
)
_SUBSELECT = re.compile(r"\b(?:FROM|JOIN)\s*\(|\bEXTRACT\s*\(|\bSUBSTRING\s*\(|\bTRIM\s*\(", re.IGNORECASE)
_ON_TABLES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
# The names of the conventions before they were stable.
_OLD_NAMES = {
    "db.system.name": "db.system",
    "db.namespace": "db.name",
    "db.operation.name": "db.operation",
    "db.query.text": "db.statement",
    "db.collection.name": "db.sql.table",
    "server.address": "net.peer.name",
    "server.port": "net.peer.port",
}


class Server(NamedTuple):
    """Which database a client is connected to; empty or None where that is unknown."""

    system: str
    namespace: str = ""
    address: str = ""
    port: int | None = None


class Description(NamedTuple):
    """
    What a call does.

    Attributes:
        name: the name of the span.
        attributes: shared by all calls that do the same, so it is never changed.
    """

    name: str
    attributes: dict[str, str | int]


class Descriptions:
    """
    Describes calls. A description that was made before costs one look-up.

    Args:
        redact: redacts a text.
        old_names: whether the old names are added (`OTEL_SEMCONV_STABILITY_OPT_IN=database/dup`).
        max_length: of an attribute; None for no limit.
        remembered: the most descriptions of each kind that are kept.
    """

    def __init__(
        self,
        redact: Callable[[str], str] | None = None,
        *,
        old_names: bool = False,
        max_length: int | None = None,
        remembered: int = _REMEMBERED,
    ) -> None:
        self.redact = RedactionPolicy().redact_text if redact is None else redact
        self._old_names = old_names
        self._max_length = max_length
        self._statement = lru_cache(remembered)(self._describe_statement)
        self._command = lru_cache(remembered)(self._describe_command)
        self._pipeline = lru_cache(remembered)(self._describe_pipeline)

    def statement(self, server: Server, statement: str, batch: int | None = None) -> Description:
        """
        Describe an SQL statement.

        Args:
            batch: the number of sets of parameters of `executemany`.
        """
        # A batch of one is a single operation (semantic conventions, `db.operation.batch.size`).
        is_batch = batch is not None and batch != 1
        if len(statement) > _LENGTH:
            found = self._describe_statement(server, statement, is_batch)
        else:
            found = self._statement(server, statement, is_batch)
        return _with_size(found, batch) if is_batch else found

    def command(self, server: Server, words: Sequence[object]) -> Description:
        """Describe a Redis command: its first word, and how many follow."""
        return self._command(server, _shape(words))

    def pipeline(self, server: Server, commands: Sequence[Sequence[object]]) -> Description:
        """Describe a pipeline by the names of its commands."""
        shapes = tuple(_shape(words) for words in commands[: _MAX_COMMANDS + 1])
        found = self._pipeline(server, shapes)
        return _with_size(found, len(commands)) if len(commands) != 1 else found

    def _describe_statement(self, server: Server, statement: str, is_batch: bool) -> Description:
        text = without_literals(statement)
        operation = sql_name((text.lstrip("( ").split(maxsplit=1) or [""])[0].rstrip(";"))
        table = self.redact(_table_of(operation, text))
        named = f"BATCH {operation}" if is_batch else operation
        place = f"{server.address}:{server.port}" if server.port else server.address
        target = table or self.redact(server.namespace or place)
        attributes = self._attributes(server, named, table, self.redact(text))
        return Description(f"{named} {target}".strip(), attributes)

    def _describe_command(self, server: Server, shape: tuple[str, int]) -> Description:
        # The number of the database is not part of the name (semantic conventions for Redis).
        name = redis_name(shape[0])
        return Description(name, self._attributes(server, name, "", _command_text(shape)))

    def _describe_pipeline(self, server: Server, shapes: tuple[tuple[str, int], ...]) -> Description:
        lines = [_command_text(shape) for shape in shapes[:_MAX_COMMANDS]]
        text = "\n".join(lines + ["..."] * (len(shapes) > _MAX_COMMANDS))
        return Description("PIPELINE", self._attributes(server, "PIPELINE", "", text))

    def _attributes(self, server: Server, operation: str, table: str, text: str) -> dict[str, str | int]:
        found: dict[str, str | int] = {"db.system.name": server.system, "db.operation.name": operation}
        for key, value in (
            ("db.namespace", self.redact(server.namespace)),
            ("db.collection.name", table),
            ("db.query.text", text[: self._max_length]),
            ("server.address", self.redact(server.address)),
        ):
            if value:
                found[key] = value
        if server.port:
            found["server.port"] = server.port
        if self._old_names:
            found |= {old: found[new] for new, old in _OLD_NAMES.items() if new in found}
        return found


def _with_size(found: Description, size: int | None) -> Description:
    return Description(found.name, {**found.attributes, "db.operation.batch.size": size or 0})


def _table_of(operation: str, text: str) -> str:
    """Return the only table of a statement without literals; empty if there are several, or it is not obvious."""
    if operation.upper() not in _ON_TABLES or _SUBSELECT.search(text):
        return ""
    found = list(_TABLE.finditer(text))
    tables = {match["read"] or match["written"] for match in found}
    return tables.pop() if len(tables) == 1 and not any(match["more"] for match in found) else ""


def _shape(words: Sequence[object]) -> tuple[str, int]:
    first = words[0] if words else ""
    if isinstance(first, bytes):
        first = first[:_LONGEST_COMMAND].decode("ascii", "replace")
    name = first if isinstance(first, str) and len(first) <= _LONGEST_COMMAND else UNKNOWN
    return name, min(len(words) - 1, _MAX_ARGUMENTS)


def _command_text(shape: tuple[str, int]) -> str:
    name, arguments = shape
    return " ".join([redis_name(name), *(UNKNOWN for _ in range(arguments))])


__all__ = ["Description", "Descriptions", "Server"]

"""Names the operation of a request, and marks it as failed, where its route and status do not show it: GraphQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from divan_obs_asgi.connection.record import Record, current_record
from divan_obs_asgi.exceptions import ImproperlyConfigured

COMPONENT = "operations"
# For a name or a reason that was not declared: a client may have chosen it.
UNKNOWN = "__unknown__"
# For a request with several operations: a batch.
SEVERAL = "__several__"
# Reasons that every service has.
REASONS = ("conflict", "denied", "dependency", "error", "invalid", "limit", "resolver", "timeout", "unavailable")
_TERM = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_.:-]{0,99}")


class Operations:
    """
    The closed sets from which `operation` and `fail` choose, so that no client can choose a label.

    Args:
        count: called with the finished record of each request that one of them was called for.
    """

    def __init__(self, count: Callable[[Record], None] | None = None) -> None:
        self._count = count
        self._names: frozenset[str] = frozenset()
        self._reasons = frozenset(REASONS)

    def declare(self, *names: str, reasons: Iterable[str] = ()) -> None:
        """
        Add names of operations, and reasons of failures beside `REASONS`.

        Raises:
            ImproperlyConfigured: for what is not 1 to 100 letters, digits or any of _ . : - or begins with `__`.
        """
        reasons = tuple(reasons)
        for term in (*names, *reasons):
            if not isinstance(term, str) or _TERM.fullmatch(term) is None:
                raise ImproperlyConfigured(
                    f"Operations.declare got {term!r}; expected 1 to 100 letters, digits or any of _ . : - and no "
                    "`__` at the beginning."
                )
        self._names |= frozenset(names)
        self._reasons |= frozenset(reasons)

    def name(self, record: Record, name: object) -> None:
        """Set the operation of a request in flight."""
        known = name if isinstance(name, str) and name in self._names else UNKNOWN
        if record.operation not in ("", known):
            known = SEVERAL
        record.operation = known
        self._note(record, "operation", known)

    def fail(self, record: Record, reason: object) -> None:
        """Mark a request in flight as failed; the first reason counts."""
        if not record.failure:
            record.failure = reason if isinstance(reason, str) and reason in self._reasons else UNKNOWN
            self._note(record, "failure", record.failure)

    def _note(self, record: Record, name: str, value: str) -> None:
        record.add_detail(name, value)
        if self._count is not None:
            record.add_finisher(COMPONENT, self._count)


def operation(name: str) -> None:
    """
    Set the operation of the current request: one of `observability.operations.declare(...)`, else `__unknown__`.

    It is in the access line, the span and `divan_operations_total`. Outside of a request nothing happens.
    """
    record = current_record.get()
    if record is not None and record.outcome is None:
        record.operations.name(record, name)


def fail(reason: str = "error") -> None:
    """
    Mark the current request or event as failed, whatever its status: its outcome is `error`.

    Args:
        reason: one of `REASONS`, or declared by `observability.operations.declare(reasons=...)`, else `__unknown__`.
            Not the text of an exception.
    """
    record = current_record.get()
    if record is not None and record.outcome is None:
        record.operations.fail(record, reason)


__all__ = ["REASONS", "SEVERAL", "UNKNOWN", "Operations", "fail", "operation"]

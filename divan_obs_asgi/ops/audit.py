"""The audit log: one line for each change that a request makes, and for each wrong token."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

import anyio

from divan_obs_asgi.ops.rate_limit import WINDOW_S
from divan_obs_asgi.types import Scope

AUDIT_LOGGER = "divan_obs_asgi.audit"
# Lines in a minute about clients that are not operators, all addresses together: anybody can cause them.
MAX_ANONYMOUS = 20

# Warnings are never sampled, and the logger's own level makes it independent of the levels of its parents.
_LEVEL = logging.WARNING
_logger = logging.getLogger(AUDIT_LOGGER)


class Audit:
    """
    Logs who has used an endpoint, and with which status the request ended.

    The address is logged whatever OBS_REDACT_IP says: it belongs to an operator, or to somebody who tries to be one.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window_start = -WINDOW_S
        self._anonymous = 0

    def used(self, scope: Scope, path: str, flag: str, outcome: str) -> None:
        """
        Log that an operator has used an endpoint. Each use has a line.

        Args:
            path: the template.
            flag: the name of the flag that contains the token of the request.
            outcome: the status of the response, or "failed".
        """
        self._write(scope, path, f"the holder of {flag}", outcome)

    def refused(self, scope: Scope, path: str, status: int) -> None:
        """Log that a client was refused; after `MAX_ANONYMOUS` lines in a minute the others are only counted."""
        self._anonymously(scope, path, "a refused client", str(status))

    def used_by_anybody(self, scope: Scope, path: str, outcome: str) -> None:
        """Log that an endpoint without a guard was used; within the same limit."""
        self._anonymously(scope, path, "an unauthenticated client", outcome)

    def used_without_effect(self, scope: Scope, path: str, header: str) -> None:
        """Log that a client has sent an invalid credential in a header, which was ignored; within the same limit."""
        self._anonymously(scope, path, "an unauthenticated client", f"invalid {header} ignored")

    def log_unlogged(self, *, now: bool = False) -> None:
        """Log how many requests had no line of their own, once their minute is over, or `now`."""
        unlogged = self._anonymous - MAX_ANONYMOUS
        if unlogged > 0 and (now or self._clock() - self._window_start >= WINDOW_S):
            self._anonymous = MAX_ANONYMOUS
            _enabled_logger().warning(
                "%d more requests within a minute have no lines: they were refused, or needed no token.", unlogged
            )

    async def run(self) -> None:
        """Log these numbers every minute until cancelled, and once more then."""
        try:
            while True:
                await anyio.sleep(WINDOW_S)
                self.log_unlogged()
        finally:
            self.log_unlogged(now=True)

    def _anonymously(self, scope: Scope, path: str, who: str, outcome: str) -> None:
        self.log_unlogged()
        if self._clock() - self._window_start >= WINDOW_S:
            self._window_start, self._anonymous = self._clock(), 0
        self._anonymous += 1
        if self._anonymous <= MAX_ANONYMOUS:
            self._write(scope, path, who, outcome)

    def _write(self, scope: Scope, path: str, who: str, outcome: str) -> None:
        address = client_address(scope)
        where = address if address is not None else "an unknown address"
        _enabled_logger().warning("%s %s: %s, for %s at %s.", _method(scope), path, outcome, who, where)


def client_address(scope: Scope) -> IPv4Address | IPv6Address | None:
    """Return the address that the server passes in the scope; None without one (a Unix socket)."""
    client = scope.get("client")
    try:
        address = ip_address(str(client[0]).partition("%")[0]) if client else None
    except (LookupError, TypeError, ValueError):
        # Not an address; or an iterator, which only the application may read.
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _enabled_logger() -> logging.Logger:
    _logger.setLevel(_LEVEL)
    # `logging.config` disables each logger that its configuration does not name (Alembic's env.py calls it).
    _logger.disabled = False
    return _logger


def _method(scope: Scope) -> str:
    """Return the method; an unknown path below /ops is audited for any method, and a client may invent one."""
    method: str = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "(other)"


__all__ = ["AUDIT_LOGGER", "MAX_ANONYMOUS", "Audit", "client_address"]

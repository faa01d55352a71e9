"""The audit log: a line for every use of what changes something, and for wrong tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

import anyio

from divan_obs_asgi.ops.rate_limit import WINDOW_S
from divan_obs_asgi.types import Scope

AUDIT_LOGGER = "divan_obs_asgi.audit"
# Refusals a minute that have a line of their own, of all addresses together: anybody can cause them.
MAX_REFUSALS = 20

# Warnings are never sampled, and with a level of its own the logger does not care for those above it.
_LEVEL = logging.WARNING
_logger = logging.getLogger(AUDIT_LOGGER)


class Audit:
    """
    Writes who used what, and how it went.

    The address is logged whatever OBS_REDACT_IP says: it is an operator's, or that of someone who would like to be one.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = -WINDOW_S
        self._refusals = 0

    def used(self, scope: Scope, path: str, by: str, outcome: str) -> None:
        """
        Write that somebody who was let in used something; there is a line for every use.

        Args:
            path: the template.
            by: the flag that holds the token.
            outcome: the status of the answer, or how it failed.
        """
        self._write(scope, path, f"the holder of {by}", outcome)

    def refused(self, scope: Scope, path: str, status: int) -> None:
        """Write that somebody was refused; of many in a minute the rest is counted, in one line after it."""
        self.tell_the_rest()
        if self._clock() - self._began >= WINDOW_S:
            self._began, self._refusals = self._clock(), 0
        self._refusals += 1
        if self._refusals <= MAX_REFUSALS:
            self._write(scope, path, "a stranger", str(status))

    def tell_the_rest(self, *, now: bool = False) -> None:
        """Write how many refusals had no line, once their minute is over, or `now`."""
        left_out = self._refusals - MAX_REFUSALS
        if left_out > 0 and (now or self._clock() - self._began >= WINDOW_S):
            self._refusals = MAX_REFUSALS
            _ready().warning("%d more requests were refused within a minute; they have no lines.", left_out)

    async def keep_telling(self) -> None:
        """Write that also where nobody is refused any more; until cancelled, and then once more."""
        try:
            while True:
                await anyio.sleep(WINDOW_S)
                self.tell_the_rest()
        finally:
            self.tell_the_rest(now=True)

    def _write(self, scope: Scope, path: str, who: str, outcome: str) -> None:
        address = client_address(scope)
        where = address if address is not None else "an unknown address"
        _ready().warning("%s %s: %s, for %s at %s.", _method(scope), path, outcome, who, where)


def client_address(scope: Scope) -> IPv4Address | IPv6Address | None:
    """Return the address that the server gives, None where it gives none (a Unix socket)."""
    client = scope.get("client")
    try:
        address = ip_address(str(client[0]).partition("%")[0]) if client else None
    except (LookupError, TypeError, ValueError):
        return None  # Or where it can be read only once, which is the application's to do.
    return getattr(address, "ipv4_mapped", None) or address


def _ready() -> logging.Logger:
    _logger.setLevel(_LEVEL)
    # `logging.config` does that to all loggers that its configuration does not name (Alembic's env.py calls it).
    _logger.disabled = False
    return _logger


def _method(scope: Scope) -> str:
    """Return the method; what there is at an unknown path below /ops answers to any, which a client may invent."""
    method: str = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "(other)"


__all__ = ["AUDIT_LOGGER", "MAX_REFUSALS", "Audit", "client_address"]

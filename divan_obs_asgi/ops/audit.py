"""The audit log: a line for every use of what changes something."""

from __future__ import annotations

import logging

from divan_obs_asgi.ops.guard import client_address
from divan_obs_asgi.types import Scope

AUDIT_LOGGER = "divan_obs_asgi.audit"

# Warnings are never sampled, and with a level of its own the logger does not care for those above it.
_LEVEL = logging.WARNING
_logger = logging.getLogger(AUDIT_LOGGER)


def audit(scope: Scope, path: str, by: str | None, outcome: str) -> None:
    """
    Write who used what, and how it went.

    The address is told whatever OBS_REDACT_IP says: it is an operator's, or that of someone who would like to be one.

    Args:
        path: the template.
        by: the flag that holds the token; None for a request that was refused.
        outcome: the status of the answer, or how it failed.
    """
    _logger.setLevel(_LEVEL)
    # `logging.config` does that to all loggers that its configuration does not name (Alembic's env.py calls it).
    _logger.disabled = False
    address = client_address(scope)
    _logger.warning(
        "%s %s: %s, for %s at %s.",
        scope["method"],
        path,
        outcome,
        f"the holder of {by}" if by is not None else "a stranger",
        address if address is not None else "an unknown address",
    )


__all__ = ["AUDIT_LOGGER", "audit"]

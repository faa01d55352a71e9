"""The error of `divan-obs assets`."""

from __future__ import annotations

from divan_obs_asgi.exceptions import ObservabilityError


class AssetsError(ObservabilityError):
    """A folder cannot be read or written; the message is one line with the path and the cause."""


__all__ = ["AssetsError"]

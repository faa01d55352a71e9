"""What goes wrong with a folder of exported files."""

from __future__ import annotations

from divan_obs_asgi.exceptions import ObservabilityError


class AssetsError(ObservabilityError):
    """The folder cannot be read or written; the message is one line that names the path and the cause."""


__all__ = ["AssetsError"]

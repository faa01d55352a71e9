"""An observed Socket.IO server; needs the extra `socketio`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from divan_obs_asgi.socketio_ext.server import ObservedAsyncServer

__all__ = ["ObservedAsyncServer"]


def __getattr__(name: str) -> object:
    """Import the server at its first use, so that the package can be imported without python-socketio."""
    if name != "ObservedAsyncServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from divan_obs_asgi.socketio_ext.server import ObservedAsyncServer
    except ModuleNotFoundError as error:
        if error.name != "socketio":
            raise
        raise ImportError(
            "ObservedAsyncServer needs python-socketio: pip install 'divan-obs-asgi[socketio]'."
        ) from None
    return ObservedAsyncServer

"""Finds the frameworks of an application, and imports the adapters of loaded frameworks only."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from types import ModuleType

from divan_obs_asgi.connection.routes.matched import UNMATCHED, Reader
from divan_obs_asgi.connection.routes.wrapped import applications_in, attribute

# The adapter by the module that every application of the framework loads. Channels comes last: it only names
# connections that no other framework has named.
_BY_MODULE = {
    "litestar": "litestar",
    "django.core.handlers.asgi": "django",
    "quart": "quart",
    "falcon.asgi": "falcon",
    "channels.routing": "channels",
}

_logger = logging.getLogger("divan_obs_asgi.routes")


def readers_of(app: object) -> tuple[Reader, ...]:
    """Make the loaded frameworks note their matches; return the readers of the frameworks in `app`."""
    loaded = [name for module, name in _BY_MODULE.items() if isinstance(sys.modules.get(module), ModuleType)]
    if not loaded:
        return ()
    applications = tuple(applications_in(app))
    readers = (_reader(name, applications) for name in loaded)
    return tuple(read for read in readers if read is not None)


def _reader(name: str, applications: tuple[object, ...]) -> Reader | None:
    try:
        read: Reader | None = import_module(f"divan_obs_asgi.connection.routes.{name}").reader(applications)
    except Exception:
        # An unknown version of the framework; the application is unaffected.
        _logger.warning("The routes of %s cannot be found: its requests are %s.", name, UNMATCHED, exc_info=True)
        return None
    return read


def routes_by_litestar(app: object) -> bool:
    """Return whether the first framework that a connection to `app` meets is Litestar."""
    litestar = sys.modules.get("litestar")
    if litestar is None:
        return False
    tables = (one for one in applications_in(app) if isinstance(attribute(one, "routes"), list))
    return isinstance(next(tables, None), litestar.Litestar)


__all__ = ["readers_of", "routes_by_litestar"]

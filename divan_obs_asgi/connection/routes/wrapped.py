"""The applications that an application is made of: below middlewares, dispatchers, mounts and functions."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType

# More than any service is made of; what is larger is a loop of objects that make each other.
_MOST = 512
# Starlette and most middlewares; Channels and Django's static files; Channels' middlewares; socketio.ASGIApp; Quart.
_ONE = ("app", "application", "inner", "other_asgi_app", "asgi_app", "wrapped_app", "_app", "__wrapped__")
# Channels' ProtocolTypeRouter; hypercorn's and Quart's DispatcherMiddleware.
_BY_NAME = ("application_mapping", "mounts")
# Starlette's routers, whose mounts have an application each; Channels' URLRouter, whose routes have a callback.
_ROUTES = "routes"


def applications_in(app: object) -> Iterator[object]:
    """
    Yield `app` and what it calls, as far as that can be seen, outer ones first.

    Of a function these are the callables in its closure and those of its module that it names: a dispatcher by the
    type of the scope is often written so.
    """
    seen = {id(app)}
    queue = deque([app])
    while queue:
        one = queue.popleft()
        yield one
        for other in _called_by(one):
            if id(other) not in seen and len(seen) < _MOST and callable(other):
                seen.add(id(other))
                queue.append(other)


def _called_by(app: object) -> Iterator[object]:
    if isinstance(app, type | ModuleType):
        return
    if isinstance(app, MethodType):
        yield app.__self__
    elif isinstance(app, functools.partial):
        yield from (app.func, *app.args, *app.keywords.values())
    elif isinstance(app, FunctionType):
        yield from _named_in(app)
    for name in _ONE:
        yield attribute(app, name)
    for name in _BY_NAME:
        several = attribute(app, name)
        if isinstance(several, Mapping):
            yield from several.values()
    routes = attribute(app, _ROUTES)
    if isinstance(routes, list):
        for route in routes:
            yield attribute(route, "app")
            yield attribute(route, "callback")


def _named_in(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # Not assigned yet.
            continue
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if not isinstance(value, type):
            yield value


def attribute(owner: object, name: str) -> object:
    """Return an attribute, or None where there is none or it cannot be read."""
    try:
        return getattr(owner, name, None)
    except Exception:  # A property or a proxy that has no value outside of a request.
        return None


__all__ = ["applications_in", "attribute"]

"""The application of `--app`, imported as uvicorn does it and never served."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

from divan_obs_asgi.checks.finding import CannotCheck
from divan_obs_asgi.connection.routes.wrapped import applications_in, attribute
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.stack.build import Stack
from divan_obs_asgi.stack.install import bundle_of

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class Target:
    """
    An application.

    Attributes:
        name: the name that was given, `module:attribute`.
        inner: the application inside the stack.
        obs: its bundle; None if it is not observed.
        parts: the applications that it consists of, and its middlewares as objects or classes.
    """

    name: str
    inner: object
    obs: Observability | None
    parts: tuple[object, ...]


@contextmanager
def loaded(name: str, *, is_factory: bool = False) -> Iterator[Target]:
    """
    Import an application from the current folder, and yield it.

    Args:
        is_factory: whether the name is a function that returns the application.

    Raises:
        CannotCheck: if it cannot be imported.
    """
    path, directory = list(sys.path), os.environ.get(_DIRECTORY)
    sys.path.insert(0, os.getcwd())
    try:
        # In the directory of the service, this process would count as one of its workers.
        with TemporaryDirectory() as folder:
            if directory is not None:
                os.environ[_DIRECTORY] = folder
            yield _target(name, _imported(name, is_factory=is_factory))
    finally:
        sys.path[:] = path
        if directory is not None:
            os.environ[_DIRECTORY] = directory


def _imported(name: str, *, is_factory: bool) -> object:
    module_name, _, attributes = name.partition(":")
    if not module_name or not attributes:
        raise CannotCheck(f"--app is {name!r}; expected module:attribute, like shop.main:app.")
    try:
        found: Any = reduce(getattr, attributes.split("."), import_module(module_name))
        return found() if is_factory else found
    except (ImportError, AttributeError, ImproperlyConfigured) as error:
        raise CannotCheck(f"{name} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        # The text of a foreign exception may contain a secret.
        raise CannotCheck(f"{name} cannot be imported: it raised {type(error).__name__}.") from error


def _target(name: str, app: object) -> Target:
    obs: Observability | None = None
    inner = app
    for one in applications_in(app):
        found = one.obs if isinstance(one, Stack) else bundle_of(one)
        if found is not None:
            obs, inner = found, one.app if isinstance(one, Stack) else one
            break
    return Target(name, inner, obs, tuple(_parts(inner)))


def _parts(app: object) -> Iterator[object]:
    for one in applications_in(app):
        yield one
        # Middlewares of Starlette and FastAPI, which are built at the first message, and of Litestar.
        for name in ("user_middleware", "middleware"):
            listed = attribute(one, name)
            if isinstance(listed, list | tuple):
                for entry in listed:
                    yield attribute(entry, "cls") or attribute(entry, "middleware") or entry


__all__ = ["Target", "loaded"]

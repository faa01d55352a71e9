"""Checks of workers, of their common directory, of proxies and of the middleware list."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding
from divan_obs_asgi.settings import DEFAULT_MIDDLEWARE

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
# WEB_CONCURRENCY is read by uvicorn and gunicorn; the others by one server each.
_NUMBERS = ("WEB_CONCURRENCY", "UVICORN_WORKERS", "GRANIAN_WORKERS")
_GUNICORN = re.compile(r"(?:^|\s)(?:-w\s*|--workers[=\s]\s*)([0-9]{1,4})(?:\s|$)")
_YES = ("1", "true", "yes", "on", "t", "y")
_COMMON_DIRECTORIES = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run", "/")


@check("obs.E020", "Several workers count separately: `PROMETHEUS_MULTIPROC_DIR` is not set.", docs="docs/workers.md")
def counted_apart(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.settings
    for name, number in _workers(deployment.environ):
        if settings.enabled and settings.metrics.enabled and settings.metrics.multiproc_dir is None:
            yield Finding(
                f"{name} starts {number} workers and {_DIRECTORY} is not set: each scrape shows only one of them.",
                f"Set {_DIRECTORY}=/run/{settings.service.name}/metrics, a directory for this service only.",
            )
            return


@check("obs.E021", "`PROMETHEUS_MULTIPROC_DIR` cannot be written.", docs="docs/workers.md")
def not_writable(deployment: Deployment) -> Iterator[Finding]:
    if deployment.settings.metrics.multiproc_dir is None:
        return
    path = Path(deployment.settings.metrics.multiproc_dir)
    # A missing directory is created at start-up.
    existing = next(one for one in (path, *path.parents) if one.exists())
    if not existing.is_dir():
        yield Finding(f"{_DIRECTORY}: {existing} is not a directory.", "Set it to a directory for this service only.")
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            f"{_DIRECTORY}: {existing} cannot be written by this user.",
            "Make the user of the service its owner, or run this check as that user.",
        )


@check("obs.W022", "`PROMETHEUS_MULTIPROC_DIR` is shared with other programs.", docs="docs/workers.md")
def shared(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.settings
    if settings.metrics.multiproc_dir is None:
        return
    path, hint = Path(settings.metrics.multiproc_dir), "Set it to a directory for this service only."
    if str(path) in _COMMON_DIRECTORIES:
        yield Finding(f"{_DIRECTORY} is {path}, which all programs use.", hint)
        return
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError:
        return
    # Files of prometheus_client, for metrics of other libraries, end in .db.
    foreign = [name for name in names if not name.startswith(settings.metrics.namespace) and not name.endswith(".db")]
    if foreign:
        yield Finding(f"{_DIRECTORY}: {path} contains files of other programs, {foreign[0]!r} for example.", hint)


@check("obs.W023", "The server trusts `X-Forwarded-For` from any client.", docs="docs/ops.md")
def trusts_every_proxy(deployment: Deployment) -> Iterator[Finding]:
    for name in ("FORWARDED_ALLOW_IPS", "UVICORN_FORWARDED_ALLOW_IPS"):
        if "*" in [part.strip() for part in deployment.environ.get(name, "").split(",")]:
            yield Finding(
                f"{name} is '*': a client can choose its address, for OBS_OPS_NETWORKS and the limit of wrong tokens.",
                "Set it to the addresses of your proxies, like 10.0.0.0/8.",
            )


@check("obs.E024", "`OBS_MIDDLEWARE` contains a middleware twice.", docs="docs/middleware.md")
def twice(deployment: Deployment) -> Iterator[Finding]:
    given = deployment.settings.middleware
    for path in dict.fromkeys(path for path in given if given.count(path) > 1):
        yield Finding(f"OBS_MIDDLEWARE contains {path} {given.count(path)} times.", "Keep one of them.")


@check(
    "obs.W025", "`OBS_MIDDLEWARE` lists our middlewares in another order than the default.", docs="docs/middleware.md"
)
def order(deployment: Deployment) -> Iterator[Finding]:
    yield from misplaced(deployment.settings.middleware, "OBS_MIDDLEWARE")


@check("obs.W026", "Requests of one connection share their context variables.", docs="docs/servers.md")
def shared_context(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.settings
    server_resets = deployment.environ.get("UVICORN_RESET_CONTEXTVARS", "").strip().lower() in _YES
    listed = any(path.endswith(".ContextMiddleware") for path in settings.middleware)
    if settings.enabled and not (settings.requests.context_enabled and listed) and not server_resets:
        why = (
            "OBS_MIDDLEWARE has no ContextMiddleware"
            if settings.requests.context_enabled
            else "OBS_CONTEXT_ENABLED is false"
        )
        yield Finding(
            f"{why}: a context variable that one request sets may still be set in the next request of the connection.",
            "Add it, or start uvicorn with UVICORN_RESET_CONTEXTVARS=true.",
        )


def misplaced(paths: tuple[str, ...], where: str) -> Iterator[Finding]:
    """Yield a finding for the first of our middlewares that is outside of one that must enclose it."""
    ours = [path for path in paths if path in DEFAULT_MIDDLEWARE]
    for outer, inner in pairwise(ours):
        if DEFAULT_MIDDLEWARE.index(outer) > DEFAULT_MIDDLEWARE.index(inner):
            outer, inner = outer.rpartition(".")[2], inner.rpartition(".")[2]
            yield Finding(
                f"{where}: {outer} is outside of {inner}, which does not see its responses and changes.",
                f"Put {inner} before {outer}, as in the default.",
            )
            return


def _workers(environ: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for name in _NUMBERS:
        if re.fullmatch(r"[0-9]{1,4}", environ.get(name, "").strip()) and int(environ[name]) > 1:
            yield name, int(environ[name])
    found = _GUNICORN.search(environ.get("GUNICORN_CMD_ARGS", ""))
    if found and int(found[1]) > 1:
        yield "GUNICORN_CMD_ARGS", int(found[1])


__all__ = [
    "counted_apart",
    "misplaced",
    "not_writable",
    "order",
    "shared",
    "shared_context",
    "trusts_every_proxy",
    "twice",
]

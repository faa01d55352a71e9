"""Routes of the application that cannot be reached, because an ops endpoint has their path."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import partial

from divan_obs_asgi.connection.routes import HttpPath, http_paths
from divan_obs_asgi.ops.application import OpsApplication

_LISTED = 10
_PARAMETER = re.compile(r"\{[^}]*\}")
_logger = logging.getLogger("divan_obs_asgi.ops")


def warn_of_shadowed_routes(app: object, ops: OpsApplication, *, has_own_port: bool) -> None:
    """Log one warning with the routes of `app` that an ops endpoint shadows, if its routes can be listed."""
    shadowed = shadowed_routes(app, ops, has_own_port=has_own_port)
    if not shadowed:
        return
    more = f" and {len(shadowed) - _LISTED} more" if len(shadowed) > _LISTED else ""
    _logger.warning(
        "The application's own %s%s cannot be reached: health, metrics and ops are served there. "
        "Set OBS_OPS_PREFIX, for example to /internal, to move them, or OBS_OPS_ENABLED=false to switch them off.",
        ", ".join(shadowed[:_LISTED]),
        more,
    )


def shadowed_routes(app: object, ops: OpsApplication, *, has_own_port: bool) -> list[str]:
    """Return the routes of `app` that an ops endpoint shadows on the port of the application."""

    def is_answered_here(path: str) -> bool:
        return ops.owns(path) and not (has_own_port and not ops.is_for_everybody(path))

    ours = [endpoint.path for endpoint in ops.endpoints if "{" not in endpoint.path and is_answered_here(endpoint.path)]
    is_shadowed = partial(_is_shadowed, is_answered_here=is_answered_here, ours=ours, prefix=ops.prefix)
    return sorted({path.template for path in http_paths(app) if is_shadowed(path)})


def _is_shadowed(path: HttpPath, is_answered_here: Callable[[str], bool], ours: Sequence[str], prefix: str) -> bool:
    # A fallback for unknown paths is not shadowed: `/{path:path}`, a mount at `/`, or one of them below our prefix.
    if not path.template.startswith(f"{prefix}/"):
        return False
    if _first_segment(path.template, prefix) not in {_first_segment(one, prefix) for one in ours}:
        return False
    pattern = _pattern(path)
    return is_answered_here(_PARAMETER.sub("x", path.template)) or any(pattern.fullmatch(one) for one in ours)


def _first_segment(path: str, prefix: str) -> str:
    return path.removeprefix(prefix).split("/")[1]


def _pattern(path: HttpPath) -> re.Pattern[str]:
    parts = _PARAMETER.split(path.template.rstrip("/"))
    wildcards = [".*" if "path" in found else "[^/]+" for found in _PARAMETER.findall(path.template)]
    pattern = "".join(re.escape(part) + wildcard for part, wildcard in zip(parts, [*wildcards, ""], strict=True))
    return re.compile(f"{pattern}(/.*)?" if path.takes_all_below else pattern)


__all__ = ["shadowed_routes", "warn_of_shadowed_routes"]

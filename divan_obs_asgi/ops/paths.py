"""The path of a request: below the root path, in its plain spelling, and as a lenient reader resolves it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from divan_obs_asgi.types import Scope

# A proxy, a server and a framework may decode a path one after the other.
_DECODERS = 3
# A lenient reader changes only paths that contain one of these.
_ODD = re.compile(r"//|/\.|[%;\\?#\s\x00-\x1f\x7f]|^[^/]")
_ENDS_A_PATH = re.compile(r"[?#\x00]")


def path_below_root(scope: Scope) -> str:
    """Return the path as the application sees it, whether or not a proxy has removed the root path."""
    path: str = scope.get("path", "")
    root: str = scope.get("root_path", "")
    if not root:
        return path
    root = root.rstrip("/")
    rest = _rest(path, root)
    if rest is not None:
        return rest
    if _ODD.search(path):
        # The rest, as a lenient reader finds it, with a segment that no path of an endpoint has.
        rest = _rest(resolved(path), root)
    return path if rest is None else f"/.{rest}"


def _rest(path: str, root: str) -> str | None:
    rest = path[len(root) :]
    return rest if path.startswith(root) and rest[:1] in ("", "/") else None


def is_plain(scope: Scope, path: str) -> bool:
    """Return whether the client sent `path` without escapes (`/%6detrics`), which hide it from a proxy's rule."""
    raw: bytes | None = scope.get("raw_path")
    return raw is None or raw.partition(b"?")[0].endswith(path.encode("utf-8", "surrogateescape"))


def resolved(path: str) -> str:
    """Return a path as a lenient reader resolves it: decoded, without empty segments, dot segments and parameters."""
    for _ in range(_DECODERS):
        path = unquote(path)
    path = _ENDS_A_PATH.split(path, maxsplit=1)[0]
    segments: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = segment.partition(";")[0].strip()
        if name == "..":
            del segments[-1:]
        elif name not in ("", "."):
            segments.append(name)
    return "/" + "/".join(segments)


__all__ = ["is_plain", "path_below_root", "resolved"]

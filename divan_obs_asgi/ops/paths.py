"""What a path means: below the root, in its one spelling, or in one that somebody else would read as that one."""

from __future__ import annotations

import re
from urllib.parse import unquote

from divan_obs_asgi.types import Scope

# Layers that decode, one after the other: a proxy, a server, a framework.
_DECODERS = 3
# One of these is in every path that a lenient reader changes.
_ODD = re.compile(r"//|/\.|[%;\\?#\s\x00-\x1f\x7f]|^[^/]")
_ENDS_A_PATH = re.compile(r"[?#\x00]")


def path_below_root(scope: Scope) -> str:
    """Return the path as the application sees it; a proxy that cut the root off is understood too."""
    path: str = scope.get("path", "")
    root: str = scope.get("root_path", "")
    if not root:
        return path
    root = root.rstrip("/")
    rest = _rest(path, root)
    if rest is not None:
        return rest
    if _ODD.search(path):
        # What a lenient reader finds below the root; with a part that no endpoint's own path has.
        rest = _rest(resolved(path), root)
    return path if rest is None else f"/.{rest}"


def _rest(path: str, root: str) -> str | None:
    rest = path[len(root) :]
    return rest if path.startswith(root) and rest[:1] in ("", "/") else None


def is_plain(scope: Scope, path: str) -> bool:
    """Tell whether the client spelled `path` so, and did not hide letters of it from a proxy's rule (`/%6detrics`)."""
    raw: bytes | None = scope.get("raw_path")
    return raw is None or raw.partition(b"?")[0].endswith(path.encode("utf-8", "surrogateescape"))


def resolved(path: str) -> str:
    """Return what a lenient reader makes of a path: decoded, without empty, dot and parameter parts."""
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

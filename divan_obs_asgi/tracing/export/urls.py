"""Redaction of URLs in spans: removes user info and query values. Works without the extra `tracing`."""

from __future__ import annotations

import re

_LENGTH = 2048
_USER_INFO = re.compile(r"(?<=//)[^/]*@")


def without_query(url: str) -> str:
    """Return a URL, or a path with a query, with the names of its parameters but without their values."""
    head, question, rest = url[:_LENGTH].partition("?")
    head = _USER_INFO.sub("", head.partition("#")[0])
    query = rest.partition("#")[0]
    return head + question + names_only(query) if query else head


def with_path(url: str, path: str) -> str:
    """Return a URL, or a path, with its path replaced by `path`, the template of the route."""
    scheme, slashes, rest = url[:_LENGTH].partition("://")
    if not slashes:
        return path
    host = _USER_INFO.sub("", scheme + slashes + re.split("[/?#]", rest, maxsplit=1)[0])
    return host + (path if path.startswith("/") else f"/{path}")


def names_only(query: str) -> str:
    """Return a query string with `?` for every value. A bare word may itself be a value (FastAPI passes `?a` so)."""
    parts = (part.partition("=") for part in query[:_LENGTH].split("&") if part)
    return "&".join(f"{name}=?" if value else "?" for name, _, value in parts)


__all__ = ["names_only", "with_path", "without_query"]

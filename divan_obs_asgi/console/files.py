"""The files of the page, read once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

# Everything from this origin, and nothing in line: a text that becomes markup by a mistake would still do nothing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
SHELL = "console.html"


class File(NamedTuple):
    """A file of the page; `etag` changes with its content (RFC 9110, section 8.8.3)."""

    body: bytes
    etag: str
    media_type: str


@cache
def console_files() -> Mapping[str, File]:
    """Return the files by name. What a client asks for is looked up here and never in the file system."""
    found = {}
    for path in files("divan_obs_asgi.console").joinpath("static").iterdir():
        kind = path.name.rpartition(".")[2]
        if kind in TYPES:
            body = path.read_bytes()
            found[path.name] = File(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', TYPES[kind])
    return found


__all__ = ["HEADERS", "POLICY", "SHELL", "TYPES", "File", "console_files"]

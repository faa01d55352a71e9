"""The health responses as an HTML page for people: no script, no external content, all text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any

import orjson

from divan_obs_asgi.ops.responses import NOT_STORED

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
    "table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}"
    ".fail{font-weight:bold}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS = {
    **NOT_STORED,
    "vary": "accept",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def page(title: str, content: Mapping[str, Any]) -> str:
    """Return `content`, the JSON response, as HTML."""
    checks = "".join(_row(name, check) for name, check in content.get("checks", {}).items())
    table = f"<table>\n<tr><th>Check<th>State<th>Details\n{checks}</table>\n" if checks else ""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}: {escape(content['status'])}</title>\n<style>{_STYLE}</style>\n"
        f'<h1>{escape(title)}: <span class="{escape(content["status"])}">{escape(content["status"])}</span></h1>\n'
        f"{table}</html>\n"
    )


def _row(name: str, check: Mapping[str, Any]) -> str:
    state = "ok" if check["ok"] else "fail"
    details = "<br>".join(f"{escape(key)}: {escape(_text(value))}" for key, value in check.items() if key != "ok")
    return f'<tr><td>{escape(name)}<td class="{state}">{state}<td>{details}\n'


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


__all__ = ["PAGE_HEADERS", "page"]

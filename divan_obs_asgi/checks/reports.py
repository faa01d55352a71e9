"""Formats findings for people, for programs, and as annotations of GitHub Actions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from divan_obs_asgi.checks.base import Check
from divan_obs_asgi.checks.finding import Finding

Found: TypeAlias = Sequence[tuple[Check, Finding]]


def as_text(found: Found, silenced: Mapping[str, str]) -> str:
    """Return a paragraph for each finding, and one line that counts them."""
    lines = []
    for check, finding in found:
        if check.id not in silenced:
            where = f"{finding.file}: " if finding.file else ""
            lines += [f"{check.id} {check.level}: {where}{finding.message}"]
            lines += [f"    hint: {finding.hint}", f"    docs: {check.docs}"]
    counted = [
        f"{number} {what.removesuffix('s') if number == 1 else what}"
        for what, number in _counts(found, silenced).items()
    ]
    lines.append(f"{', '.join(counted)}.")
    return "\n".join(lines) + "\n"


def as_json(found: Found, silenced: Mapping[str, str]) -> str:
    """Return one JSON object."""
    findings = [
        {
            "id": check.id,
            "level": check.level,
            "message": finding.message,
            "hint": finding.hint,
            "docs": check.docs,
            "file": finding.file or None,
            "silenced": silenced.get(check.id),
        }
        for check, finding in found
    ]
    return json.dumps({"findings": findings, **_counts(found, silenced)}, indent=2) + "\n"


def as_github(found: Found, silenced: Mapping[str, str]) -> str:
    """Return a workflow command for each finding."""
    lines = []
    for check, finding in found:
        if check.id not in silenced:
            file = f"file={_escaped(finding.file, ':,')}," if finding.file else ""
            text = _escaped(f"{finding.message}\n{finding.hint} ({check.docs})")
            lines.append(f"::{check.level} {file}title={check.id}::{text}\n")
    return "".join(lines)


def _escaped(text: str, also: str = "") -> str:
    # As actions/toolkit does: a line break would end the command.
    for letter in f"%\r\n{also}":
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _counts(found: Found, silenced: Mapping[str, str]) -> dict[str, int]:
    counts = {"errors": 0, "warnings": 0, "silenced": 0}
    for check, _ in found:
        counts["silenced" if check.id in silenced else f"{check.level}s"] += 1
    return counts


FORMS: Mapping[str, Callable[[Found, Mapping[str, str]], str]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
}

__all__ = ["FORMS", "Found"]

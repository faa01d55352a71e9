"""Writes a result into the documents: the table and the picture of docs/benchmarks.md, and the README's table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.served.plot import svg
from benchmarks.served.report import markdown, summary

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Path("docs", "pictures", "served.svg")


def between(text: str, name: str, new: str) -> str:
    """Return `text` with what stands between the marks `<!-- name: begin -->` and `<!-- name: end -->` replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    replaced, times = re.subn(
        rf"(?s)({re.escape(begin)}\n).*?({re.escape(end)})", lambda match: f"{match[1]}{new}\n{match[2]}", text
    )
    if times != 1:
        raise ValueError(f"Expected {begin} and {end} once, not {times} times.")
    return replaced


def write(result: dict[str, Any], root: Path = ROOT) -> None:
    """Write the result into the documents of a checkout."""
    (root / PICTURE).write_text(svg(result))
    for document, made in ((root / "docs" / "benchmarks.md", markdown(result)), (root / "README.md", summary(result))):
        document.write_text(between(document.read_text(), "served", made))


__all__ = ["between", "write"]

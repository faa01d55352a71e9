"""Reads the tables and the metrics of a page in docs/, so that tests can compare them with the code."""

from __future__ import annotations

import re
from pathlib import Path

from divan_obs_asgi.metrics import FAMILIES, NAMESPACE

DOCS = Path(__file__).resolve().parents[1] / "docs"
_SERIES = ("_bucket", "_sum", "_count")


class Page:
    """A page of docs/."""

    def __init__(self, name: str) -> None:
        self.text = (DOCS / name).read_text()
        #: The text with each line break and its indentation as one space.
        self.flowing = re.sub(r"\s+", " ", self.text)

    def table(self, *titles: str) -> list[dict[str, str]]:
        """Return the rows of the table whose first columns have these titles."""
        head, _, *lines = self.text[self.text.index(f"\n| {' | '.join(titles)} |") + 1 :].split("\n\n")[0].splitlines()
        return [dict(zip(_cells(head), _cells(line), strict=True)) for line in lines]

    def metrics(self) -> set[tuple[str, tuple[str, ...] | None]]:
        """Return the names and labels of this library's metrics on the page; None for a name without braces."""
        found = re.findall(rf"\b{NAMESPACE}_([a-z_]+)(?:{{([^}}]*)}})?", self.text.replace("divan_obs_asgi", ""))
        return {(name, _labels(labels) if labels else None) for name, labels in found}


def coded(cell: str) -> list[str]:
    """Return the texts in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def unknown_metrics(page: Page) -> set[tuple[str, tuple[str, ...] | None]]:
    """Return the metrics of a page that are not in the catalogue, or have other labels there."""
    declared = {family.name: family.labels for family in FAMILIES}
    unknown = set()
    for name, labels in page.metrics():
        family = next((name.removesuffix(end) for end in ("", *_SERIES) if name.removesuffix(end) in declared), None)
        if family is None or (labels is not None and not set(labels) <= {*declared[family], "le"}):
            unknown.add((name, labels))
    return unknown


def _labels(text: str) -> tuple[str, ...]:
    return tuple(label.partition("=")[0].strip() for label in text.split(","))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]

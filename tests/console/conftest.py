"""The browser that the tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.chromium import Browser

FILES = Path(__file__).with_name("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser for the visits of browser/visits.js; each has a context of its own."""
    with Browser(FILES / "visit.js", packages=FILES) as browser:
        yield browser

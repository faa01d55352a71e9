"""The reference backend, as it is started, has no fault that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.divan.__main__ import demo_environment
from tests.checks.asked import ids

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_reference_backend_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert ids("--app", "examples.divan.app:app", environ=demo_environment({})) == set()

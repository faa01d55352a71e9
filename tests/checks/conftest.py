"""What a test here has imported or set is gone with its process: applications are checked by the real command."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

BASE = "opentelemetry.instrumentation.instrumentor"


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    before = _process()
    yield
    after = _process()
    changed = [name for name, value in before.items() if after[name] != value]
    assert not changed, f"This test has changed {', '.join(changed)} of the test process; run it as a command."


def _process() -> dict[str, object]:
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    return {
        # pytest itself says in one which part of which test runs.
        "os.environ": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "sys.path": list(sys.path),
        "the root logger": (list(root.handlers), root.level),
        "uvicorn's access log": access.disabled,
        "the instrumented libraries": _instrumented(),
    }


def _instrumented() -> list[str]:
    """Return the instrumentors that have patched their library, if any was imported."""
    base = getattr(sys.modules.get(BASE), "BaseInstrumentor", None)
    kinds: list[Any] = [] if base is None else [base]
    for kind in kinds:  # which grows: httpx's has a class between
        kinds += kind.__subclasses__()
    return [kind.__name__ for kind in kinds if getattr(kind._instance, "_is_instrumented_by_opentelemetry", False)]

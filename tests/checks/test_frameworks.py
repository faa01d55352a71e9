"""Applications as their frameworks' tutorials write them, wrapped: nothing is found that is no fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import django
import fastapi
import litestar
import pytest
import quart
import socketio

from tests.checks.asked import reported
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

TUTORIALS = Path(__file__).parent / "tutorials"
FRAMEWORKS = [framework.__name__ for framework in (fastapi, django, litestar, quart, socketio)]
PROD = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": "b7e151628aed2a6abf7158809cf4f3c7"}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_tutorials_application_has_no_fault(name: str, tmp_path: Path) -> None:
    """Each in a process of its own: one has one configuration of Django."""
    if name == "django":
        made = [sys.executable, "-m", "django", "startproject", "mysite", "."]
        subprocess.run(made, cwd=tmp_path, timeout=PATIENCE_S, check=True)
    (tmp_path / "tutorial.py").write_text((TUTORIALS / f"{name}_app.py").read_text())
    assert reported("--deploy", "--app", "tutorial:app", cwd=tmp_path, environ=PROD) == []


def test_every_tutorial_is_checked() -> None:
    assert {file.stem for file in TUTORIALS.glob("*_app.py")} == {f"{name}_app" for name in FRAMEWORKS}

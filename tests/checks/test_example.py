"""The reference backend and every other example, as they are started: `divan-obs check` reports no finding."""

from __future__ import annotations

from pathlib import Path

import django  # noqa: F401
import litestar  # noqa: F401
import pytest

from examples.divan.__main__ import demo_environment
from tests.checks.asked import reported

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(file.parent.name for file in (ROOT / "examples").glob("*/app.py"))
SHOPS = sorted(file.stem for file in (ROOT / "examples").glob("*.py") if file.stem != "__init__")
PROD = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": "b7e151628aed2a6abf7158809cf4f3c7"}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("deploy", [False, True], ids=["make run", "deployed"])
def test_an_example_has_no_fault(name: str, deploy: bool) -> None:
    """Neither on a laptop, nor as it would be deployed."""
    given = PROD if deploy else {}
    environ = {**demo_environment(given), **given}
    arguments = ["--deploy"] if deploy else []
    assert reported(*arguments, "--app", f"examples.{name}.app:app", cwd=ROOT, environ=environ) == []


@pytest.mark.parametrize("name", SHOPS)
@pytest.mark.parametrize("deploy", [False, True], ids=["as its docstring says", "deployed"])
def test_a_small_example_has_no_fault(name: str, deploy: bool) -> None:
    """Neither on a laptop, nor as it would be deployed."""
    environ = PROD if deploy else {"OBS_ADMIN_TOKEN": "let-me-in"}
    arguments = ["--deploy"] if deploy else []
    assert reported(*arguments, "--app", f"{name}:app", cwd=ROOT / "examples", environ=environ) == []


def test_every_example_is_checked() -> None:
    assert {file.name for file in (ROOT / "examples").iterdir() if (file / "__init__.py").exists()} == set(EXAMPLES)

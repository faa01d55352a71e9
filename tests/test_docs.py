"""The documents say what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import anyio

import divan_obs_asgi as obs
from divan_obs_asgi.testing import CONTRACT

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_flags_is_the_declarations() -> None:
    """`python tools/flags_table.py` has been run since a flag was changed."""
    tool = runpy.run_path(str(ROOT / "tools" / "flags_table.py"))
    readme = (ROOT / "README.md").read_text()
    assert tool["written_into"](readme) == readme


def test_links_lead_somewhere() -> None:
    """Every relative link of a document names a file that is there."""
    broken = [
        f"{path.name}: {target}"
        for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
        for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_documented_middleware_keeps_the_contract() -> None:
    """What docs/middleware.md shows can be copied as it stands."""
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "middleware.md").read_text(), re.DOTALL)[0]
    shown: dict[str, type[obs.RecordMiddleware]] = {}
    exec(code, shown)
    bundle = obs.Observability.from_env({"OBS_ENV": "prod"})
    for check in CONTRACT:
        anyio.run(check, lambda app: shown["SlowRequestMiddleware"](app, bundle))


def test_the_map_has_a_row_for_everything_that_is_exposed() -> None:
    """Flags and metric families of the code stand in docs/spec-map.md or in the README."""
    told = (ROOT / "docs" / "spec-map.md").read_text() + (ROOT / "README.md").read_text()
    from divan_obs_asgi.metrics import FAMILIES

    missing = [family.name for family in FAMILIES if f"divan_{family.name}" not in told]
    assert missing == []

"""The commands and options in docs/assets.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from divan_obs_asgi.ops_assets.command import assets
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "assets.md").read_text()


def test_the_documented_commands_work(tmp_path: Path) -> None:
    """They run one after the other in a shell."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'job="shop"' in (tmp_path / "ops" / "prometheus" / "rules-phase8.yml").read_text()


def test_the_documented_options_exist() -> None:
    """All options are documented with their defaults."""
    rows = re.findall(r"^\| (`--.*?) \| (.*?) \|", TEXT, re.MULTILINE)
    documented = {name: default for names, default in rows for name in re.findall(r"`(--[\w-]+)`", names)}
    options = {option.opts[0]: option for option in assets.commands["export"].params if option.opts[0][:2] == "--"}
    assert set(documented) == set(options)
    for name, default in documented.items():
        if re.fullmatch(r"`\w+`|[\d.]+", default):
            shown = getattr(options[name], "help", "")
            assert re.search(rf"\[default: {re.escape(default.strip('`'))}(\.0)?\]", shown), name

"""The command, by each of its names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

SCRIPT = str(Path(sys.executable).with_name("divan-obs"))


def run(*command: str, given: str = "") -> tuple[int, str, str]:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "given", "status"),
    [
        (["--help"], "", 0),
        (["--version"], "", 0),
        (["metrics", "list"], "", 0),
        (["assets", "list"], "", 0),
        (["assets", "diff", "nowhere"], "", 2),
        (["redact"], "password=hunter2\n", 0),
        (["probe", "http://127.0.0.1:1/health/ready"], "", 1),
        (["probe", "no url"], "", 2),
        (["nonsense"], "", 2),
    ],
    ids=str,
)
def test_the_module_does_what_the_script_does(arguments: list[str], given: str, status: int) -> None:
    """`python -m divan_obs_asgi`, where scripts are not on the PATH: the same text, errors and exit status."""
    by_module = run(sys.executable, "-m", "divan_obs_asgi", *arguments, given=given)
    assert by_module == run(SCRIPT, *arguments, given=given)
    assert by_module[0] == status
    assert "hunter2" not in by_module[1]


def test_a_health_check_does_not_import_the_assets() -> None:
    """It starts a process every few seconds."""
    code = "import sys, divan_obs_asgi.cli; print([name for name in sys.modules if 'ops_assets' in name])"
    assert run(sys.executable, "-c", code) == (0, "[]\n", "")

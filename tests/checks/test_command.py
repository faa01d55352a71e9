"""The command: exit status, forms, silence, and checks of other packages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from divan_obs_asgi import ImproperlyConfigured
from divan_obs_asgi.checks import check
from divan_obs_asgi.checks.command import check_deployment
from divan_obs_asgi.checks.registry import own_checks
from tests.checks.asked import findings, ids, invoke, run
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
WEAK = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": "hunter2"}
GOOD = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": "b7e151628aed2a6abf7158809cf4f3c7"}


@pytest.mark.parametrize(("environ", "status"), [(WEAK, 1), (GOOD, 0)])
def test_the_status_says_whether_there_is_an_error(environ: dict[str, str], status: int) -> None:
    assert invoke(environ=environ).exit_code == status


def test_a_finding_says_what_to_do_and_where_to_read_on() -> None:
    """And never holds the secret."""
    output = invoke(environ=WEAK).stdout
    assert output.startswith("obs.E003 error: OBS_ADMIN_TOKEN has fewer than 16 characters")
    assert "\n    hint: Set a random one: openssl rand -hex 32.\n    docs: docs/ops.md\n" in output
    assert output.endswith("1 error, 0 warnings, 0 silenced.\n")
    assert "hunter2" not in output


def test_a_check_is_silenced_for_a_reason() -> None:
    """The reason stands in the report for programs."""
    assert invoke("--silence", "obs.E003=a demo", environ=WEAK).exit_code == 0
    result = invoke("--silence", "obs.E003=a demo", "--format", "json", environ=WEAK)
    assert json.loads(result.stdout)["findings"][0]["silenced"] == "a demo"


@pytest.mark.parametrize("silence", ["obs.E003", "obs.E003= ", "obs.E999=no such", ""])
def test_a_silence_without_a_reason_or_a_check_is_refused(silence: str) -> None:
    assert invoke("--silence", silence, environ=WEAK).exit_code == 2


def test_github_shows_an_annotation() -> None:
    """One command for each finding: a line break or a percent sign within would end or change it."""
    result = invoke("--format", "github", environ={"LOG_LEVEL": "50%\nloud"})
    (line,) = result.stdout.splitlines()
    assert line.startswith("::error title=obs.E001::LOG_LEVEL is '50%25\\nloud'; expected one of ")
    assert "%0A" in line


def test_every_check_has_a_page_and_a_sentence() -> None:
    for one in own_checks():
        assert (ROOT / one.docs).is_file(), one.id
        assert one.summary.endswith("."), one.id
    numbers = [one.id[-3:] for one in own_checks()]
    assert len(numbers) == len(set(numbers))


def test_an_id_has_a_form() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^The id of a check is 'shop.1'; expected one like obs.E001 or"):
        check("shop.1", "No.", docs="README.md")


OTHERS = """
from divan_obs_asgi.checks import Finding, check

@check("shop.E001", "The shop has no currency.", docs="https://wiki.example.com/currency")
def no_currency(deployment):
    if not deployment.environ.get("SHOP_CURRENCY"):
        yield Finding("SHOP_CURRENCY is not set.", "Set it.")
"""


def install(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a package that brings checks along."""
    (folder / "shop_checks.py").write_text(text)
    metadata = folder / "shop-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[divan_obs_asgi.checks]\nshop = shop_checks\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "shop_checks", raising=False)


def test_another_package_brings_its_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by an entry point, they are asked and silenced like all others."""
    install(tmp_path, OTHERS, monkeypatch)
    assert ids() == {"shop.E001"}
    assert ids(environ={"SHOP_CURRENCY": "EUR"}) == set()
    assert findings("--silence", "shop.E001=not here")[0]["silenced"] == "not here"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "The entry point shop_checks has no checks"),
        ("raise RuntimeError('hunter2')", "The checks of shop_checks cannot be loaded: RuntimeError."),
        (OTHERS.replace("shop.E001", "obs.E001"), "Two checks have the id obs.E001."),
        (OTHERS.replace("if not", "1 / 0\n    if not"), "The check shop.E001 raised ZeroDivisionError."),
    ],
)  # fmt: skip
def test_broken_checks_are_status_two(text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line that names them, and not what they had read."""
    install(tmp_path, text, monkeypatch)
    result = invoke()
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {told}")
    assert "hunter2" not in result.output


@pytest.mark.slow
def test_the_command_reads_the_environment_of_its_process(tmp_path: Path) -> None:
    """With no extra installed, too; what a health check starts has none of it loaded."""
    done = run(cwd=tmp_path, environ=WEAK)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("obs.E003 error: ")
    code = "import sys, divan_obs_asgi.cli; print([name for name in sys.modules if 'checks' in name])"
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert "divan_obs_asgi.checks" not in light.stdout


def test_the_documented_options_are_those_of_the_command() -> None:
    """docs/check.md lists each option once."""
    page = (ROOT / "docs" / "check.md").read_text()
    table = page.partition("| option |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `(--[a-z]+)", table, re.MULTILINE)
    assert sorted(listed) == sorted(option for parameter in check_deployment.params for option in parameter.opts)

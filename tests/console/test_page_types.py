"""The scripts of the page: the compiler finds nothing wrong with them, and they never make markup out of a text."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.console.fake_service import STATIC
from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program

# A compiler, which says the same on every interpreter.
pytestmark = pytest.mark.slow

FILES = Path(__file__).with_name("browser")
STRICT = ["--allowJs", "--checkJs", "--strict", "--noUncheckedIndexedAccess", "--noEmit", "--target", "esnext"]
MODULES = ["--module", "esnext", "--moduleResolution", "bundler", "--lib", "esnext,dom,dom.iterable"]
SCRIPTS = sorted(file.name for file in STATIC.iterdir() if file.name.endswith(".js"))
# What makes markup or code out of a text, keeps something in the browser, or asks somebody else.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\b"
    r"|new Function|localStorage|sessionStorage|indexedDB|cookie|EventSource|WebSocket\(|\.style\b"
    r"|https?://(?!www\.w3\.org/2000/svg)"
)


def test_the_types_are_sound() -> None:
    """Also where the service has left out a part of the state."""
    compiler = installed(FILES) / "typescript" / "bin" / "tsc"
    scripts = [str(STATIC / name) for name in SCRIPTS]
    command = [program("node", package="nodejs"), str(compiler), *STRICT, *MODULES, *scripts, str(FILES / "types.d.ts")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_no_markup(name: str) -> None:
    """Texts become text nodes only, and nothing stays in the browser."""
    code = re.sub(r"(?m)^\s*//.*$", "", (STATIC / name).read_text())
    assert FORBIDDEN.findall(code) == []


def test_the_shell_has_no_script_and_no_style_of_its_own() -> None:
    """It names its files by relative paths, so that it works below any prefix."""
    shell = (STATIC / "console.html").read_text()
    assert re.findall(r'(?:src|href)="([^"]*)"', shell) == ["console/console.css", "console/console.js"]
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\bsrc=)", shell)

"""What examples/divan/README.md shows happens, command by command."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import socketio  # noqa: F401

import examples.divan
from tests.patience import PATIENCE_S
from tests.servers.process import free_port

README = Path(examples.divan.__file__).with_name("README.md")
ROOT = README.parents[2]
BLOCKS = re.findall(r"^```(sh|text)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
# What differs from run to run.
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b|-0[0-3]\b"
    r"|(?<=_ms\":)[\d.]+|[\d.]+ ms|(?<=commit\":\")\w+"
)


def unchanging(text: str) -> str:
    # The database of a test has a name of its own.
    return CHANGING.sub("*", re.sub(r"\bdivan_[0-9a-f]{8}\b", "divan", text))


@pytest.mark.slow
def test_the_readme_can_be_followed(tmp_path: Path, real: dict[str, str]) -> None:
    """Its blocks run one after the other in one bash, as they stand there, and print what is shown below them."""
    collector = str(free_port())
    makefile = ROOT / "Makefile"
    if makefile.exists():  # In the test of the wheel it is elsewhere.
        assert "\n\t@exec $(BIN)/python -m examples.divan\n" in makefile.read_text()
    python = shlex.quote(sys.executable)
    (tmp_path / "make").write_text(f'#!/bin/sh\ntest "$*" = run && exec {python} -m examples.divan\n')
    (tmp_path / "make").chmod(0o755)
    script = "set -e\ntrap 'kill $(jobs -p) 2> /dev/null' EXIT\n"
    for number, (language, text) in enumerate(BLOCKS):
        if language == "sh":
            text = re.sub("REDIS_URL=.* DATABASE_URL=.*", "REDIS_URL=$REAL_REDIS DATABASE_URL=$REAL_DATABASE", text)
            text = text.replace("4317", collector).replace(".venv/bin/python", python)
            script += f"{text}\necho; echo '=== end of {number}'\n"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OBS_", "OTEL_", "LOG_"))}
    environ = {
        **kept,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "PORT": str(free_port()),
        "HOST": "127.0.0.1",
        "REAL_REDIS": real["REDIS_URL"],
        "REAL_DATABASE": real["DATABASE_URL"],
    }
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that what it has started ends with it
    ) as bash:
        try:
            printed, _ = bash.communicate(timeout=2 * PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(bash.pid, signal.SIGKILL)
            printed, _ = bash.communicate()
    log = (tmp_path / "divan.log").read_text() if (tmp_path / "divan.log").exists() else ""
    assert bash.returncode == 0, log + printed
    # Output that has no newline at its end is followed by the next one.
    outputs = re.split(r"\n?=== end of (\d+)\n", printed)
    by_block = dict(zip(map(int, outputs[1::2]), outputs[0::2], strict=False))
    for number, (language, text) in enumerate(BLOCKS):
        if language == "text":
            given = by_block[number - 1]
            missing = [line for line in unchanging(text).splitlines() if line not in unchanging(given)]
            assert missing == [], given
    spans = (tmp_path / "spans.txt").read_text()
    assert re.search(r"^POST /rooms/\{room\}/messages .*\n(  .*\n)*  INSERT .*\n(  .*\n)*  XADD ", spans, re.M), spans

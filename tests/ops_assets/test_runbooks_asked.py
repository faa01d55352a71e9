"""Each curl line of the runbooks runs in a shell against the reference backend."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.runbook import runbooks
from tests.example.service import started
from tests.ops_assets.pages import HEADINGS, Question, blocks, page
from tests.patience import PATIENCE_S
from tests.servers.otlp import OtlpReceiver
from tests.servers.process import program

TOKEN = "an-admin-token-for-tests"
PAGES = {Path(name).stem: page(text) for name, text in runbooks(Parameters()).items() if "README" not in name}
QUESTIONS = [
    pytest.param(question, id=f"{alert}-{number}")
    for alert, read in PAGES.items()
    for number, question in enumerate(read.questions, 1)
    if question.block.language == "sh"
]
ACTIONS = [
    pytest.param(block.code, id=alert)
    for alert, read in PAGES.items()
    for heading in HEADINGS
    if heading != "Three questions"
    for block in blocks(read.sections[heading])
]


class Shell:
    """A shell with the variables from the README of the runbooks."""

    def __init__(self, instance: str, folder: Path) -> None:
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "INSTANCE": instance,
            "OBS_ADMIN_TOKEN": TOKEN,
            "NAME": "lb_snapshot",
        }
        self._head = folder / "head"

    def run(self, command: str) -> tuple[int, str]:
        """Run a line, and return the status of the response and the output."""
        done = subprocess.run(
            ["sh", "-c", f"{command} -D {self._head}"],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return int(self._head.read_text().split()[1]), done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell that reaches a backend with a collector."""
    program("curl", package="curl")
    folder = tmp_path_factory.mktemp("runbooks")
    with OtlpReceiver() as collector:
        flags = {"OBS_ADMIN_TOKEN": TOKEN, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "NO_PROXY": "*"}
        with started(folder, **flags) as (_, printed):
            address = re.search(r"http://(\S+)", printed)
            assert address is not None, printed
            yield Shell(address[1], folder)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_curl_line_of_a_question_works(shell: Shell, question: Question) -> None:
    """It returns 200 and the names that the runbook mentions."""
    assert question.names, "It says nothing of what to look for."
    status, body = shell.run(question.block.code)
    # A check may time out on a busy machine: readiness answers 503 with the same names.
    assert status == 200 or (status == 503 and "/health/ready" in question.block.code), body
    words = set(words_of(body))
    assert set(question.names) <= words


@pytest.mark.slow
@pytest.mark.parametrize("command", ACTIONS)
def test_the_curl_line_of_an_action_works(shell: Shell, command: str) -> None:
    """Code blocks outside the questions work too."""
    status, body = shell.run(command)
    assert (status, json.loads(body)["result"]) in [(200, "ok"), (202, "running")]


def words_of(body: str) -> Iterator[str]:
    """Yield the keys and strings of a JSON response, or the family names of a metrics page."""
    if body.startswith("{"):
        yield from _within(json.JSONDecoder().raw_decode(body)[0])
    else:
        yield from re.findall(r"^# HELP (\w+)", body, re.MULTILINE)


def _within(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _within(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _within(inner)
    elif isinstance(value, str):
        yield value

"""Lines for people: at a developer's terminal, and nowhere else unless somebody wants them."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.logs.console import ConsoleForm, form_for
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.servers.command import Command, until
from tests.stacks import Observed

pytestmark = pytest.mark.slow

APP = r"""
import json, logging
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import divan_obs_asgi as obs

log = logging.getLogger("shop")

async def say(request):
    fields = {"room": "r 7", "password": "hunter2"}
    log.info("mail to %s\n12:00:00.000 ERROR forged", "ada@example.org", extra=fields)
    log.info("no \x1b[31mcolour")
    return PlainTextResponse("served")

async def fail(request):
    try:
        json.loads("{")
    except ValueError as error:
        raise LookupError("password=hunter2\n12:00:00.000 ERROR forged \x1b[31m") from error

app = Starlette(routes=[Route("/say", say), Route("/fail/{id}", fail)])
obs.init(app)
"""
HEAD = re.compile(r"\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) *[\w.]+  ")
COLOUR = re.compile(r"\x1b\[[0-9;]+m")
# What a terminal acts on, but for the end of a line.
ACTIVE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Terminal(Command):
    """A command whose output is a terminal."""

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        ours, its = pty.openpty()
        usual = {"LC_ALL": "C.UTF-8", "TERM": "xterm", "CI": "", "NO_COLOR": ""}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=its,
            text=True,
            cwd=self.directory,
            env={**os.environ, **usual, **self._env, **(env or {})},
            start_new_session=True,
        )
        os.close(its)
        process.stdout = os.fdopen(ours, encoding="utf-8", errors="replace", newline="\n")
        return process

    def _read_log(self, output: IO[str], ready: Any) -> None:
        with suppress(OSError):  # A closed terminal raises this.
            super()._read_log(output, ready)
        ready.set()
        self.ended.set()


def served(command: Command) -> list[str]:
    """Start it, ask it for a line and for a failure, end it; return what was written."""
    try:
        command.start()
        assert httpx.get(f"{command.url}/say", timeout=PATIENCE_S).text == "served"
        assert httpx.get(f"{command.url}/fail/7", timeout=PATIENCE_S).status_code == 500
        until(lambda: any("GET /fail/{id}" in line for line in list(command.log)), command)
        command.stop()
        assert command.ended.wait(PATIENCE_S)
        return list(command.log)
    finally:
        command.close()


def is_json(lines: list[str]) -> bool:
    return all("msg" in json.loads(line) for line in lines if line)


def lines_of_the_log(lines: list[str]) -> list[str]:
    """Return the lines that begin one; all others are of tracebacks, and indented."""
    assert all(HEAD.match(line) or line.startswith("    ") for line in lines if line), lines
    return [line for line in lines if HEAD.match(line)]


def test_a_developer_reads_lines_and_not_json() -> None:
    """On a terminal with OBS_ENV=dev: in colour, redacted as ever, and nothing in them acts on the terminal."""
    raw = served(Terminal(APP, "uvicorn", "app", env={"OBS_ENV": "dev"}))
    assert any(COLOUR.search(line) for line in raw)
    text = [COLOUR.sub("", line) for line in raw]
    assert not ACTIVE.search("\n".join(text))
    for secret in ("hunter2", "ada@example.org"):
        assert secret not in "\n".join(text)
    lines = lines_of_the_log(text)
    said, colourless = [line for line in lines if " shop " in line]
    expected = (
        r'INFO +shop  mail to \[redacted:email\]␊12:00:00\.000 ERROR forged route=/say room="r 7" '
        r"password=\[redacted:credential\] id=[0-9a-f]{8}$"
    )
    assert re.search(expected, said), said
    assert "no ␛[31mcolour" in colourless
    (access,) = [line for line in lines if "GET /say" in line]
    assert re.search(r"GET /say route=/say status=200 latency_ms=[\d.]+ outcome=ok id=[0-9a-f]{8}$", access), access


@pytest.mark.parametrize(
    "environ",
    [{"OBS_ENV": "dev", "NO_COLOR": "1"}, {"OBS_ENV": "dev", "TERM": "dumb"}, {"LOG_FORMAT": "console", "CI": "true"}],
    ids=str,
)
def test_colours_can_be_switched_off(environ: dict[str, str]) -> None:
    """By https://no-color.org, on a terminal that has none, or where a CI keeps the output."""
    lines = served(Terminal(APP, "uvicorn", "app", "--no-use-colors", env=environ))
    assert not ACTIVE.search("\n".join(lines))
    assert len(lines_of_the_log(lines)) >= 4


@pytest.mark.parametrize(
    "environ",
    [{}, {"OBS_ENV": "prod"}, {"OBS_ENV": "dev", "CI": "true"}, {"OBS_ENV": "dev", "LOG_FORMAT": "json"}],
    ids=str,
)
def test_elsewhere_a_terminal_gets_json(environ: dict[str, str]) -> None:
    """An orchestrator may give a service a terminal."""
    assert is_json(served(Terminal(APP, "uvicorn", "app", env=environ)))


def test_a_pipe_gets_json() -> None:
    """As `docker logs` reads it, in development too."""
    assert is_json(served(Command(APP, "uvicorn", "app", env={"OBS_ENV": "dev"})))


def test_a_pipe_gets_plain_lines_where_somebody_wants_them() -> None:
    """LOG_FORMAT=console holds everywhere; colours are for terminals."""
    lines = served(Command(APP, "uvicorn", "app", env={"LOG_FORMAT": "console", "LC_ALL": "C.UTF-8"}))
    assert not ACTIVE.search("\n".join(lines))
    assert len(lines_of_the_log(lines)) >= 4


class Stream:
    def __init__(self, terminal: bool) -> None:
        self.isatty = lambda: terminal


@pytest.mark.parametrize("wanted", ["auto", "json", "console"])
@pytest.mark.parametrize("terminal", [True, False, None])
@pytest.mark.parametrize("dev", [True, False])
@pytest.mark.parametrize("environ", [{}, {"CI": "1"}, {"NO_COLOR": "0"}, {"NO_COLOR": ""}, {"CI": "false"}], ids=str)
def test_the_chosen_form(wanted: str, terminal: bool | None, dev: bool, environ: dict[str, str]) -> None:
    """Every combination; a stream without `isatty` is not a terminal."""
    form = form_for(wanted, Stream(terminal) if terminal is not None else io.BytesIO(), environ, dev=dev)
    in_ci = environ.get("CI") == "1"
    console = wanted == "console" or (wanted == "auto" and bool(terminal) and dev and not in_ci)
    assert (form is not None) is console
    if form is not None:
        coloured = b"\x1b" in form(a_line("hello"))
        assert coloured is (bool(terminal) and not in_ci and environ.get("NO_COLOR") != "0")


def a_line(message: str, raised: BaseException | None = None, /, **extra: Any) -> bytes:
    """Return the JSON line that a message makes."""
    observed = Observed()
    record = logging.makeLogRecord({"name": "shop", "levelno": 20, "levelname": "INFO", "msg": message, **extra})
    record.exc_info = (type(raised), raised, raised.__traceback__) if raised is not None else None
    observed.obs.log.application(record)
    observed.obs.log.sink.flush()
    return observed.stream.getvalue()


@pytest.fixture
def plain() -> Iterator[ConsoleForm]:
    with root_logger_kept():
        yield ConsoleForm(colours=False)


def test_a_traceback_has_the_frames_of_the_application_first(plain: ConsoleForm) -> None:
    """Each kind in the order of the calls, exception by exception; a line of a text cannot pass for one of the log."""
    try:
        try:
            json.loads("{")
        except ValueError as error:
            raise LookupError("on purpose\n12:00:00.000 ERROR    shop  forged") from error
    except LookupError as error:
        lines = plain(a_line("failed", error)).decode().splitlines()
    assert HEAD.match(lines[0])
    assert all(line.startswith("    ") for line in lines[1:])
    kinds = [
        re.sub(r'.*File ".*?([\w]+\.py)".*', r"\1", line).strip() for line in lines[1:] if re.match("     *[A-Z]", line)
    ]
    assert kinds[:4] == ["Traceback (most recent call last):", "test_console.py", "In libraries:", "__init__.py"]
    assert lines[-1].strip() == "12:00:00.000 ERROR    shop  forged"


@pytest.mark.parametrize("name", ["error", "stack"])
@pytest.mark.parametrize("value", ["text", 3, {"a": 1}, ["b"]])
def test_no_field_is_lost(plain: ConsoleForm, name: str, value: Any) -> None:
    """Also one that the application calls as a line calls a traceback."""
    written = plain(a_line("hello", **{name: value})).decode()
    assert all(part in written for part in re.findall(r"\w+", orjson.dumps(value).decode()))


# Any character but lone surrogates; those that deceive come up more often.
TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\n\r\x1b\x9b\x85\u2028\u202e\u200b\t= \"'")))


@given(message=TEXTS, name=TEXTS, value=st.one_of(TEXTS, st.lists(TEXTS), st.dictionaries(TEXTS, TEXTS)))
def test_no_text_forges_a_line_or_a_colour(message: str, name: str, value: object) -> None:
    """Whatever a message or a field holds, it is one line; with colours, as many as without it."""
    fields = {"msg": message.replace("\n", ""), "logger": name, "level": name, name: value, "request_id": message}
    line = orjson.dumps({**orjson.loads(LINE), **fields, "ts": TIME, "error": None})
    written = ConsoleForm(colours=False)(line).decode()
    assert written.endswith("\n")
    assert written.count("\n") == 1
    assert not ACTIVE.search(written)
    coloured = ConsoleForm(colours=True)(line).decode()
    assert COLOUR.sub("", coloured) == written


TIME = "2026-11-30T02:04:28.387946Z"
LINE = b'{"ts":"","level":"INFO","msg":"","logger":"shop","sample_rate":1.0}\n'


@pytest.mark.parametrize("line", [b"no json\n", b"[]\n", b"{}\n", b'{"ts":1,"level":"INFO","msg":"","logger":""}\n'])
def test_a_line_of_another_form_stays_unchanged(plain: ConsoleForm, line: bytes) -> None:
    """Nothing is lost for its form's sake."""
    assert plain(line) == line

"""What is printed, as log lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from tests.servers.forked import ForkedPrograms

START = """
import contextlib, io, logging, os, subprocess, sys, threading, traceback, warnings
before = sys.stdout, sys.stderr
import divan_obs_asgi as obs

async def app(scope, receive, send): ...
app = obs.wrap(app, BUNDLE)
"""


class Run(Protocol):
    def __call__(
        self, program: str, *, bundle: str = "None", **flags: str
    ) -> tuple[list[dict[str, Any]], str, str]: ...


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run a program in a process of its own; return its lines, what else is on standard output, and standard error."""
    with ForkedPrograms("-W", "ignore::DeprecationWarning") as programs:

        def run(program: str, *, bundle: str = "None", **flags: str) -> tuple[list[dict[str, Any]], str, str]:
            done = programs.run(START.replace("BUNDLE", bundle) + program, {"LOG_PRINTS": "true", **flags})
            done.check_returncode()
            out = done.stdout.splitlines(keepends=True)
            lines = [json.loads(line) for line in out if line.startswith("{")]
            return lines, "".join(line for line in out if not line.startswith("{")), done.stderr

        yield run


@pytest.mark.slow
def test_a_print_is_a_line(run: Run) -> None:
    """Redacted, like any other."""
    lines, out, errors = run(
        "print('hello', 'ada@example.org'); print('sorry', file=sys.stderr); sys.stdout.writelines(['a\\n', 'b\\n'])"
    )
    assert [(line["msg"], line["level"], line["logger"]) for line in lines] == [
        ("hello [redacted:email]", "INFO", "stdout"),
        ("sorry", "WARNING", "stderr"),
        ("a", "INFO", "stdout"),
        ("b", "INFO", "stdout"),
    ]
    assert (out, errors) == ("", "")


@pytest.mark.slow
def test_without_the_flag_nothing_is_touched(run: Run) -> None:
    """The streams are the process's own."""
    lines, out, errors = run("assert before == (sys.stdout, sys.stderr); print('hello')", LOG_PRINTS="false")
    assert (lines, out, errors) == ([], "hello\n", "")


@pytest.mark.slow
def test_a_line_waits_for_its_end(run: Run) -> None:
    """However many calls it takes, for each thread by itself; the end of the process is an end."""
    lines, _, _ = run(
        "print('a', end='')\n"
        "thread = threading.Thread(target=lambda: print('other'))\n"
        "thread.start(); thread.join()\n"
        "print('b', end='', flush=True); print('c\\nd\\n\\ne', end='')"
    )
    assert [line["msg"] for line in lines] == ["other", "abc", "d", "e"]


@pytest.mark.slow
def test_a_line_without_an_end_is_written_in_pieces(run: Run) -> None:
    """A progress bar may never have one."""
    lines, _, _ = run("for _ in range(3): print('x' * 5000, end='')")
    assert len(lines) == 2


@pytest.mark.slow
def test_the_beginning_of_a_line_stays_in_the_parent(run: Run) -> None:
    """A forked child would write it once more."""
    lines, _, _ = run(
        "import multiprocessing\nprint('parent', end='')\n"
        "p = multiprocessing.get_context('fork').Process(target=print, args=('child',), kwargs={'end': ''})\n"
        "p.start(); p.join()"
    )
    assert [line["msg"] for line in lines] == ["child", "parent"]


def test_bytes_and_descriptors_are_left_alone(run: Run) -> None:
    """And so is what is redirected; the stream answers as before."""
    lines, out, errors = run(
        "sys.stdout.buffer.write(b'bytes\\n'); sys.stdout.flush()\n"
        "os.write(1, b'descriptor\\n')\n"
        "subprocess.run(['echo', 'command'], stdout=sys.stdout, check=True)\n"
        "with contextlib.redirect_stdout(io.StringIO()) as text: print('redirected')\n"
        "assert text.getvalue() == 'redirected\\n'\n"
        "assert (sys.stdout.fileno(), sys.stdout.isatty(), sys.stdout.encoding) == (1, False, before[0].encoding)\n"
        "try: sys.stdout.write(b'x')\n"
        "except TypeError: print('no bytes')"
    )
    assert (out, errors) == ("bytes\ndescriptor\ncommand\n", "")
    assert [line["msg"] for line in lines] == ["no bytes"]


@pytest.mark.slow
def test_a_traceback_that_is_printed(run: Run) -> None:
    """Each of its lines, redacted; none is on standard error."""
    lines, _, errors = run("try: raise LookupError('ada@example.org')\nexcept LookupError: traceback.print_exc()")
    assert lines[0]["msg"] == "Traceback (most recent call last):"
    assert lines[-1]["msg"] == "LookupError: [redacted:email]"
    assert errors == ""


@pytest.mark.slow
def test_a_handler_that_prints_does_not_go_in_a_circle(run: Run) -> None:
    """A `StreamHandler` at the root logger writes its copy once."""
    lines, _, _ = run(
        "logging.getLogger().addHandler(logging.StreamHandler(sys.stdout)); logging.getLogger('shop').warning('hello')"
    )
    assert sorted((line["msg"], line["logger"]) for line in lines) == [("hello", "shop"), ("hello", "stdout")]


@pytest.mark.slow
def test_a_rule_that_prints_does_not_go_in_a_circle(run: Run) -> None:
    """What is printed while a line is made is left out."""
    lines, _, errors = run(
        "class Loud:\n    def __str__(self):\n        print('within'); return 'loud'\n"
        "logging.getLogger('shop').warning('%s', Loud()); print(Loud())"
    )
    assert "loud" in [line["msg"] for line in lines]
    assert len(lines) <= 4
    assert errors == ""


@pytest.mark.slow
def test_a_stream_that_prints_does_not_go_in_a_circle(run: Run) -> None:
    """Each line that it writes would make another one."""
    lines, _, _ = run(
        "print('hello'); bundle.log.sink.flush(); bundle.log.sink.flush()\n"
        "assert bundle.metrics.registry.get_sample_value('divan_log_records_dropped_total', {'level': 'INFO'}) == 1.0",
        bundle="(bundle := obs.Observability.from_env(log_stream=type('Loud', (), {"
        "'write': lambda self, data: (print('written'), os.write(1, data)), 'flush': lambda self: None})()))",
    )
    assert [line["msg"] for line in lines] == ["hello"]


@pytest.mark.slow
def test_a_stream_without_bytes_does_not_go_in_a_circle(run: Run) -> None:
    """As under a test runner: standard output takes text only."""
    _, out, _ = run(
        "text = io.StringIO(); sys.stdout = text\nobs.wrap(app)\nprint('hello')\n"
        "from divan_obs_asgi.logs.sink import end_all\nend_all()\nsys.stdout = before[0]\n"
        'print(text.getvalue().count(\'"msg":"hello"\'))'
    )
    assert out == "1\n"


@pytest.mark.slow
@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_the_level_decides(run: Run, level: str) -> None:
    """As for other lines."""
    lines, _, _ = run("print('hello'); print('sorry', file=sys.stderr)", LOG_LEVEL=level)
    assert [line["msg"] for line in lines] == (["hello", "sorry"] if level == "INFO" else ["sorry"])


@pytest.mark.slow
def test_a_warning_needs_no_flag(run: Run) -> None:
    """It is a line of its own."""
    lines, _, errors = run("warnings.warn('ada@example.org')", LOG_PRINTS="false")
    assert [(line["logger"], line["level"]) for line in lines] == [("py.warnings", "WARNING")]
    assert "ada@" not in lines[0]["msg"]
    assert errors == ""

"""A stream of lines through the policy, and the command `divan-obs redact`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.cli.main import main
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.lines import MAX_LINE, redacted_lines
from divan_obs_asgi.testing import assert_no_secret
from divan_obs_asgi.testing.strategies import Planted, texts_with_a_secret

POLICY = RedactionPolicy()
TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"
KEY_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"


def redacted(text: str) -> str:
    return "".join(redacted_lines(text.splitlines(keepends=True), POLICY))


def command(*arguments: str, given: bytes = b"", **flags: str) -> Result:
    return CliRunner().invoke(main, ["redact", *arguments], input=given, env=flags)


# --- lines


def test_lines_stay_lines() -> None:
    """Each with its ending, the last one without."""
    text = f"one\r\ntwo {TOKEN}\n\n  three ada@mine.example\nfour"
    assert redacted(text) == "one\r\ntwo [redacted:github_token]\n\n  three [redacted:email]\nfour"


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\n-"), max_size=30), max_size=8))
def test_the_number_of_lines_stays(lines: list[str]) -> None:
    """Line 7 of the old log is line 7 of the new one."""
    text = "".join(f"{line}\n" for line in lines)
    assert redacted(text).count("\n") == len(lines)


@pytest.mark.slow
@given(st.lists(texts_with_a_secret(), min_size=1, max_size=4))
def test_no_secret_of_any_line_survives(planted: list[Planted]) -> None:
    """Whatever the other lines are."""
    text = "".join(f"{one.value}\n" for one in planted)
    assert_no_secret(redacted(text), [one.secret.text for one in planted])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9999, 9999) | st.sampled_from([TOKEN, "ada@mine.example", "plain"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["password", "email", "note", "lat", "a"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_json_lines_stay_json(value: object) -> None:
    """A collector can still read the log."""
    shown = redacted(json.dumps(value) + "\n")
    json.loads(shown)
    assert_no_secret(shown, [TOKEN, "ada@mine.example"])


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 12.5, 7, "plain7", [{"b": ["c"]}], -1])
def test_a_value_in_a_json_line_is_one_secret(value: object) -> None:
    """Text, number, list or object: a marker in its place, and the rest of the line."""
    shown = json.loads(redacted(json.dumps({"n": 1, "password": value, "z": [2]})))
    assert shown == {"n": 1, "password": "[redacted:credential]", "z": [2]}


def test_a_long_line_is_not_cut() -> None:
    """An old log is to be cleaned, not shortened."""
    text = "a b c " * 20_000
    assert redacted(f"{text}{TOKEN}\n") == f"{text}[redacted:github_token]\n"


def test_a_private_key_over_several_lines_is_one_secret() -> None:
    """Its lines do not look like secrets."""
    text = f"before\nkey: {BEGIN}\n{KEY_LINE}\n{KEY_LINE}\nab==\n{END}\nafter {TOKEN}\n"
    assert redacted(text) == "before\nkey: [redacted:private_key]\nafter [redacted:github_token]\n"


def test_a_private_key_may_be_followed_by_something() -> None:
    """In its last line, which is not part of it."""
    assert redacted(f"{BEGIN}\n{KEY_LINE}\n{END} and more\n").endswith(" and more\n")


def test_a_key_that_does_not_end_hides_no_log() -> None:
    """From the first line that cannot belong to a key, everything is kept."""
    shown = redacted(f"{BEGIN}\n{KEY_LINE}\nERROR [db] the file \u2014 cut short (at byte 7)!\nnext\n")
    assert shown == "[redacted:private_key]\nERROR [db] the file \u2014 cut short (at byte 7)!\nnext\n"


def test_a_key_in_one_line_is_one_secret() -> None:
    """As JSON has it, with escaped ends of lines."""
    line = json.dumps({"key_file": f"{BEGIN}\n{KEY_LINE}\n{END}\n", "n": 1})
    assert_no_secret(redacted(f"{line}\nnext\n"), [KEY_LINE])
    assert redacted(f"{line}\nnext\n").endswith("next\n")


def test_several_keys_are_several_secrets() -> None:
    """The text between them is kept."""
    key = f"{BEGIN}\n{KEY_LINE}\n{END}\n"
    assert redacted(f"{key}between!\n{key}") == "[redacted:private_key]\nbetween!\n[redacted:private_key]\n"


def test_lines_are_written_as_they_come() -> None:
    """A growing log can be followed forever."""
    endless = repeat(f"tok {TOKEN}\n")
    assert list(islice(redacted_lines(endless, POLICY), 3)) == ["tok [redacted:github_token]\n"] * 3


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input() -> None:
    """Ten thousand different lines, some of a key's, take no more than a hundred."""

    def lines(count: int) -> Iterator[str]:
        for number in range(count):
            yield f"GET /users/{number} user{number}@mine.example token={number:036x} key_{number}=1\n"

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in redacted_lines(lines(count), RedactionPolicy()):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)  # what is made once
    assert peak(10_000) < peak(100) + 1_000_000


# --- the command


def test_the_command_reads_standard_input() -> None:
    """As the end of a pipe."""
    result = command(given=f"a {TOKEN}\nb\n".encode())
    assert result.exit_code == 0
    assert result.stdout == "a [redacted:github_token]\nb\n"


def test_the_command_reads_a_file(tmp_path: Path) -> None:
    """And leaves it as it is."""
    log = tmp_path / "old.log"
    log.write_text(f"a {TOKEN}\n")
    assert command(str(log)).stdout == "a [redacted:github_token]\n"
    assert log.read_text() == f"a {TOKEN}\n"


def test_the_command_reads_nothing() -> None:
    """An empty log is one."""
    result = command()
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_file_that_is_not_there_is_an_error() -> None:
    """With its name, and no traceback."""
    result = command("no-such.log")
    assert result.exit_code == 2
    assert "no-such.log" in result.stderr
    assert "Traceback" not in result.output


def test_the_command_has_the_services_policy() -> None:
    """The flags are those of the service."""
    result = command(
        given=b"shoe_colour=blue7 body=plain7\n", OBS_REDACT_KEYS="shoe_colour", OBS_REDACT_ALLOW_KEYS="body"
    )
    assert result.stdout == "shoe_colour=[redacted:key] body=plain7\n"


def test_bad_flags_are_an_error() -> None:
    """Before a line is printed, with what was expected."""
    result = command(given=b"a\n", OBS_REDACT_IP="truncated")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: OBS_REDACT_IP is 'truncated'; expected one of drop, hash, truncate, keep.\n"


def test_a_line_over_a_mebibyte_is_cut() -> None:
    """Also in the middle of a secret; the lines after it are whole."""
    long = b"x" * (MAX_LINE - 20) + TOKEN.encode() + b"y" * MAX_LINE
    result = command(given=long + b"\nnext ada@mine.example\n")
    first, second, rest = result.stdout.split("\n")
    assert first.startswith("xxx")
    assert first.endswith(" bytes]")
    assert len(first) <= MAX_LINE
    assert (second, rest) == ("next [redacted:email]", "")
    assert_no_secret(first[-9000:], [TOKEN])


@pytest.mark.parametrize("size", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 2 * MAX_LINE, 3 * MAX_LINE + 5])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\nnext\n"])
def test_lines_around_the_limit_stay_lines(size: int, ending: bytes) -> None:
    """No line is lost, and none is made of a line's end."""
    shown = command(given=b"a" * size + ending).stdout
    assert shown.count("\n") == max(ending.count(b"\n"), int(size > MAX_LINE))
    assert shown.endswith(("next\n" if b"next" in ending else "a", "]\n", "a\n"))


def test_lines_left_out_are_counted() -> None:
    """Bytes of the file that are in no line."""
    shown = command(given=b"a" * (2 * MAX_LINE) + b"\n").stdout
    kept, _, cut = shown.partition("[cut:")
    assert len(kept) + int(cut.partition(" ")[0]) == pytest.approx(2 * MAX_LINE, abs=1)


def test_bytes_that_are_no_text_are_replaced() -> None:
    """A log is not always UTF-8; what is printed is."""
    result = command(given=b"a \xff\xfe ada@mine.example \xc3\n\xe9t\xe9 " + TOKEN.encode() + b"\n")
    assert result.exit_code == 0
    assert (
        result.stdout_bytes.decode()
        == "a \ufffd\ufffd [redacted:email] \ufffd\n\ufffdt\ufffd [redacted:github_token]\n"
    )


@pytest.mark.slow
def test_the_process_filters_a_pipe() -> None:
    """`python -m divan_obs_asgi redact` is the same command, without the package's script."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OBS_")}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-m", "divan_obs_asgi", "redact"],
        input=f"a {TOKEN}\r\n\u00e9 password=plain7\n".encode(),
        capture_output=True,
        env=environ,
        timeout=60,
        check=True,
    )
    assert done.stdout.decode() == "a [redacted:github_token]\r\n\u00e9 password=[redacted:credential]\n"
    assert done.stderr == b""


@pytest.mark.slow
def test_a_reader_that_stops_early_is_not_an_error(tmp_path: Path) -> None:
    """`divan-obs redact big.log | head` ends in order."""
    log = tmp_path / "big.log"
    log.write_text("a line of an old log, and no secret in it\n" * 20_000)
    with subprocess.Popen(
        [sys.executable, "-m", "divan_obs_asgi", "redact", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""

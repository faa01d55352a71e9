"""Readable lines for a developer at a terminal. They are made from finished JSON lines, so they are redacted."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import orjson

from divan_obs_asgi.lifecycle.development import is_terminal
from divan_obs_asgi.redaction.letters import visible

Form: TypeAlias = Callable[[bytes], bytes]

_ESCAPE = "\x1b["
_RESET = f"{_ESCAPE}0m"
_BOLD, _DIM, _RED, _GREEN, _YELLOW, _BLUE, _CYAN = "1", "2", "31", "32", "33", "34", "36"
_OF_LEVEL = {"DEBUG": _BLUE, "INFO": _GREEN, "WARNING": _YELLOW, "ERROR": _RED, "CRITICAL": f"{_BOLD};{_RED}"}
# Fields with a fixed place in the line, and fields that are the same in each line of a process.
_PLACED = frozenset({"ts", "level", "msg", "logger", "service", "env", "commit", "request_id", "trace_id", "span_id"})
# Enough of an id to find it by eye.
_ID_LENGTH = 8
# A value that needs no quotes.
_BARE = re.compile(r"[^\s\"'=]+")
# Unicode's pictures of ASCII control characters: a terminal does not interpret them.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_FRAME = re.compile(r'  File "([^"]*)", line ')
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "<frozen")


def form_for(wanted: str, stream: object, environ: Mapping[str, str], *, dev: bool) -> Form | None:
    """
    Return the form that makes lines readable for people, or None if they stay JSON.

    Args:
        wanted: the value of LOG_FORMAT.
        stream: the stream that gets the lines; None for standard output.
        dev: whether OBS_ENV=dev was set explicitly. A service without any settings may be a production service, and
            some orchestrators give it a terminal.
    """
    if wanted == "json" or (wanted == "auto" and not (dev and is_for_people(wanted, stream, environ))):
        return None
    return ConsoleForm(colours=has_colours(stream, environ))


def is_for_people(wanted: str, stream: object, environ: Mapping[str, str]) -> bool:
    """Return whether people read the stream: LOG_FORMAT says so, or it is a terminal and not that of a CI."""
    terminal = is_terminal(sys.stdout if stream is None else stream)
    return wanted == "console" or (wanted == "auto" and terminal and not _in_ci(environ))


def has_colours(stream: object, environ: Mapping[str, str]) -> bool:
    """Return whether the stream shows colours."""
    terminal = is_terminal(sys.stdout if stream is None else stream)
    # https://no-color.org: any value that is not empty switches colours off.
    return terminal and not _in_ci(environ) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _in_ci(environ: Mapping[str, str]) -> bool:
    return environ.get("CI", "").lower() not in ("", "0", "false")


class ConsoleForm:
    """Makes a finished JSON line readable; any other line stays unchanged. Called in the sink's thread."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, line: bytes) -> bytes:
        try:
            fields = orjson.loads(line)
            return "".join(self._parts(fields)).encode("utf-8", "replace")
        except Exception:
            return line  # The JSON line is redacted too, and has no control characters.

    def _parts(self, fields: dict[str, Any]) -> Iterator[str]:
        level = _one_line(fields["level"])
        message, *more = str(fields["msg"]).split("\n")
        yield self._in(_DIM, _local_time(fields["ts"]))
        yield f" {self._in(_OF_LEVEL.get(level, _BOLD), level.ljust(8))}"
        yield f" {self._in(_BLUE, _one_line(fields['logger']))}"
        yield f"  {self._in(_BOLD, _one_line(message))}"
        error = fields.get("error")
        texts = {
            "msg": "\n".join(more),
            "stack": fields.get("stack"),
            "error": error.get("traceback") if isinstance(error, dict) else None,
        }
        for name, value in fields.items():
            placed = name in _PLACED or isinstance(texts.get(name), str)
            if not placed and value is not None and not (name == "sample_rate" and value == 1.0):
                yield f" {self._in(_CYAN, _field(name))}={_field(value)}"
        if request_id := fields.get("request_id"):
            yield f" {self._in(_DIM, f'id={_field(request_id)[:_ID_LENGTH]}')}"
        yield "\n"
        for text in texts.values():
            if isinstance(text, str) and text:
                yield from self._traceback(text.rstrip("\n").split("\n"))

    def _traceback(self, lines: list[str]) -> Iterator[str]:
        """Yield the lines of a traceback, indented so that none of them looks like a log line."""
        ours: list[str] = []
        libraries: list[str] = []
        frames: list[str] | None = None
        for line in lines:
            if found := _FRAME.match(line):
                frames = libraries if _is_library_file(found[1]) else ours
            elif not line.startswith("  "):
                # The exception itself, or the next traceback of a chain.
                yield from self._frames(ours, libraries)
                ours, libraries, frames = [], [], None
            if frames is None:
                yield self._indented(line, _BOLD)
            else:
                frames.append(line)
        yield from self._frames(ours, libraries)

    def _frames(self, ours: list[str], libraries: list[str]) -> Iterator[str]:
        """Yield frames, first the application's, then those of libraries, each in the order of the calls."""
        yield from (self._indented(line, "") for line in ours)
        if ours and libraries:
            yield self._indented("  In libraries:", _DIM)
        yield from (self._indented(line, _DIM) for line in libraries)

    def _indented(self, line: str, style: str) -> str:
        return f"    {self._in(style, _one_line(line))}\n"

    def _in(self, style: str, text: str) -> str:
        return f"{_ESCAPE}{style}m{text}{_RESET}" if self._colours and style else text


def _local_time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _one_line(text: object) -> str:
    """Return a text without line ends and without characters that a terminal interprets."""
    text = str(text).translate(_PICTURES)
    return text if text.isascii() else visible(text)


def _field(value: object) -> str:
    """Return the name or value of a field, in JSON quotes if it could be read as several."""
    if isinstance(value, str) and _BARE.fullmatch(value):
        return _one_line(value)
    return _one_line(orjson.dumps(value).decode())


def _is_library_file(filename: str) -> bool:
    return filename.startswith(_LIBRARIES) or _INSTALLED.search(filename) is not None


__all__ = ["ConsoleForm", "Form", "form_for", "has_colours", "is_for_people"]

"""`divan-obs top`: the ops console of a service in a terminal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click

from divan_obs_asgi.cli.console_state import StateError, console_state
from divan_obs_asgi.cli.health_probe import parse_url
from divan_obs_asgi.cli.top_screen import cut, screen

INTERVAL_S = 2.0
_MOST_WAIT_S = 60.0
# Alternate screen without a cursor, and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
# To the top left; each line is erased to its end, and what is below the last one.
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.argument("url")
@click.option("--once", is_flag=True, help="Print once and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole state as one line of JSON.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the admin token. Default: OBS_ADMIN_TOKEN.",
)
def top(url: str, once: bool, as_json: bool, token_file: Path | None) -> None:
    """
    Show the numbers and routes of a service: divan-obs top http://127.0.0.1:8000

    The service needs OBS_CONSOLE_ENABLED=true. The screen is updated every two seconds; Ctrl-C ends it, with exit
    status 0. The exit status is 1 if the state is not available, and 2 for a wrong command.
    """
    try:
        parts = parse_url(url)
    except ValueError:
        raise click.BadParameter("expected a URL like http://127.0.0.1:8000", param_hint="URL") from None
    token = _token(token_file)
    view = _View(as_json=as_json)
    try:
        with nullcontext() if once else view.shown():
            while True:
                wait_s = INTERVAL_S
                try:
                    view.show(console_state(parts, token))
                except StateError as error:
                    if once or error.is_final:
                        raise
                    view.show_error(str(error))
                    wait_s = min(_MOST_WAIT_S, max(INTERVAL_S, error.wait_s))
                if once:
                    return
                time.sleep(wait_s)
    except KeyboardInterrupt:
        return
    except StateError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader has ended, as `head` does. Nothing may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _View:
    """Standard output: a screen on a terminal, or else one block of text after the other."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._is_screen = False
        self._lines: list[str] = []
        encoding = (getattr(sys.stdout, "encoding", "") or "").lower()
        self._unicode = encoding.startswith("utf")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Use the alternate screen on a terminal, and leave it at the end, also after SIGTERM."""
        before = signal.signal(signal.SIGTERM, _interrupt)
        self._is_screen = not self._as_json and sys.stdout.isatty()
        try:
            if self._is_screen:
                _write(_ENTER)
            yield
        finally:
            if self._is_screen:
                _write(_LEAVE)
            signal.signal(signal.SIGTERM, before)

    def show(self, state: dict[str, Any]) -> None:
        if self._as_json:
            # Escaped: what a terminal would interpret is not printed.
            _write(json.dumps(state) + "\n")
            return
        size = shutil.get_terminal_size((100, 24))
        height = size.lines - 1 if self._is_screen else None
        self._lines = screen(state, size.columns, height, unicode=self._unicode)
        self._draw(self._lines)

    def show_error(self, message: str) -> None:
        """Show one line; the screen keeps what it shows."""
        if self._is_screen:
            self._draw([*self._lines, cut(message, shutil.get_terminal_size((100, 24)).columns)])
        else:
            click.echo(f"Error: {message}", err=True)

    def _draw(self, lines: list[str]) -> None:
        if self._is_screen:
            _write(_HOME + f"{_END_OF_LINE}\r\n".join(lines) + _END_OF_LINE + _BELOW)
        else:
            _write("\n".join(lines) + "\n\n")


def _write(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _token(file: Path | None) -> str:
    try:
        token = os.environ.get("OBS_ADMIN_TOKEN", "") if file is None else file.read_text()
    except (OSError, UnicodeDecodeError):
        raise click.BadParameter("it cannot be read", param_hint="--token-file") from None
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise click.ClickException("The admin token has characters that a header cannot contain.")
    return token


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)


__all__ = ["INTERVAL_S", "top"]

"""The file of OBS_ENV_FILE, in the format of `.env` files."""

from __future__ import annotations

import io
from pathlib import Path

# A longer file is not a configuration but, for example, a log or a database that was named by mistake.
_MAX_BYTES = 1_000_000


def read_env_file(path: str) -> dict[str, str]:
    """
    Return the variables of a file as python-dotenv reads them, including quotes, `export`, comments and `${NAME}`.

    Raises:
        ValueError: with the expected form and the number of each malformed line, but never its text.
    """
    text = _text_of(path)
    try:
        from dotenv import dotenv_values
        from dotenv.parser import parse_stream
    except ImportError:
        raise ValueError("python-dotenv to read it: pip install 'divan-obs-asgi[dotenv]'") from None
    # python-dotenv itself only logs a warning for such a line.
    bad = [
        _line_of(binding.original.line, binding.original.string)
        for binding in parse_stream(io.StringIO(text))
        if binding.error or (binding.key is not None and binding.value is None)
    ]
    if bad:
        raise ValueError(f"NAME=value in line {', '.join(map(str, bad))}")
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _text_of(path: str) -> str:
    try:
        # A pipe or a device might block the start, and could be read only once.
        if not Path(path).is_file():
            raise ValueError("an existing file")
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"a file that can be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ValueError(f"a file of at most {_MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("a file in UTF-8") from None


def _line_of(first: int, statement: str) -> int:
    """Return the line number of a statement, whose text includes the empty lines before it."""
    return first + len(statement[: len(statement) - len(statement.lstrip())].splitlines())


__all__ = ["read_env_file"]

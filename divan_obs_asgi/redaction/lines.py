"""Redacts a stream of text, line by line and in constant memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import orjson

from divan_obs_asgi.redaction.policy import RedactionPolicy
from divan_obs_asgi.redaction.text import marker
from divan_obs_asgi.redaction.walk import Limits

# Longer lines are cut. A secret that is cut in two would not be recognised.
MAX_LINE = 1 << 20
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
# RFC 7468: at most 64 characters per line. Its headers are short too.
_KEY_LINE = re.compile(r"[\w+/=:,. \t-]{0,100}")
_MAX_KEY_LINES = 500
# Lines were limited when they were written.
_WHOLE = Limits(items=MAX_LINE, depth=100, text=0, total=2 * MAX_LINE)


def redacted_lines(lines: Iterable[str], policy: RedactionPolicy) -> Iterator[str]:
    """
    Yield each line redacted, including its line end; a private key on several lines is one secret.

    Lines of up to one mebibyte are not cut.
    """
    policy = policy.having(limits=_WHOLE)
    left = 0
    for line in lines:
        if left:
            ends = _KEY_ENDS.search(line)
            left -= 1
            if ends is not None:
                left = 0
                line = line[ends.end() :]
                if not line.strip():
                    continue
            elif _KEY_LINE.fullmatch(line.rstrip("\r\n")):
                continue
            else:
                left = 0
        begins = next(iter(list(_KEY_BEGINS.finditer(line))[-1:]), None)
        if begins is not None and not _KEY_ENDS.search(line, begins.end()):
            ending = line[len(line.rstrip("\r\n")) :]
            line = line[: begins.start()]
            yield policy.redact_text(line) + marker("private_key") + ending
            left = _MAX_KEY_LINES
            continue
        yield _redacted(line, policy)


def _redacted(line: str, policy: RedactionPolicy) -> str:
    """Return a line redacted; a JSON object by its fields. A line without secrets stays unchanged."""
    if line[:1] == "{":
        try:
            fields = orjson.loads(line)
        except ValueError:
            return policy.redact_text(line)
        redacted = policy.redact_record(fields)
        ending = line[len(line.rstrip("\r\n")) :]
        return line if redacted == fields else orjson.dumps(redacted).decode() + ending
    return policy.redact_text(line)


__all__ = ["MAX_LINE", "redacted_lines"]

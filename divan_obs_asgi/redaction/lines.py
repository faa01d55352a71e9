"""A stream of text through the policy, line by line and in constant memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import orjson

from divan_obs_asgi.redaction.policy import RedactionPolicy
from divan_obs_asgi.redaction.text import marker
from divan_obs_asgi.redaction.walk import Limits

# What is longer is cut: a secret that was cut in two would not be recognised.
MAX_LINE = 1 << 20
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
# RFC 7468 has 64 characters a line, and its headers are short too.
_KEY_LINE = re.compile(r"[\w+/=:,. \t-]{0,100}")
_MAX_KEY_LINES = 500
# A line was bounded when it was written.
_WHOLE = Limits(items=MAX_LINE, depth=100, text=0, total=2 * MAX_LINE)


def redacted_lines(lines: Iterable[str], policy: RedactionPolicy) -> Iterator[str]:
    """
    Return each line as it may be told, its ending included; a private key over several lines is one secret.

    A line of a log is not cut, however long it is, up to a mebibyte.
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
    """A line that is a JSON object is one of fields; what is clean stays as it was written."""
    if line[:1] == "{":
        try:
            fields = orjson.loads(line)
        except ValueError:
            return policy.redact_text(line)
        told = policy.redact_record(fields)
        ending = line[len(line.rstrip("\r\n")) :]
        return line if told == fields else orjson.dumps(told).decode() + ending
    return policy.redact_text(line)


__all__ = ["MAX_LINE", "redacted_lines"]

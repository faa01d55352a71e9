"""What stands in a log line: SPEC's fields, for requests and for the application's own records."""

from __future__ import annotations

import hashlib
import logging
import time
import traceback
from functools import lru_cache
from typing import Any

import orjson

from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.redaction import RedactionPolicy

# An attribute of every LogRecord is no business field.
# `color_message` is uvicorn's: the message again, with ANSI escapes.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# What a traceback may take: frames, and characters below what the policy cuts a text to.
_FRAMES = 6
_ROOM = 2000
_ACCESS_LEVELS = {"ok": "INFO", "client_disconnect": "INFO", "cancelled": "WARNING", "incomplete": "ERROR"}


def timestamp(unix_ns: int) -> str:
    """Return RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    return f"{_to_the_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=8)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def describe_error(error: BaseException, policy: RedactionPolicy) -> dict[str, str]:
    """Return the type, a fingerprint that stays the same from run to run, and the redacted traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    places = "".join(f"{frame.filename.rpartition('/')[2]}:{frame.name};" for frame in frames)
    kind = type(error).__qualname__
    return {
        "type": kind,
        "fingerprint": hashlib.sha256(f"{kind}|{places}".encode()).hexdigest()[:16],
        "traceback": policy.redact_text(_traceback(error)),
    }


def _traceback(error: BaseException) -> str:
    """Return the innermost frames, with the exceptions before this one where there is room: its end says most."""
    text = "".join(traceback.format_exception(error, limit=-_FRAMES))
    if len(text) > _ROOM:
        text = "".join(traceback.format_exception(error, limit=-_FRAMES, chain=False))
    return text


def _written(name: object) -> str:
    """Return a name that a LogRecord carries as JSON can have it: UTF-8, which a lone surrogate is not."""
    text = str(name)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Lines:
    """Builds lines; knows what is the same in all of them."""

    def __init__(self, service: str, env: str, commit: str, policy: RedactionPolicy) -> None:
        self._service = service
        self._env = env
        self._commit = commit
        self._policy = policy

    def access_level(self, record: RequestRecord) -> str:
        """Return the level of a finished record's line."""
        if record.status >= 500:
            return "ERROR"
        return _ACCESS_LEVELS.get(record.outcome or "", "ERROR")

    def access(self, record: RequestRecord, level: str, sample_rate: float) -> bytes:
        """Return the line of a finished record."""
        line = {
            "ts": timestamp(record.started_ns + int(record.duration_s * 1e9)),
            "level": level,
            "msg": f"{record.method} {record.route}",
            "service": self._service,
            "env": self._env,
            "commit": self._commit,
            "request_id": record.request_id,
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "route": record.route,
            "status": record.status,
            "latency_ms": int(record.duration_s * 1e6) / 1e3,
            "logger": "divan_obs_asgi.access",
            "outcome": record.outcome,
            "sample_rate": sample_rate,
        }
        if record.close_code is not None:
            line["close_code"] = record.close_code
        if record.error is not None:
            line["error"] = describe_error(record.error, self._policy)
        if record.fields:
            self._add_fields(line, record.fields)
        return orjson.dumps(line)

    def application(self, record: logging.LogRecord, request: RequestRecord | None, sample_rate: float) -> bytes:
        """Return the line of a LogRecord, with the ids of the request in which it was written."""
        line: dict[str, Any] = {
            "ts": timestamp(int(record.created * 1e9)),
            "level": _written(record.levelname),
            "msg": self._message(record),
            "service": self._service,
            "env": self._env,
            "commit": self._commit,
            "request_id": request.request_id if request is not None else "",
            "trace_id": request.trace_id if request is not None else "",
            "span_id": request.span_id if request is not None else "",
            "route": request.route_so_far() if request is not None else None,
            "status": None,
            "latency_ms": None,
            "logger": _written(record.name),
            "sample_rate": sample_rate,
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe_error(record.exc_info[1], self._policy)
        if record.stack_info:
            line["stack"] = self._policy.redact_text("\n".join(record.stack_info.splitlines()[-2 * _FRAMES :]))
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if extra:
            self._add_fields(line, extra)
        return orjson.dumps(line)

    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception as error:
            # A template that does not fit its arguments: the template is ours, the arguments may be secret.
            template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
            message = f"{template} [{type(error).__name__} while formatting]"
        return self._policy.redact_text(message)

    def _add_fields(self, line: dict[str, Any], fields: dict[str, object]) -> None:
        for key, value in fields.items():
            name = self._policy.redact_text(key if isinstance(key, str) else type(key).__name__)
            # What the record says of itself is not for the application to overwrite.
            if name not in line:
                line[name] = self._policy.redact_field(name, value)


__all__ = ["Lines", "describe_error", "timestamp"]

"""What a collector's response to a batch means: delivered, to be sent again, or refused for good."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias, get_args

DropReason: TypeAlias = Literal[
    "queue_full",
    "circuit_open",
    "export_failed",
    "too_large",
    "invalid_response",
    "rejected",
    "disk_full",
    "damaged",
    "shutdown",
]
DROP_REASONS: tuple[DropReason, ...] = get_args(DropReason)
# The OTLP specification's lists of what is worth a second attempt. RESOURCE_EXHAUSTED is, if RetryInfo comes with it.
RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
RETRYABLE_CODES = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
# Longest time that a collector can ask us to wait; a longer one is more likely an error.
LONGEST_RETRY_AFTER_S = 3600.0
_TOO_LARGE = 413
_LAST_SUCCESS = 299
_PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Result:
    """
    Attributes:
        outcome: `retry` can be sent again; `refused` must not; `failed` is an exporter that does not say which.
        kind: what happened, in words for the log line; empty after a plain success. It never contains data of others.
        reason: for the counter, if the batch is dropped.
        rejected: how many items of a delivered batch the collector did not accept.
        message: the collector's own words, not yet redacted.
        retry_after_s: how long the collector wants to be left alone.
    """

    outcome: Literal["delivered", "retry", "refused", "failed"]
    kind: str = ""
    reason: DropReason = "export_failed"
    rejected: int = 0
    message: str = ""
    retry_after_s: float = 0.0


DELIVERED = Result("delivered")


def of_response(body: bytes) -> Result:
    """
    Return the result of a successful call.

    The responses of the three signals have the same fields, so one message type reads them all.
    """
    # Not at the top: protobuf takes long to import, and is loaded with the exporter when the application starts.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except Exception:  # protobuf's DecodeError; its implementations differ.
        return Result("refused", "a success whose body is not OTLP", "invalid_response")
    if partial.rejected_spans > 0:
        return Result("delivered", "partial success", rejected=partial.rejected_spans, message=partial.error_message)
    if partial.error_message:
        return Result("delivered", "warning of the collector", message=partial.error_message)
    return DELIVERED


def of_http(status: int, content_type: str, retry_after: str | None, body: bytes) -> Result:
    """Return the result of a response over HTTP."""
    media_type = content_type.partition(";")[0].strip().lower()
    if status == 200:
        if body and media_type not in ("", _PROTOBUF, "application/protobuf", "application/octet-stream"):
            return Result("refused", "a success whose body is not OTLP", "invalid_response")
        return of_response(body)
    if status <= _LAST_SUCCESS:
        return DELIVERED if not body else Result("refused", f"HTTP {status}", "invalid_response")
    if status in RETRYABLE_STATUSES:
        return Result("retry", f"HTTP {status}", retry_after_s=seconds_of(retry_after))
    if status < 400:
        return Result("refused", f"HTTP {status}, a redirect", "invalid_response")
    return Result("refused", f"HTTP {status}", "too_large" if status == _TOO_LARGE else "export_failed")


def of_grpc(code: str, details: str, retry_after_s: float | None) -> Result:
    """
    Return the result of a gRPC call that failed.

    Args:
        retry_after_s: the delay of google.rpc.RetryInfo; None without it.
    """
    if code in RETRYABLE_CODES or (code == "RESOURCE_EXHAUSTED" and retry_after_s is not None):
        return Result("retry", f"gRPC {code}", retry_after_s=_bounded(retry_after_s or 0.0))
    # gRPC has no code for a message over the limit; its implementations say it in these words.
    large = code == "RESOURCE_EXHAUSTED" and "larger than max" in details
    return Result("refused", f"gRPC {code}", "too_large" if large else "export_failed")


def seconds_of(retry_after: str | None) -> float:
    """Return a `Retry-After` in seconds: a number or a date (RFC 9110, section 10.2.3). An invalid one is 0."""
    text = (retry_after or "").strip()
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return _bounded(float(text[:9]))
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return _bounded((date - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):
        return 0.0


def _bounded(wait_s: float) -> float:
    return min(max(0.0, wait_s), LONGEST_RETRY_AFTER_S) if math.isfinite(wait_s) else 0.0


__all__ = [
    "DELIVERED",
    "DROP_REASONS",
    "LONGEST_RETRY_AFTER_S",
    "RETRYABLE_CODES",
    "RETRYABLE_STATUSES",
    "DropReason",
    "Result",
    "of_grpc",
    "of_http",
    "of_response",
    "seconds_of",
]

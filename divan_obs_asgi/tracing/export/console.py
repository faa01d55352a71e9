"""Prints spans: a tree of each trace for people, or a JSON line for each span."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import orjson
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from divan_obs_asgi.otlp.answers import DELIVERED, Result
from divan_obs_asgi.redaction.letters import visible

_BOLD, _DIM, _RED, _GREEN, _CYAN = "1", "2", "31", "32", "36"
# What the name of the span, its place or its colour says already, and what is the same in every span.
_HIDDEN = frozenset(
    {
        "http.request.method",
        "http.route",
        "url.path",
        "url.scheme",
        "network.protocol.version",
        "network.type",
        "network.transport",
        "user_agent.original",
        "divan.request_id",
    }
)
_USUAL = {"divan.outcome": "ok"}
_MOST_ATTRIBUTES = 6
_LONGEST_VALUE = 60
_ID_LENGTH = 8
# Spans that wait for the end of their trace, and traces whose later spans are recognised.
_MOST_WAITING = 2048
_MOST_PRINTED = 256
# Unicode's pictures of ASCII control characters: a terminal does not interpret them.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_BARE = re.compile(r"[^\s\"'=]+")


class JsonLines:
    """Writes each span as a line of JSON, as soon as it has ended."""

    def __init__(self, write: Callable[[bytes], object], redacted: Callable[[ReadableSpan], ReadableSpan]) -> None:
        self._write = write
        self._redacted = redacted

    def encode(self, items: Sequence[ReadableSpan]) -> None:
        return None

    def send(self, items: Sequence[ReadableSpan], payload: bytes | None) -> Result:
        for span in items:
            self._write(_json(self._redacted(span)))
        return DELIVERED

    def shutdown(self) -> None:
        """Do nothing: every span is written."""


class TraceTrees:
    """
    Writes each trace as a tree when its first span in this process has ended.

    Args:
        write: gets one text for each trace, with line ends but without the last one.
        redacted: returns the redacted copy of a span.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        redacted: Callable[[ReadableSpan], ReadableSpan],
        *,
        colours: bool,
    ) -> None:
        self._write = write
        self._redacted = redacted
        self._colours = colours
        self._waiting: OrderedDict[int, list[ReadableSpan]] = OrderedDict()
        self._count = 0
        self._printed: OrderedDict[int, None] = OrderedDict()

    def encode(self, items: Sequence[ReadableSpan]) -> None:
        return None

    def send(self, items: Sequence[ReadableSpan], payload: bytes | None) -> Result:
        ended: list[int] = []
        for original in items:
            span = self._redacted(original)
            trace_id = _trace_id(span)
            self._waiting.setdefault(trace_id, []).append(span)
            self._count += 1
            # A span that ends after its request, of a background task, has nothing to wait for.
            if span.parent is None or span.parent.is_remote or trace_id in self._printed:
                ended.append(trace_id)
        for trace_id in dict.fromkeys(ended):
            self._print(trace_id)
        while self._count > _MOST_WAITING:
            self._print(next(iter(self._waiting)))
        return DELIVERED

    def shutdown(self) -> None:
        for trace_id in list(self._waiting):
            self._print(trace_id)

    def _print(self, trace_id: int) -> None:
        spans = self._waiting.pop(trace_id, [])
        self._count -= len(spans)
        self._printed[trace_id] = None
        if len(self._printed) > _MOST_PRINTED:
            self._printed.popitem(last=False)
        self._write("\n".join(self._lines(spans)).encode("utf-8", "replace"))

    def _lines(self, spans: list[ReadableSpan]) -> Iterator[str]:
        known = {_span_id(span) for span in spans}
        children: dict[int | None, list[ReadableSpan]] = {}
        for span in sorted(spans, key=lambda span: span.start_time or 0):
            parent = span.parent.span_id if span.parent is not None and span.parent.span_id in known else None
            children.setdefault(parent, []).append(span)
        # With a stack of its own: traces can be deeper than Python's.
        stack = [(span, "", "") for span in reversed(children.get(None, []))]
        while stack:
            span, branch, below = stack.pop()
            yield self._line(span, branch)
            following = children.pop(_span_id(span), [])
            for place, child in enumerate(reversed(following)):
                mark, line = ("└─ ", "   ") if place == 0 else ("├─ ", "│  ")
                stack.append((child, below + mark, below + line))

    def _line(self, span: ReadableSpan, branch: str) -> str:
        failed = span.status.status_code is StatusCode.ERROR
        parts = [self._in(_DIM, branch) + self._in(_RED if failed else _BOLD, _one_line(span.name))]
        parts.append(self._in(_GREEN, f"{_duration_ms(span):.1f} ms"))
        shown = [pair for pair in (span.attributes or {}).items() if _matters(*pair)]
        parts += [f"{self._in(_CYAN, _one_line(key))}={_text(value)}" for key, value in shown[:_MOST_ATTRIBUTES]]
        if len(shown) > _MOST_ATTRIBUTES:
            parts.append(f"+{len(shown) - _MOST_ATTRIBUTES}")
        if failed:
            parts.append(self._in(_RED, _one_line(span.status.description or "error")[:_LONGEST_VALUE]))
        if not branch:
            parts.append(self._in(_DIM, f"trace={format_trace_id(_trace_id(span))[:_ID_LENGTH]}"))
        return "  ".join(parts)

    def _in(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colours and text else text


def _matters(key: str, value: object) -> bool:
    return key not in _HIDDEN and _USUAL.get(key) != value


def _text(value: object) -> str:
    text = value if isinstance(value, str) and _BARE.fullmatch(value) else _dumped(value)
    line = _one_line(text)
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 1]}…"


def _one_line(text: str) -> str:
    """Return a text without line ends and without characters that a terminal interprets."""
    text = text.translate(_PICTURES)
    return text if text.isascii() else visible(text)


def _dumped(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _json(span: ReadableSpan) -> bytes:
    scope = span.instrumentation_scope
    fields = {
        "ts": _time(span.end_time),
        "span": span.name,
        "trace_id": format_trace_id(_trace_id(span)),
        "span_id": format_span_id(_span_id(span)),
        "parent_span_id": None if span.parent is None else format_span_id(span.parent.span_id),
        "kind": span.kind.name.lower(),
        "started": _time(span.start_time),
        "duration_ms": round(_duration_ms(span), 3),
        "status": span.status.status_code.name.lower(),
        "description": span.status.description,
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": event.name, "ts": _time(event.timestamp), "attributes": dict(event.attributes or {})}
            for event in span.events
        ],
        "links": [format_trace_id(link.context.trace_id) for link in span.links],
        "scope": None if scope is None else scope.name,
        "service": span.resource.attributes.get("service.name"),
    }
    return orjson.dumps({name: value for name, value in fields.items() if value not in (None, [])}, default=str)


def _time(nanoseconds: int | None) -> str:
    return datetime.fromtimestamp((nanoseconds or 0) / 1e9, UTC).isoformat(timespec="milliseconds")


def _duration_ms(span: ReadableSpan) -> float:
    return max(0, (span.end_time or 0) - (span.start_time or 0)) / 1e6


def _trace_id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return context.trace_id if context is not None else 0


def _span_id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return context.span_id if context is not None else 0


__all__ = ["JsonLines", "TraceTrees"]

"""What a client says about its trace, read by the rules of W3C Trace Context and Baggage."""

from __future__ import annotations

import logging

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import baggage as otel_baggage
from opentelemetry.trace import TraceState, get_current_span

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.tracing import baggage, tracestate
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed
from tests.tracing.exported import Exported

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()
Headers = list[tuple[bytes, bytes]]


class Request:
    """One request through a stack, and what the application and the collector have seen of its trace."""

    def __init__(self, headers: Headers) -> None:
        exported = Exported()
        observed = Observed({"OBS_TRACING_ENABLED": "true"}, span_exporter=exported)
        self.baggage: dict[str, object] = {}
        self.state = ""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.baggage = dict(otel_baggage.get_all())
            self.state = get_current_span().get_span_context().trace_state.to_header()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        answer = anyio.run(converse, obs.build_stack(app, observed.obs), http_scope(headers=headers))
        assert answer.status == 200
        observed.obs.flush()
        spans = exported.spans
        self.parent = spans[0].parent if spans else None
        self.sampled = bool(spans)
        self.trace_id = observed.lines()[0]["trace_id"]


CONTINUED: dict[str, Headers] = {
    "version 00": [(b"traceparent", GOOD)],
    "surrounded by spaces": [(b"traceparent", b" \t" + GOOD + b"\t ")],
    "unknown flags": [(b"traceparent", GOOD[:-2] + b"ff")],
    "a later version": [(b"traceparent", b"01" + GOOD[2:])],
    "a later version with more fields": [(b"traceparent", b"cc" + GOOD[2:] + b"-and-more")],
}
NEW: dict[str, Headers] = {
    "empty": [(b"traceparent", b"")],
    "two headers": [(b"traceparent", GOOD), (b"traceparent", GOOD)],
    "two in one": [(b"traceparent", GOOD + b"," + GOOD)],
    "version ff": [(b"traceparent", b"ff" + GOOD[2:])],
    "version 0": [(b"traceparent", b"0" + GOOD[2:])],
    "version 00 with more fields": [(b"traceparent", GOOD + b"-more")],
    "version 00 with a dash": [(b"traceparent", GOOD + b"-")],
    "a later version with something glued on": [(b"traceparent", b"cc" + GOOD[2:] + b".more")],
    "upper case": [(b"traceparent", GOOD.upper())],
    "all-zero trace id": [(b"traceparent", b"00-" + b"0" * 32 + GOOD[35:])],
    "all-zero span id": [(b"traceparent", GOOD[:36] + b"0" * 16 + b"-01")],
    "short trace id": [(b"traceparent", b"00-" + GOOD[4:])],
    "long span id": [(b"traceparent", GOOD[:-3] + b"0-01")],
    "no flags": [(b"traceparent", GOOD[:-3])],
    "one digit of flags": [(b"traceparent", GOOD[:-1])],
    "not hex": [(b"traceparent", b"00-" + b"g" * 32 + GOOD[35:])],
    "a digit of another script": [(b"traceparent", GOOD[:-1] + "٣".encode())],
    "a line feed": [(b"traceparent", GOOD + b"\n")],
    "underscores": [(b"traceparent", GOOD.replace(b"-", b"_"))],
    "binary": [(b"traceparent", b"\xff\xfe\x00")],
    "tracestate alone": [(b"tracestate", b"vendor=1")],
    "the old B3 header": [(b"b3", GOOD[3:])],
}


@pytest.mark.parametrize("headers", CONTINUED.values(), ids=CONTINUED)
def test_a_well_formed_caller_is_the_parent(headers: Headers) -> None:
    """Also where it speaks a later version, of which the first four fields are read (section 4.1)."""
    seen = Request(headers)
    assert seen.parent is not None
    assert (f"{seen.parent.trace_id:032x}", f"{seen.parent.span_id:016x}") == (TRACE, SPAN)


@pytest.mark.parametrize("headers", NEW.values(), ids=NEW)
def test_every_malformed_caller_starts_a_new_trace(headers: Headers) -> None:
    """Nothing is repaired, the request is served, its trace is sampled as any new one, and no state is taken over."""
    seen = Request(headers)
    assert seen.sampled
    assert seen.parent is None
    assert seen.trace_id != TRACE
    assert seen.state == ""


STATES: dict[str, tuple[list[bytes], str]] = {
    "one": ([b"vendor=1"], "vendor=1"),
    "several headers": ([b"a=1,b=2", b"c=3"], "a=1,b=2,c=3"),
    "multi-tenant key": ([b"1t@v=x"], "1t@v=x"),
    "spaces around members": ([b" a=1 ,\t b=2 "], "a=1,b=2"),
    "empty members": ([b"a=1,,b=2,"], "a=1,b=2"),
    "32 members": ([",".join(f"k{n}=v" for n in range(32)).encode()], ",".join(f"k{n}=v" for n in range(32))),
    "33 members": ([",".join(f"k{n}=v" for n in range(33)).encode()], ""),
    "a key twice": ([b"a=1,a=2"], ""),
    "no value": ([b"a="], ""),
    "upper case key": ([b"A=1"], ""),
    "control character": ([b"a=\x01"], ""),
    "not ASCII": ([b"a=\xff"], ""),
    "far too long": ([b"a=" + b"x" * 10_000], ""),
}


@pytest.mark.parametrize(("values", "state"), STATES.values(), ids=STATES)
def test_tracestate_is_taken_over_whole_or_not_at_all(values: list[bytes], state: str) -> None:
    """A malformed state is dropped, and the parent is kept (section 3.3.1.3)."""
    seen = Request([(b"traceparent", GOOD), *((b"tracestate", value) for value in values)])
    assert seen.state == state
    assert seen.parent is not None


BAGGAGE: dict[str, tuple[list[bytes], dict[str, str]]] = {
    "one": ([b"campus=north"], {"campus": "north"}),
    "several headers": ([b"a=1", b"b=2,c=3"], {"a": "1", "b": "2", "c": "3"}),
    "percent-encoded": ([b"name=a%20b%2Cc"], {"name": "a b,c"}),
    "properties": ([b"a=1;secret;p=2"], {"a": "1"}),
    "spaces": ([b" a = 1 , b=2 ;x"], {"a": "1", "b": "2"}),
    "quotes and backslashes": ([b'a="b",b=c\\d,c=3'], {"c": "3"}),
    "a long name": ([b"n" * 256 + b"=1", b"n" * 257 + b"=2"], {"n" * 256: "1"}),
    "some malformed": ([b"a=1,=2,b,c=\xff,d e=3,f=4"], {"a": "1", "f": "4"}),
    "too many": ([",".join(f"k{n}=v" for n in range(100)).encode()], {f"k{n}": "v" for n in range(64)}),
    "no UTF-8": ([b"a=%ff"], {"a": "\ufffd"}),
    "just short enough": ([b"a=" + b"x" * 8190], {"a": "x" * 8190}),
    "just too long": ([b"a=" + b"x" * 8191], {}),
    "too long": ([b"a=" + b"x" * 10_000], {}),
}


@pytest.mark.parametrize(("values", "found"), BAGGAGE.values(), ids=BAGGAGE)
def test_baggage_is_there_for_the_application(values: list[bytes], found: dict[str, str]) -> None:
    """What is well formed is in OpenTelemetry's baggage, also without a trace to continue."""
    assert Request([(b"baggage", value) for value in values]).baggage == found


@given(st.lists(st.binary(max_size=300), max_size=3))
@example([b"a=1,b=2", b"c=3"])
def test_any_bytes_are_read_in_silence(values: list[bytes]) -> None:
    """A client cannot fill the log: the SDK's own parsers write a warning with its text for each malformed member."""
    noted: list[logging.LogRecord] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = noted.append  # type: ignore[method-assign,assignment]
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(handler)
    try:
        members = tracestate.parse(values)
        assert list(TraceState(members).items()) == members
        for name, value in baggage.parse(values).items():
            otel_baggage.set_baggage(name, value)
    finally:
        logger.removeHandler(handler)
    assert noted == []


state_keys = st.text("az09_*/-", max_size=12).map(lambda rest: "a" + rest)
state_values = st.text("".join(sorted(set(map(chr, range(0x20, 0x7F))) - {",", "="})), max_size=12).map(
    lambda head: head + "!"
)


@given(st.dictionaries(state_keys, state_values, max_size=12))
def test_every_valid_state_is_read_as_the_sdk_reads_it(members: dict[str, str]) -> None:
    """Ours differs from the SDK's parser in being silent only."""
    text = ",".join(f"{key}={value}" for key, value in members.items())
    assert dict(tracestate.parse([text.encode()])) == dict(TraceState.from_header([text]))

"""Trace headers of a client are parsed by the rules of W3C Trace Context and Baggage."""

from __future__ import annotations

import logging

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import baggage as otel_baggage
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON
from opentelemetry.trace import TraceFlags, TraceState, get_current_span

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.tracing.propagation import tracestate
from divan_obs_asgi.tracing.propagation.parents import CallerTraceState, parse_baggage
from divan_obs_asgi.tracing.propagation.pubsub import current_traceparent
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed
from tests.tracing.exported import Exported

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()
Headers = list[tuple[bytes, bytes]]


class Request:
    """One request through a stack, with its trace as the application and the collector see it."""

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
    """For a later version, the first four fields are used (level 2, section 3.2.4)."""
    seen = Request(headers)
    assert seen.parent is not None
    assert (f"{seen.parent.trace_id:032x}", f"{seen.parent.span_id:016x}") == (TRACE, SPAN)


@pytest.mark.parametrize("headers", NEW.values(), ids=NEW)
def test_every_malformed_caller_starts_a_new_trace(headers: Headers) -> None:
    """Nothing is repaired. The request is served, its trace is sampled like any new one, and has no trace state."""
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
    "32 members and empty ones": (
        [b",".join([b"k%d=v," % n for n in range(32)])],
        ",".join(f"k{n}=v" for n in range(32)),
    ),
    "33 members": ([",".join(f"k{n}=v" for n in range(33)).encode()], ""),
    "33 members, one of them twice": ([b"k0=v," + b",".join(b"k%d=v" % n for n in range(32))], ""),
    "a key twice": ([b"a=1,b=2,a=3"], "a=1,b=2"),
    "a key twice, with one value": ([b"a=1,a=1"], "a=1"),
    "a key in two headers": ([b"a=1", b"b=2,a=3"], "a=1,b=2"),
    "empty headers": ([b"", b"a=1", b" \t", b"b=2", b""], "a=1,b=2"),
    "at the end of a key": ([b"foo@=1,b=2"], "foo@=1,b=2"),
    "twice in a key": ([b"foo@@bar=1,foo@bar@baz=2"], "foo@@bar=1,foo@bar@baz=2"),
    "at the beginning of a key": ([b"@foo=1,b=2"], ""),
    "a digit first": ([b"0=1,9z=2"], "0=1,9z=2"),
    "a sign first": ([b"a=1,_b=2"], ""),
    "a key of 256": ([b"z" * 256 + b"=1,b=2"], "z" * 256 + "=1,b=2"),
    "a key of 257": ([b"z" * 257 + b"=1,b=2"], ""),
    "a long tenant": ([b"t" * 242 + b"@v=1,t@" + b"v" * 15 + b"=2"], "t" * 242 + "@v=1,t@" + "v" * 15 + "=2"),
    "a value of 256": ([b"a=" + b"v" * 256], "a=" + "v" * 256),
    "a value of 257": ([b"a=" + b"v" * 257], ""),
    "spaces in a value": ([b"a=  x y ,b=2"], "a=  x y,b=2"),
    "a space after a key": ([b"foo =1"], ""),
    "a dot in a key": ([b"foo.bar=1"], ""),
    "an equals sign in a value": ([b"foo=bar=baz"], ""),
    "more than 512 characters": (
        [b"a=" + b"x" * 200 + b",b=" + b"x" * 200 + b",c=" + b"x" * 200],
        ",".join(f"{k}=" + "x" * 200 for k in "abc"),
    ),
    "no value": ([b"a=,b=2"], ""),
    "upper case key": ([b"A=1"], ""),
    "control character": ([b"a=\x01"], ""),
    "not ASCII": ([b"a=\xff"], ""),
    "far too long": ([b"a=" + b"x" * 10_000], ""),
}


@pytest.mark.parametrize(("values", "state"), STATES.values(), ids=STATES)
def test_tracestate_is_read_by_the_grammar_of_level_2(values: list[bytes], state: str) -> None:
    """
    A malformed list is dropped and the parent is kept (W3C Trace Context, level 2, section 3.3).

    Several headers are one list, in their order, and its empty members say nothing (section 3.3.2). Of a key that is
    there twice the left-most, the latest, is kept (section 3.5).
    """
    seen = Request([(b"traceparent", GOOD), *((b"tracestate", value) for value in values)])
    assert seen.state == state
    assert seen.parent is not None


def test_a_state_that_is_too_long_loses_whole_members() -> None:
    """Members above 128 characters first, then from the end (level 2, section 3.3.3.1); the order is kept."""
    short = [f"s{n}={'x' * 100}" for n in range(10)]
    long = [f"l{n}={'x' * 256}" for n in range(4)]
    longest = [f"{'k' * 255}{n}={'x' * 256}" for n in range(10)]
    longer = [f"{'k' * 254}{n}={'x' * 256}" for n in range(10, 18)]
    assert list(tracestate.parse([",".join([*short[:5], *longest, *longer, *short[5:]]).encode()])) == [
        key.partition("=")[0] for key in [*short[:5], *longest, *longer[:3], *short[5:]]
    ]
    kept = tracestate.parse([",".join([*longest, *longer[:3], *long, *short]).encode()])
    assert len(",".join(f"{key}={value}" for key, value in kept.items())) <= 8192
    assert [key for key in kept if key[0] == "s"] == [f"s{n}" for n in range(10)]


def test_a_state_of_level_2_can_be_changed() -> None:
    """If a vendor sets its member, it moves to the beginning and the others are kept (level 2, section 3.5)."""
    state: TraceState = CallerTraceState(tracestate.parse([b"foo@=1,9=2"]))
    assert state.add("mine", "3").to_header() == "mine=3,foo@=1,9=2"
    assert state.add("foo@", "3") is state
    assert state.update("9", "3").to_header() == "9=3,foo@=1"
    assert state.update("@", "3") is state
    assert state.delete("foo@").to_header() == "9=2"
    full: TraceState = CallerTraceState({f"k{n}": "v" for n in range(32)})
    assert full.add("mine", "3") is full
    assert full.update("k31", "w").to_header().startswith("k31=w,k0=v,")


FLAGS = {"00": "00", "01": "01", "02": "02", "03": "03", "ff": "03", "fc": "00", "0a": "02"}


def kept_by_sdk(flags: str) -> str:
    """Return what a span of the SDK keeps of these flags: old versions know one of them."""
    return flags if hasattr(TraceFlags, "RANDOM_TRACE_ID") else {"02": "00", "03": "01"}.get(flags, flags)


@pytest.mark.parametrize("native", ["suppress", "nest", "defer"])
@pytest.mark.parametrize("own_provider", [False, True], ids=["ours", "the application's"])
@pytest.mark.parametrize(("given", "sent"), FLAGS.items())
def test_the_random_flag_is_propagated_unchanged(given: str, sent: str, own_provider: bool, native: str) -> None:
    """
    To whom the service calls and in its own response; reserved flags are zero (level 2, section 3.2.2.5).

    A service behind this one may sample by the bits of the trace id only where they are random.
    """
    seen = Propagated([(b"traceparent", GOOD[:-2] + given.encode())], own_provider, native)
    # The ids of a framework's unsampled span are unknown if it is made by the application's provider.
    unknown = own_provider and native == "defer" and sent in ("00", "02")
    kept = kept_by_sdk(sent) if own_provider or native == "defer" else sent
    # The record has the flags of the caller where the framework's span is not recorded.
    in_response = sent if native == "defer" and not own_provider and sent in ("00", "02") else kept
    assert seen.flags == [kept, kept, *([] if unknown else [in_response, in_response])]


@pytest.mark.parametrize("own_provider", [False, True], ids=["ours", "the application's"])
@pytest.mark.parametrize(("sampler", "sent"), [("always_on", "03"), ("always_off", "02")])
def test_a_new_trace_has_the_random_flag(sampler: str, sent: str, own_provider: bool) -> None:
    """All bits of the id are random (level 2, section 3.2.2.5.2)."""
    assert Propagated([], own_provider, "suppress", sampler).flags == [kept_by_sdk(sent) if own_provider else sent] * 4


def test_an_id_of_another_generator_does_not_get_the_random_flag() -> None:
    """Only the generator of the application knows whether its ids are random."""

    class Counted(RandomIdGenerator):
        def is_trace_id_random(self) -> bool:
            return False

    assert Propagated([], True, "suppress", ids=Counted()).flags == ["01"] * 4


class Propagated:
    """The trace flags that a service sends: in a request, in a message, and in two response headers."""

    def __init__(
        self,
        headers: Headers,
        own_provider: bool,
        native: str,
        sampler: str = "parentbased_always_on",
        ids: IdGenerator | None = None,
    ) -> None:
        flags = {
            "OBS_TRACING_ENABLED": "true",
            "OBS_TRACING_NATIVE": native,
            "OBS_TRACING_RESPONSE_HEADERS": "traceparent,traceresponse",
            "OTEL_TRACES_SAMPLER": sampler,
        }
        decides = {"always_off": ALWAYS_OFF, "always_on": ALWAYS_ON}.get(sampler, DEFAULT_ON)
        provider = TracerProvider(decides, shutdown_on_exit=False, id_generator=ids) if own_provider else None
        observed = Observed(flags, span_exporter=None if own_provider else Exported(), tracer_provider=provider)
        self.sent: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            outgoing: dict[str, str] = {}
            inject(outgoing)
            self.sent = [outgoing["traceparent"], current_traceparent()]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        assert observed.obs.spans is not None
        served: ASGIApp = app
        if native == "defer":
            served = OpenTelemetryMiddleware(app, tracer_provider=observed.obs.spans.provider)
        answer = anyio.run(converse, obs.build_stack(served, observed.obs), http_scope(headers=headers))
        responses = [value.decode() for name in (b"traceparent", b"traceresponse") for value in answer.header(name)]
        self.flags = [value[-2:] for value in self.sent + responses]


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
    """Well-formed members are in OpenTelemetry's baggage, with and without a trace to continue."""
    assert Request([(b"baggage", value) for value in values]).baggage == found


@given(st.lists(st.binary(max_size=300), max_size=3))
@example([b"a=1,b=2", b"c=3"])
def test_invalid_headers_are_not_logged(values: list[bytes]) -> None:
    """A client cannot fill the log. The SDK's own parsers log each malformed member with its text."""
    noted: list[logging.LogRecord] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = noted.append  # type: ignore[method-assign,assignment]
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(handler)
    try:
        members = tracestate.parse(values)
        assert list(CallerTraceState(members).items()) == list(members.items())
        for name, value in parse_baggage(values).items():
            otel_baggage.set_baggage(name, value)
    finally:
        logger.removeHandler(handler)
    assert noted == []


state_keys = st.text("az09_*/-", max_size=12).map(lambda rest: "a" + rest)
state_values = st.text("".join(sorted(set(map(chr, range(0x20, 0x7F))) - {",", "="})), max_size=12).map(
    lambda head: head + "!"
)


@given(st.dictionaries(state_keys, state_values, max_size=12))
def test_every_valid_state_is_parsed_like_the_sdk_does(members: dict[str, str]) -> None:
    """The only difference from the SDK's parser is that ours does not log."""
    text = ",".join(f"{key}={value}" for key, value in members.items())
    assert tracestate.parse([text.encode()]) == dict(TraceState.from_header([text]))

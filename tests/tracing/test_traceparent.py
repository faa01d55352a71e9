"""W3C Trace Context: which headers continue a trace, and which start a new one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.tracing.propagation.traceparent import TraceParent, parse, render

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (GOOD, 1),
        (GOOD[:-2] + b"00", 0),
        (GOOD[:-2] + b"02", 2),
        (GOOD[:-2] + b"03", 3),
        (GOOD[:-2] + b"ff", 3),
        (GOOD[:-2] + b"fc", 0),
        (b" \t" + GOOD + b" ", 1),
        (b"01" + GOOD[2:], 1),
        (b"cc" + GOOD[2:] + b"-what-the-future-brings", 1),
        (b"fe" + GOOD[2:-2] + b"03-", 3),
    ],
)
def test_a_well_formed_parent_is_continued(value: bytes, flags: int) -> None:
    """
    Version 00, and whatever later versions append to it (W3C Trace Context, level 2, section 3.2.4).

    Flags are bits and no number; those that are reserved are not taken over (section 3.2.2.5).
    """
    assert parse([value]) == TraceParent(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"00"],
        [GOOD, GOOD],
        [b"ff" + GOOD[2:]],
        [GOOD.upper()],
        [GOOD + b"-more"],
        [b"01" + GOOD[2:] + b".more"],
        [GOOD.replace(TRACE.encode(), b"0" * 32)],
        [GOOD.replace(SPAN.encode(), b"0" * 16)],
        [GOOD.replace(b"-", b"_")],
        [GOOD[:-1]],
        [GOOD[1:]],
        [GOOD + b"\n"],
        [b"0x" + GOOD[2:]],
        [GOOD.replace(b"4bf9", b"4bg9")],
        [GOOD + b"," + GOOD],
        [b"\xff\xfe" + GOOD],
    ],
)
def test_a_malformed_parent_starts_a_new_trace(values: list[bytes]) -> None:
    """Nothing is repaired: a wrong parent would add this request to an unrelated trace."""
    assert parse(values) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_parsed_without_an_error(value: bytes) -> None:
    """A client can send any bytes."""
    parent = parse([value])
    assert parent is None or (len(parent.trace_id), len(parent.span_id)) == (32, 16)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 3))
def test_a_rendered_traceparent_can_be_parsed(trace: int, span: int, flags: int) -> None:
    """The header of a response is a valid parent."""
    parent = parse([render(f"{trace:032x}", f"{span:016x}", flags)])
    assert parent == TraceParent(f"{trace:032x}", f"{span:016x}", flags)
    assert parent is not None
    assert parent.sampled is bool(flags & 1)

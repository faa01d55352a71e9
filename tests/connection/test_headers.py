"""Reading and replacing raw headers, and exposing them to scripts of other origins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.connection.headers import allows_origin, by_name, exposed, joined, lasting, replaced, values

RAW_HEADERS = st.lists(st.tuples(st.sampled_from([b"a", b"A", b"b", b"X-Request-Id"]), st.binary(max_size=3)))


def test_several_headers_of_one_name_are_one_list() -> None:
    """In their order; bytes that are no text do not matter here."""
    assert joined([(b"accept", b"a"), (b"host", b"x"), (b"accept", b"b, \xff")], b"accept") == "a, b, \xff"
    assert joined([], b"accept") == ""


def test_a_replaced_header_stands_once() -> None:
    """Whatever the application set under that name, in any case, is gone; other headers keep their order."""
    headers = [(b"X-Request-Id", b"mine"), (b"set-cookie", b"a"), (b"x-request-id", b"mine too"), (b"Set-Cookie", b"b")]
    assert replaced(headers, {b"x-request-id": b"7"}) == [
        (b"set-cookie", b"a"),
        (b"Set-Cookie", b"b"),
        (b"x-request-id", b"7"),
    ]
    assert headers[0] == (b"X-Request-Id", b"mine"), "the application's own list was changed"


def test_headers_may_be_any_iterable_of_pairs() -> None:
    """ASGI wants no list: a tuple, a generator, and pairs that are lists themselves, which stay what they are."""
    pairs: Any = ([b"a", b"1"], [b"b", b"2"])
    assert replaced((pair for pair in pairs), {b"b": b"3"}) == [[b"a", b"1"], (b"b", b"3")]


@given(RAW_HEADERS, st.dictionaries(st.sampled_from([b"a", b"x-request-id"]), st.binary(max_size=3)))
def test_replacing_leaves_all_other_headers_alone(headers: list[tuple[bytes, bytes]], new: dict[bytes, bytes]) -> None:
    """Nothing but the named headers changes, and each of those stands once, with the new value."""
    after = replaced(headers, new)
    assert [pair for pair in after if pair[0].lower() not in new] == [p for p in headers if p[0].lower() not in new]
    for name, value in new.items():
        assert [value for key, value in after if key.lower() == name] == [value]


def test_all_values_of_a_header_are_found_in_order() -> None:
    """A header may stand more than once."""
    assert values([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")], b"a") == [b"1", b"3"]
    assert values([], b"a") == []


def test_headers_that_can_be_read_once_become_a_list() -> None:
    """ASGI asks for an iterable of iterables; a list or a tuple of pairs stays the object that it is."""
    pairs = [(b"cookie", b"a=1"), (b"accept", b"*/*")]
    for passed in (iter(pairs), (iter(pair) for pair in pairs), [iter(pair) for pair in pairs], dict(pairs).items()):
        assert lasting(passed) == pairs
    others: list[Any] = [pairs, tuple(pairs), [list(pair) for pair in pairs], [], (), None, 5]
    for kept in others:
        assert lasting(kept) is kept


def test_names_may_be_of_any_kind_of_bytes() -> None:
    """Servers take a bytearray and a memoryview too; a text is the application's mistake, and stays one."""
    given: Any = [[bytearray(b"X-Request-Id"), b"1"], (memoryview(b"etag"), b"2")]
    assert replaced(given, {b"x-request-id": b"3"}) == [(memoryview(b"etag"), b"2"), (b"x-request-id", b"3")]
    assert by_name([(bytearray(b"a"), b"1"), (b"b", b"2")]) == {b"a": b"1", b"b": b"2"}  # type: ignore[list-item]
    for name in ("x-request-id", 1 << 40):
        with pytest.raises(TypeError):
            replaced([(bytearray(b"a"), b"1"), (name, b"2")], {b"a": b"3"})  # type: ignore[list-item]


OURS = (b"x-request-id", b"traceparent")
EXPOSE, ORIGIN = b"access-control-expose-headers", (b"access-control-allow-origin", b"https://shop.example")
CREDENTIALS = (b"access-control-allow-credentials", b"true")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"x-request-id, traceparent"]),
        ([b"X-Total"], [b"X-Total, x-request-id, traceparent"]),
        ([b"X-Request-ID"], [b"X-Request-ID, traceparent"]),
        ([b"traceparent , X-Request-Id"], [b"traceparent , X-Request-Id"]),
        ([b""], [b"x-request-id, traceparent"]),
        ([b"X-Total", b"etag"], [b"X-Total", b"etag, x-request-id, traceparent"]),
        ([b"*"], [b"*"]),
    ],
)
def test_what_is_exposed_is_added_to_the_applications_list(before: list[bytes], after: list[bytes]) -> None:
    """The application's names stay, none of ours is there twice, and a second stack around adds nothing."""
    headers = [ORIGIN, *((EXPOSE, value) for value in before)]
    once = exposed(headers, OURS)
    assert values(once, EXPOSE) == after
    assert exposed(once, OURS) == once
    assert values(headers, EXPOSE) == before, "the application's own list was changed"


def test_a_star_says_nothing_to_a_request_with_credentials() -> None:
    """For such a request it is the name of a header; who decides on credentials may stand further out."""
    for headers in ([ORIGIN, CREDENTIALS, (EXPOSE, b"*")], [(EXPOSE, b"*")]):
        assert values(exposed(headers, OURS), EXPOSE) == [b"*, x-request-id, traceparent"]


def test_exposing_reads_any_kind_of_bytes() -> None:
    """As replacing does."""
    given: Any = [[bytearray(b"Access-Control-Expose-Headers"), memoryview(b"etag")], [memoryview(b"a"), b"1"]]
    assert bytes(exposed(given, OURS)[0][1]) == b"etag, x-request-id, traceparent"
    assert not allows_origin(given)
    assert allows_origin([ORIGIN])

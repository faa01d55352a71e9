"""Request ids: which of a client's are kept, and what new ones look like; and replacing headers."""

from __future__ import annotations

import string
import subprocess
import sys
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.headers import by_name, joined, lasting, new_request_id, replaced, valid_request_id, values

ALLOWED = (string.ascii_letters + string.digits + "._:/+=-").encode()
RAW_HEADERS = st.lists(st.tuples(st.sampled_from([b"a", b"A", b"b", b"X-Request-Id"]), st.binary(max_size=3)))


@pytest.mark.parametrize(
    "good",
    [
        b"a",
        b"0",
        b"a" * 128,
        b"2c1b8a52-1c4f-4a3e-9b59-6f3e2f0f7a11",
        b"Root=1-67891233-abcdef012345678912345678",
        b"svc.edge/42:7+aGVsbG8=",
        ALLOWED,
    ],
)
def test_a_good_id_is_kept(good: bytes) -> None:
    """Ids of common proxies and tracers pass as they are."""
    assert valid_request_id(good) == good.decode()


def test_several_headers_of_one_name_are_one_list() -> None:
    """In their order; bytes that are no text do not matter here."""
    assert joined([(b"accept", b"a"), (b"host", b"x"), (b"accept", b"b, \xff")], b"accept") == "a, b, \xff"
    assert joined([], b"accept") == ""


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"",
        b" ",
        b"a" * 129,
        b"a b",
        b" a",
        b"a\n",
        b"a\r\nset-cookie: b",
        b"a\x00",
        b"a\x7f",
        b'a"b',
        b"a,b",
        b"<script>",
        b"a;b",
        b"{a}",
        b"a\\n",
        b"caf\xc3\xa9",
        b"\xff",
        "\u0661".encode(),
    ],
)
def test_a_bad_id_is_not_kept(bad: bytes | None) -> None:
    """What could forge a log line or a header is never echoed."""
    assert valid_request_id(bad) is None


@given(st.binary(max_size=200) | st.text(alphabet=ALLOWED.decode(), max_size=140).map(str.encode))
@example(b"a\n")  # `$` of a regular expression would let it pass.
def test_an_id_is_kept_exactly_where_every_character_is_allowed(value: bytes) -> None:
    """The rule is: 1 to 128 letters, digits or any of . _ : / + = -"""
    good = 1 <= len(value) <= 128 and all(byte in ALLOWED for byte in value)
    assert valid_request_id(value) == (value.decode("latin-1") if good else None)


def test_a_new_id_is_a_random_uuid() -> None:
    """Version 4, variant of RFC 4122, written as everyone writes it; more of them than one draw of chance gives."""
    ids = [new_request_id() for _ in range(1000)]
    for text in ids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
        assert str(parsed) == text
    assert len(set(ids)) == len(ids)


def test_a_new_id_is_one_that_the_next_service_keeps() -> None:
    """Ids are passed on from service to service."""
    text = new_request_id()
    assert valid_request_id(text.encode()) == text


def test_every_digit_of_a_new_id_is_left_to_chance() -> None:
    """Only the version is fixed, and the variant has four digits to choose from."""
    seen = [set(column) for column in zip(*(new_request_id() for _ in range(1000)), strict=True)]
    fixed = {8: {"-"}, 13: {"-"}, 14: {"4"}, 18: {"-"}, 19: set("89ab"), 23: {"-"}}
    for position, digits in enumerate(seen):
        assert digits == fixed.get(position, set("0123456789abcdef"))


def test_a_forked_worker_gives_out_ids_of_its_own() -> None:
    """A server that loads the application and forks its workers must not hand out one id twice."""
    script = """
import os, sys
from divan_obs_asgi.headers import new_request_id
new_request_id()
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, " ".join(new_request_id() for _ in range(20)).encode())
    os._exit(0)
os.close(writing)
with open(reading) as pipe:
    sys.stdout.write(pipe.read() + " ")
os.wait()
sys.stdout.write(" ".join(new_request_id() for _ in range(20)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    ids = done.stdout.split()
    assert len(ids) == 40
    assert len(set(ids)) == 40


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

"""Request ids: which of a client's are kept, and what new ones look like."""

from __future__ import annotations

import itertools
import string
import subprocess
import sys
import threading
import time
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.connection.request_ids import GENERATORS, Uuid7, uuid4, valid_request_id

ALLOWED = (string.ascii_letters + string.digits + "._:/+=-").encode()


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
    ids = [uuid4() for _ in range(1000)]
    for text in ids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
        assert str(parsed) == text
    assert len(set(ids)) == len(ids)


def test_a_new_id_is_one_that_the_next_service_keeps() -> None:
    """Ids are passed on from service to service."""
    text = uuid4()
    assert valid_request_id(text.encode()) == text


def test_every_digit_of_a_new_id_is_left_to_chance() -> None:
    """Only the version is fixed, and the variant has four digits to choose from."""
    seen = [set(column) for column in zip(*(uuid4() for _ in range(1000)), strict=True)]
    fixed = {8: {"-"}, 13: {"-"}, 14: {"4"}, 18: {"-"}, 19: set("89ab"), 23: {"-"}}
    for position, digits in enumerate(seen):
        assert digits == fixed.get(position, set("0123456789abcdef"))


@pytest.mark.parametrize("name", GENERATORS)
def test_a_forked_worker_gives_out_ids_of_its_own(name: str) -> None:
    """A server that loads the application and forks its workers must not hand out one id twice."""
    script = f"""
import os, sys
from divan_obs_asgi.connection.request_ids import {name} as new_id
new_id()
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, " ".join(new_id() for _ in range(20)).encode())
    os._exit(0)
os.close(writing)
with open(reading) as pipe:
    sys.stdout.write(pipe.read() + " ")
os.wait()
sys.stdout.write(" ".join(new_id() for _ in range(20)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    ids = done.stdout.split()
    assert len(ids) == 40
    assert len(set(ids)) == 40


class Clock:
    """Unix time that stands still until it is set."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms * 1_000_000 + 999_999


def test_a_uuid7_begins_with_its_time() -> None:
    """RFC 9562, section 5.7; the time of the example in its appendix A.6."""
    parsed = uuid.UUID(Uuid7(Clock(0x017F22E279B0))())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == 0x017F22E279B0
    now_ms = uuid.UUID(GENERATORS["uuid7"]()).int >> 80
    assert abs(now_ms - time.time_ns() // 1_000_000) < 60_000


def test_uuids7_are_in_the_order_in_which_they_were_made() -> None:
    """Within a millisecond, where the clock goes back, and from several threads."""
    clock = Clock(1_700_000_000_000)
    new_id = Uuid7(clock)
    ids = [new_id() for _ in range(1000)]
    clock.ms -= 3_600_000
    ids += [new_id() for _ in range(1000)]
    clock.ms += 3_600_001
    ids.append(new_id())
    assert ids == sorted(set(ids))
    assert uuid.UUID(ids[-1]).int >> 80 == clock.ms

    per_thread: list[list[str]] = []
    threads = [threading.Thread(target=lambda: per_thread.append([new_id() for _ in range(500)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(made == sorted(made) for made in per_thread)
    assert len({made for ids in per_thread for made in ids}) == 2000


def test_uuids7_of_one_millisecond_cannot_be_guessed() -> None:
    """The next one is a random step away from the one before it, not the next number."""
    new_id = Uuid7(Clock(1_700_000_000_000))
    numbers = [uuid.UUID(new_id()).int & ((1 << 62) - 1) for _ in range(100)]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    assert len(steps) == 99
    assert max(steps) > 1 << 24


@pytest.mark.parametrize("own", ["uuid", 7, object()])
def test_a_generator_that_cannot_be_called_is_an_error_at_the_start(own: object) -> None:
    """And so is one that would have to be awaited."""
    with pytest.raises(obs.ImproperlyConfigured, match=r"^new_request_id is \w+; expected a function"):
        obs.Observability.from_env({}, new_request_id=own)  # type: ignore[arg-type]

    async def later() -> str:
        return "a"

    with pytest.raises(obs.ImproperlyConfigured, match=r"^new_request_id is a coroutine function; expected"):
        obs.Observability.from_env({}, new_request_id=later)  # type: ignore[arg-type]

"""Time is linear in the input, for whatever repetition a client can send: the search for a bad one is a part of it."""

from __future__ import annotations

import math
from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divan_obs_asgi.redaction import DEFAULT_RULES, KeyRule, Limits, RedactionPolicy, TokenShape

# The whole text goes through the detectors.
UNCUT = RedactionPolicy(limits=Limits(text=0))
SHORT, LONG = 4096, 65_536
# log(time of the long text / time of the short one) / log(16): 1 is linear, 2 quadratic. Caches and neighbours on the
# machine make less of a difference than this.
MOST = 1.5
# A text that takes less than this is no danger, whatever the exponent; quadratic ones take ten times as much and more.
LEAST_S = 0.01
# Where a first look at a text of this size takes longer than this for each character, it is measured.
LOOK, LOOK_S = 16_384, 1.5e-6

# What a text may stand in the middle of, and what may follow: an end that comes late, or none.
BEGINNINGS = [
    "",
    "token=q7",
    "body=q7",
    'password="',
    'invalid input syntax for x: "',
    "Key (a)=(",
    "://a:",
    "cookie: a",
]
ENDS = ["", "=a", " x", '"', "@b.cd", ".x", "\n", "]"]
GLUE = ["", "-", "_", ".", " ", "=", ":", ": ", "/", "+", ",", "%20", "%3D", "\\", "\n", '"', "=[", "='", ";"]
# Known to be quadratic once.
KNOWN = ["eyJ-", "eyJa-", "-eyJeyJ----", "ghp_eyJeyJghp_ghp_ghp_", "bearer+", "basic%20", ";text:a", "x://%40"]
PATTERNS = r"""
    @ %40 \u0040 &#64; a@b.cd git@ icon@2x.png :// http://a:b ://...@ redis://u mongodb://u@ +1 +1234567 %2B1 00 0049
    -----BEGIN -----END --token --a Bearer bearer basic bearer":" YWRhOnMzY3JldA [ ] { } ( ) < > ' " \ \\ \" ` * ${ {{
    %( [redacted: [redacted:x] [cut:length] .0000 1.0001,2.0002 52.5200, AA00 GB82WEST 4111 4111111111111111 0-0 A a 1
    - _ . / ? & ; , é xoxe.xox 1:AA hooks.slack.com/services/ com/api/webhooks/1 Q~ AKIA0123456789ABCDEF sk-A1 x.x
    eyJhbGciOiJIUzI1NiJ9.e30 SG.0123456789abcdefgh {"a":"\u0041
"""
WITH_BLANKS = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "Key (a)=(",
    "Failing row contains (",
    "[parameters: ",
    "]\n(Background on ",
    "Duplicate entry '",
    "invalid input syntax for x: ",
    "\t",
]


def fragments() -> list[str]:
    """Return what rules look for: prefixes of tokens, the last words of keys, and the beginnings of all else."""
    found = [*KNOWN, *PATTERNS.split(), *WITH_BLANKS]
    for rule in DEFAULT_RULES:
        if isinstance(rule, TokenShape):
            found += rule.prefixes[:2]
        elif isinstance(rule, KeyRule):
            # All words of a rule go the same way; two of each kind of it are enough.
            for phrases in (rule.words, rule.last, rule.exact):
                found += sorted(phrases)[:2]
    return list(dict.fromkeys(found))


FRAGMENTS = fragments()


def text_of(beginning: str, repeated: str, end: str, size: int) -> str:
    """Return a text of about `size` characters."""
    return beginning + repeated * (size // len(repeated) + 1) + end


def seconds(text: str, policy: RedactionPolicy = UNCUT, enough: float = math.inf) -> float:
    """Return the best of some runs; more are of no use where one is good enough."""
    best = math.inf
    for _ in range(5):
        started = thread_time()
        policy.redact_text(text)
        best = min(best, thread_time() - started)
        if best < enough:
            break
    return best


def exponent(beginning: str, repeated: str, end: str) -> float:
    """Return with which power of the length time grows between 4 and 64 KB; 1 where it is too short to tell."""
    short = max(seconds(text_of(beginning, repeated, end, SHORT)), 1e-5)
    # What is quadratic shows at 16 KB already, and 64 KB of it would take seconds.
    for size in (4 * SHORT, LONG):
        took = seconds(text_of(beginning, repeated, end, size), enough=LEAST_S / 4)
        if took < LEAST_S / 4:
            continue
        grown = math.log(took / short) / math.log(size / SHORT)
        if size == LONG or grown > MOST:
            return grown
    return 1.0


def assert_linear(beginning: str, repeated: str, end: str) -> None:
    """Look first, and measure what takes long; asked three times, for a neighbour may have had its turn."""
    if seconds(text_of(beginning, repeated, end, LOOK), enough=LOOK * LOOK_S) < LOOK * LOOK_S:
        return
    exponents = []
    for _ in range(3):
        exponents.append(exponent(beginning, repeated, end))
        if exponents[-1] < MOST:
            return
    pytest.fail(f"{beginning!r} {repeated!r} {end!r} grows with the power {min(exponents):.2f} of its length")


@pytest.mark.parametrize("repeated", KNOWN)
@pytest.mark.parametrize("end", ["", "=a", "@"])
def test_what_was_quadratic_is_linear(repeated: str, end: str) -> None:
    """64 KB of the first took ten seconds."""
    assert exponent("", repeated, end) < MOST or exponent("", repeated, end) < MOST


@pytest.mark.parametrize("glue", GLUE)
def test_no_repetition_of_a_fragment_is_quadratic(glue: str) -> None:
    """Of each thing that rules look for, with each thing that may stand between two of them."""
    for fragment in FRAGMENTS:
        for end in ("", "=a"):
            assert_linear("", fragment + glue, end)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_no_end_that_comes_late_is_quadratic(beginning: str) -> None:
    """A secret that has begun, a long run of one thing, and then what ends it or does not."""
    for fragment in [*FRAGMENTS, *(char + char for char in GLUE if char), "a ", "9 ", "a;"]:
        for end in ENDS:
            assert_linear(beginning, fragment, end)


@settings(max_examples=150, deadline=None)
@given(
    beginning=st.sampled_from(BEGINNINGS),
    parts=st.lists(
        st.sampled_from(FRAGMENTS) | st.sampled_from(GLUE[1:]) | st.characters(codec="ascii"), min_size=1, max_size=5
    ),
    end=st.sampled_from(ENDS),
)
def test_no_combination_is_quadratic(beginning: str, parts: list[str], end: str) -> None:
    """What nobody has thought of."""
    assert_linear(beginning, "".join(parts), end)

# ruff: noqa: E501 - a list of fragments.
"""Time is linear in the input, for whatever repetition a client can send: the search for a bad one is a part of it."""

from __future__ import annotations

import math
import sys
from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divan_obs_asgi.redaction import DEFAULT_RULES, KeyRule, Limits, RedactionPolicy, TokenShape
from divan_obs_asgi.redaction.locales import LOCALES

# The whole text goes through the detectors.
UNCUT = RedactionPolicy(limits=Limits(text=0))
EVERYWHERE = RedactionPolicy(limits=Limits(text=0), locales=LOCALES)
TINY, BRIEF, SHORT, MIDDLE, LONG = 256, 1024, 4096, 16_384, 65_536
# log(time of the long text / time of the short one) / log(their ratio): 1 is linear, 2 quadratic.
MOST = 1.3
# Between 4 and 16 KB one measurement shows which cases to measure further: time per character may grow by this factor.
SUSPECT = 1.25
# Between 1 and 4 KB less growth than that is suspect. A quadratic part that makes the power 1.25 between 4 and 16 KB makes it
# 1.08 here.
SUSPECT_EARLY = 1.08
# Where 4 KB take less, what each call takes hides growth at 1 KB, and 16 KB are measured.
CLEAR_S = 0.002
# Less time than this for a text of 16 KB is harmless: if it were quadratic, 64 KB would take 16 times as long.
LEAST_S = 0.001
# A text of 1 KB that takes longer is not repeated up to 16 KB where 2 KB take as long as those of a text that was.
DEAR_S = 0.003
# 256 characters that take longer than this take years when they are a thousand.
HANGS_S = 0.02
# How much more time, in all or for each character, may be noise.
ALIKE = 1.15

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
ENDS = ["", "=a", '"', "@b.cd", " x]\n", "@", "\n"]
GLUE = ["", "-", "_", ".", " ", "=", ":", ": ", "/", "+", ",", "%20", "%3D", "%40", "\\", "\n", '"', "=[", "='", ";"]
# Known to be quadratic once.
KNOWN = ["eyJ-", "eyJa-", "-eyJeyJ----", "ghp_eyJeyJghp_ghp_ghp_", "bearer+", "basic%20", ";text:a", "x://%40"]
PATTERNS = r"""
    @ %40 \u0040 &#64; a@b.cd git@ icon@2x.png :// http://a:b ://...@ redis://u mongodb://u@ +1 +1234567 %2B1 00 0049
    -----BEGIN -----END --token --a Bearer bearer basic bearer":" YWRhOnMzY3JldA [ ] { } ( ) < > ' " \ \\ \" ` * ${ {{
    %( [redacted: [redacted:x] [cut:length] .0000 1.0001,2.0002 52.5200, AA00 GB82WEST 4111 4111111111111111 0-0 A a 1
    - _ . / ? & ; , é xoxe.xox 1:AA hooks.slack.com/services/ com/api/webhooks/1 Q~ AKIA0123456789ABCDEF sk-A1 x.x
    пароль пароль: 密码 密 длина_ не пароль_до \u043f \u0435\u043c: %D0%BF &#1087; \xd0\xbf \xd1\x8c:
    eyJhbGciOiJIUzI1NiJ9.e30 SG.0123456789abcdefgh {"a":"\u0041 %70 \u0070 &#112;
"""
WITH_BLANKS = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "docker login -p ",
    "password '",
    '["password"]=> string(1) "',
    'variable "password" { default = "',
    "Key (a)=(",
    "Failing row contains (",
    "[parameters: ",
    "]\n(Background on ",
    "Duplicate entry '",
    "invalid input syntax for x: ",
    "\t",
    'got invalid value "',
    "got invalid value {",
    "' is not of type '",
    "\\' is too long",
    "} is not of type",
    "12 is not of type ",
    "Select a valid choice. ",
    "rejected value [",
    'invalid literal "',
    'value `"',
    "parsing '",
    "name: token value: ",
    "{'name': 'token', 'value': '",
    "value={",
    "{value:",
    "field: a msg: b input: ",
    '["token", "',
    "(token, ",
    ':token "',
    "<key>token</key><a>",
    "?key=a1b2",
    "&code=q1w2e3r4&state=",
    "%22value%22%3A",
    "['Not valid', ",
    "token: Some(",
    "loss 12.3456 12.3456 ",
    "(a, password) VALUES (",
    ") values (",
    "), (",
    "a,password\n",
    "| token |\n",
    "-[ RECORD 1 ]\n",
    "copy a (token) from stdin\n",
    "' for password ",
    "value a1b2c3 for ",
    "setx password ",
    'password = "a" -> "',
    "net use \\\\a\\b ",
    "net user a ",
    "htpasswd -b a ",
    "7z -p",
    "AUTH ",
    "echo 'a | b ",
    "set password for a",
    "AUTH\r\n$1\r\n",
    "ACL SETUSER a >",
    "a1 LOGIN a ",
    "334 UGFzc3dvcmQ6\n",
    "USER a PASS ",
    "PDO->__construct('a', '",
    ".login('a', ",
    "with password a1b2c3 ",
    "password for a: ",
    "[raw sql] (",
    "==> Parameters: ",
    "; args=(",
    "+12345678 ",
    "password != '",
    "password in ('",
    "' == password",
    "check_password_hash(a, '",
    "password was set to ",
    "invalid token ",
    "**password**: ",
    "password=md5('",
    "password={SSHA}",
    "db:5432:a:b:",
    "--auth a:",
    "-token ",
]


# Notations of positions, national ids, and words beside a phone number.
LOCAL = [
    "lat 52.52 lon ", "lat 52.52 ", "lon: 1.5, lat: ", "lat/lon 1.5,", "gps ", "52.52 N, ", "N52.52 E", "!3d1.5!4d", "!3d1", "@1.5,2.5,",
    "map=1/1.5/", "?q=1.5,", "?ll=1.5%2C", "geo:1,", "52 31 12 N ", "52'31'12\"N13'24'", "N 52 31.2 E ", "4807.038,N,", "+52.5200+013.4050",
    "-12-123", "9F4MGC22+", "GC22+22 ", "0101000020", "0101000000aaaaaaaaaaaaaaaa", "00000000", "POINT(1.5 2.5", "POINT(", "1.5 2.5,", "((1.5",
    "891f1d48177ffff", "8f8f", "///a.b", "///filled.count.", "abc.abc.", "location: {x: 1.5, y: ", "x=1.5,y=", "geo:{x=1.5 ", "33U UU 1",
    "10000000146", "123.456.789-", "123-45-", "tel ", "tel 0", "cep 0 (5", "gsm 1 2 3 4 5 6 7 ", "0 532 ", "ssn 1", "a-1", "AB123456", "RSSMRA",
    "kimlik ", "tc_kimlik_", "adres: ", "adres=a ", "dogum tarihi: 1 ", "tckn: 1 ", "sifre: ", "sifre=", "dob: 1 de ", "tckn: A 1",
]  # fmt: skip


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


def seconds(text: str, policy: RedactionPolicy = UNCUT, runs: int = 1) -> float:
    """Return the best of some runs."""
    best = math.inf
    for _ in range(runs):
        started = thread_time()
        policy.redact_text(text)
        best = min(best, thread_time() - started)
    return best


def exponent(shape: tuple[str, str, str], policy: RedactionPolicy = UNCUT, runs: int = 3) -> float:
    """Return with which power of the length time grows; what is clear at 16 KB, either way, is not tried at 64."""
    short = seconds(text_of(*shape, SHORT), policy, runs)
    middle = seconds(text_of(*shape, MIDDLE), policy, runs)
    grown = math.log(middle / short) / math.log(MIDDLE / SHORT)
    # Below the limit of the first look, that one measured a neighbour, too.
    if grown > 1.7 or grown < SUSPECT:
        return grown
    took = seconds(text_of(*shape, LONG), policy, runs if grown < MOST else 1)
    # What is bounded may grow until its bound is reached, and no longer.
    return min(math.log(took / short) / math.log(LONG / SHORT), math.log(took / middle) / math.log(LONG / MIDDLE))


class Proven:
    """
    Times of texts with one fragment in common that do not grow faster than linearly up to 16 KB.

    Few fragments take nine tenths of the time, because a rule reads a window around each of them; whatever stands between two
    and at the end, most of their texts take the same.
    """

    def __init__(self) -> None:
        self._times: list[tuple[float, float]] = []

    def add(self, less: float, more: float) -> None:
        self._times.append((less, more))

    def has_like(self, less: float, more: float) -> bool:
        """Return whether one of them took as long at both sizes, and grew as much between them."""
        return any(
            more / ALIKE < proven_more < more * ALIKE and more / less < ALIKE * proven_more / proven_less
            for proven_less, proven_more in self._times
        )


def is_linear_early(shape: tuple[str, str, str], policy: RedactionPolicy, proven: Proven) -> bool:
    """Return whether what a text takes at 1, 2, 4 and 16 KB, as far as needed, is linear at first sight."""
    brief = seconds(text_of(*shape, BRIEF), policy)
    dear = brief > DEAR_S
    if dear:
        times = brief, seconds(text_of(*shape, 2 * BRIEF), policy)
    else:
        short = seconds(text_of(*shape, SHORT), policy)
        times = brief, short
        if short >= CLEAR_S and math.log(short / brief) / math.log(SHORT / BRIEF) < SUSPECT_EARLY:
            return True
    if proven.has_like(*times):
        return True
    if dear:
        short = seconds(text_of(*shape, SHORT), policy)
    middle = seconds(text_of(*shape, MIDDLE), policy)
    if middle < LEAST_S:
        return True
    if math.log(middle / short) / math.log(MIDDLE / SHORT) < SUSPECT:
        proven.add(*times)
        return True
    return False


def grows(
    beginning: str, repeated: str, end: str, policy: RedactionPolicy = UNCUT, proven: Proven | None = None
) -> float:
    """Return the power with which time grows; 1 where it is not worth being measured."""
    shape = beginning, repeated, end
    if seconds(text_of(*shape, TINY), policy) > HANGS_S and seconds(text_of(*shape, TINY), policy, 3) > HANGS_S:
        return math.inf
    if is_linear_early(shape, policy, Proven() if proven is None else proven):
        return 1.0
    # Asked three times, for a neighbour may have had its turn.
    least = math.inf
    for _ in range(3):
        least = min(least, exponent(shape, policy))
        if least < MOST:
            return 1.0
    return least


def assert_linear(beginning: str, repeated: str, end: str, proven: Proven | None = None) -> None:
    power = grows(beginning, repeated, end, proven=proven)
    assert power < MOST, f"{beginning!r} {repeated!r} {end!r} grows with the power {power:.2f} of its length"


@pytest.mark.parametrize("repeated", KNOWN)
@pytest.mark.parametrize("end", ["", "=a", "@"])
def test_formerly_quadratic_texts_are_linear(repeated: str, end: str) -> None:
    """64 KB of the first took ten seconds."""
    assert_linear("", repeated, end)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_no_repetition_of_a_fragment_is_quadratic(fragment: str) -> None:
    """Of each thing that rules look for, with each thing that may stand between two of them."""
    proven = Proven()
    for glue in GLUE:
        for end in ("", "=a", "@"):
            assert_linear("", fragment + glue, end, proven)


@pytest.mark.parametrize("fragment", [*FRAGMENTS, *(char + char for char in GLUE if char), "a ", "9 ", "a;"])
def test_no_end_that_comes_late_is_quadratic(fragment: str) -> None:
    """A secret that has begun, a long run of one thing, and then what ends it or does not."""
    proven = Proven()
    for beginning in BEGINNINGS:
        for end in ENDS:
            assert_linear(beginning, fragment, end, proven)


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


@pytest.mark.parametrize("fragment", LOCAL)
def test_no_rule_of_a_place_or_a_country_is_quadratic(fragment: str) -> None:
    """With all locales together, whose words and ids are the most that a policy may have."""
    proven = Proven()
    for glue in ("", " ", "-", ".", ",", "(", "'", "="):
        for end in ("", "1", " x"):
            power = grows("", fragment + glue, end, EVERYWHERE, proven)
            assert power < MOST, f"{fragment + glue!r} {end!r} grows with the power {power:.2f} of its length"


# Each would read the rest of the text again at every prefix.
@pytest.mark.parametrize(
    "rest", [r"[a-z-]{20,}\.x", r"[\w-]{20,}\.x", r"[\w-]+=[\w-]{20,}", r"(?:[a-z]+-)+x", r".{20,}!"]
)
@pytest.mark.parametrize("before", ["", "[a-z-]*"])
def test_a_shape_of_a_service_is_linear(rest: str, before: str) -> None:
    """Its prefix may stand at every third character, and takes about as long as a secret there."""
    policy = RedactionPolicy((*DEFAULT_RULES, TokenShape("own", ("dv",), rest, before)), limits=Limits(text=0))
    # Within the same minute, so that a slow machine is slow at both; twice as long is usual.
    allowed_s = 10 * seconds(text_of("", "password=a1b2 ", "", LONG), UNCUT, 3)
    for repeated in ("dv-", "dv", "dv.", "dv-a"):
        for end in ("", "=a", ".y"):
            assert grows("", repeated, end, policy) < MOST
            assert any(seconds(text_of("", repeated, end, LONG), policy) < allowed_s for _ in range(3))


@pytest.mark.parametrize("each_s", [1e-8, 1e-7, 1e-6, 2e-5])
def test_the_search_finds_a_part_that_is_quadratic(monkeypatch: pytest.MonkeyPatch, each_s: float) -> None:
    """Twice as much as all else at 16 KB, however long a character takes, and although another text has been linear."""

    def taken(text: str, policy: RedactionPolicy = UNCUT, runs: int = 1) -> float:
        quadratic = 0 if text[0] == "l" else 2 * len(text) / MIDDLE
        # What a call takes, however short its text is, hides growth.
        return 50e-6 + each_s * len(text) * (1 + quadratic)

    monkeypatch.setattr(sys.modules[__name__], "seconds", taken)
    proven = Proven()
    assert grows("", "l", "", proven=proven) == 1.0
    # Small for 4 KB: it takes 0.04 s for 64 KB at 1e-8.
    found = grows("", "q", "", proven=proven)
    assert found > MOST if each_s > 1e-8 else found == 1.0

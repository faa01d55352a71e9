"""Time is linear in the input, for the worst texts that each detector can be given (PITFALLS P42)."""

from __future__ import annotations

from time import thread_time

import pytest

from divan_obs_asgi.redaction import Limits, RedactionPolicy

# The whole text goes through the detectors.
UNCUT = RedactionPolicy(limits=Limits(text=0))
# A tenfold text may take four times ten times the time, for caches and neighbours on the machine; quadratic time is a
# hundredfold.
MOST = 40.0
# Below, what is measured is the clock.
LEAST_S = 0.004
SIZES = (10_000, 100_000, 1_000_000)
ENOUGH_S = 0.02

# Repeated, each to the full length.
REPEATED = [
    *"@=:a1.+-_%\\\"'`([{<>&,;/ \n\t\x00é",
    *("+1", "+1 2 ", "00 1", "0049 ", "%2B1", "%40", "a@", "@a.", "a.a@", "git@", "icon@2x.png "),
    *("-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN ", "-----END", "PRIVATE KEY"),
    *("://", "://a:", "://a:b@", "http://a:b", "https://", "redis://a", "mongodb://u@", "git@h:"),
    *("[[[[", "{[(", "[redacted:x]", "[redacted:", "[cut:", "\\\"", "\\\\", "\\u0040", "{\"a\":\"\\u0041", "&#64;"),
    *(".0000", "1.0000, ", "1.0001,2.", "52.5200, 13.4049 ", ".00001 ", ".0000lng", ".0000 N", "0.12345 "),
    *("AA00", "AA00 ", "GB82WEST", "A0", "4111 ", "4111111111111111", "4-", "5555", "0-0", "a0"),
    *("ghp_", "xoxb-", "AKIA", "a_", "SG.", "xoxe.xox", "bot1:", "1:AA", "hooks.slack.com/services/"),
    *("Bearer ", "bearer%20", "bearer\":\"", "Basic YWRhOnMzY3JldA", "basic    "),
    *("password", "password: ", "password=b\"", "password:\n  ", "password=\n", "<password>", "<password", "token=a "),
    *("&token=", "?a=b&", "phone=1 ", "phone: +1(", "lat: 1 2 ", "lat=1.0,", "first_name=a b ", "full_name=a\n"),
    *("eyJ", "sk-", "password=", "lat=", "sig=", "bearer=", "mailto:", "Cookie: ", "cookie=a;", "authorization: a b "),
    *("password%3D", "password=${", "%3a%2f%2f", "{\"password\":", "password={", "password: [", "password=(", "token="),
    *("password=[cut", "--token a ", "a+", "%20", "q=4111+", "Authorization: Digest a ", "x, 1.00001, "),
    *("body=a b ", "text: ", "body:\n", "=\t", "\":\"", "\\\":\\\"", "\\\\\\\":", "%3D", "%25", "a=b; "),
]  # fmt: skip
# In front of a long run, in which each searches for an end that does not come.
BEGINNINGS = [
    *("password=", "password=\"", "\"password\": \"", "password=[", "{\"password\":{", "password: ", "body=", "text: "),
    *("Cookie: ", "Authorization: ", "Bearer ", "Basic ", "<password>", "lat=", "phone=", "full_name="),
    *("-----BEGIN PRIVATE KEY-----\n", "https://", "redis://a:", "a@", "+49", "eyJ", "ghp_", "sk-", "4111", "GB82"),
]  # fmt: skip
RUNS = ["x", "1", " ", "\n", '"', "\\", "[", "a.", "a ", "=", "@", "-", ",", "9 ", "A"]


def seconds(text: str) -> float:
    """Return the best of some runs; of a long one there is no need to repeat it."""
    best = float("inf")
    for _ in range(3):
        started = thread_time()
        UNCUT.redact_text(text)
        best = min(best, thread_time() - started)
        if best > ENOUGH_S:
            break
    return best


def grows_too_fast(text: str, before: float) -> bool:
    """Tell whether a tenfold text takes too much more; asked again, for a neighbour may have had its turn."""
    return all(seconds(text) > max(before, LEAST_S) * MOST for _ in range(3))


def assert_linear(beginning: str, repeated: str) -> None:
    """Feed longer and longer texts, and hold each step to the one before it."""
    before = LEAST_S
    for size in SIZES:
        text = (beginning + repeated * (size // len(repeated) + 1))[:size]
        took = seconds(text)
        assert took <= max(before, LEAST_S) * MOST or not grows_too_fast(text, before), f"{size} of {repeated!r}"
        if took > ENOUGH_S * 10:
            break  # Linear so far, and slow: the next size would take seconds.
        before = took


@pytest.mark.parametrize("repeated", REPEATED)
def test_time_grows_with_the_text(repeated: str) -> None:
    """No text that a client can send costs more than its length."""
    assert_linear("", repeated)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_secret_without_an_end_costs_its_length(beginning: str) -> None:
    """Whatever follows the beginning of one."""
    for run in RUNS:
        text = (beginning + run * 100_000)[:100_000]
        short = seconds(text[:10_000])
        assert not grows_too_fast(text, short), f"{beginning!r} and a run of {run!r}"

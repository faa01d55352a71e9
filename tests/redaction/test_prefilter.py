"""The signs that decide which rules read a text at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.redaction import DEFAULT_RULES, KeyRule, RedactionPolicy, TextRule, TokenShape
from divan_obs_asgi.redaction.keys import KeyIndex
from divan_obs_asgi.redaction.pairs import PairRule
from divan_obs_asgi.redaction.prefilter import Prefilter
from divan_obs_asgi.redaction.text import Finder
from divan_obs_asgi.redaction.tokens import TokenRule
from divan_obs_asgi.redaction.view import View
from tests.redaction.corpus import load
from tests.redaction.test_policy import SHREDS

KEYS = [rule for rule in DEFAULT_RULES if isinstance(rule, KeyRule)]
RULES: list[Finder] = [
    PairRule(KeyIndex(KEYS), KEYS),
    TokenRule(rule for rule in DEFAULT_RULES if isinstance(rule, TokenShape)),
    *(rule for rule in DEFAULT_RULES if isinstance(rule, TextRule)),
]
PREFILTER = Prefilter([rule.sign for rule in RULES])
TEXTS = [case.value for cases in load().values() for case in cases if isinstance(case.value, str)]


def overlooked(text: str) -> list[str]:
    """Return what the rules find in a text that they would not be asked about."""
    view = View(text)
    asked = PREFILTER.needed(view.raw)
    return [f"{name}: {text!r}" for rule, own in enumerate(RULES) if rule not in asked for _, _, name in own.find(view)]


@pytest.mark.slow
def test_no_secret_of_the_corpus_is_without_its_sign() -> None:
    """A rule is only called for texts with its sign, so its secrets must have it."""
    assert [miss for text in TEXTS for miss in overlooked(text)] == []


@given(SHREDS | st.text() | st.builds("{}{}{}".format, st.sampled_from(TEXTS), SHREDS, st.sampled_from(TEXTS)))
def test_no_secret_is_without_its_sign(text: str) -> None:
    """Wherever it stands, and whatever stands beside it."""
    assert overlooked(text) == []


def test_a_clean_line_is_read_by_no_rule() -> None:
    """That is why redaction costs next to nothing."""
    line = b'{"ts":"2026-11-24T09:30:11.402117Z","msg":"GET /users/{id}","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}'
    assert PREFILTER.needed(line) == []


def test_a_code_that_is_shorter_than_an_account_is_read_by_no_rule() -> None:
    """A rule that reads a text for nothing uses up the budget of the line, and its end is redacted as unread."""
    assert PREFILTER.needed(b"parts XS12ABCDE and QF25 WXYZ K in stock") == []


def test_a_rule_without_a_sign_is_asked_about_every_text() -> None:
    """A service's own pattern may be one that RE2 does not know."""
    policy = RedactionPolicy((TextRule.matching("customer", r"(?<=no\. )\d+"),))
    assert policy.redact_text("customer no. 42") == "customer no. [redacted:customer]"


def test_an_invalid_sign_is_a_start_up_error() -> None:
    """And not one of the first text."""
    with pytest.raises(ValueError, match=r"^The sign '\(\?<=a\)b' is not a valid RE2 pattern: "):
        RedactionPolicy((TextRule(lambda view: (), r"(?<=a)b"),))

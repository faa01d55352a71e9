"""The redaction policy on the labelled corpus."""

from __future__ import annotations

import pytest

from tests.redaction.corpus import Case, load, of_held_out_makers, of_learned_makers, of_programs, survivors
from tests.redaction.score import Score, scores, total

# The score when the rules were written; it may only grow.
LEAST_HELD_OUT = 0.95


@pytest.fixture(scope="module")
def found() -> dict[str, Score]:
    return scores()


def test_nearly_every_secret_is_gone(found: dict[str, Score]) -> None:
    """At most one secret in a hundred survives, whatever kinds a log holds."""
    assert total(found.values()).recall >= 0.99


def test_no_kind_of_secret_is_neglected(found: dict[str, Score]) -> None:
    """At most one secret in twenty survives in the worst kind."""
    assert {kind: score.recall for kind, score in found.items() if score.recall < 0.95} == {}


def test_look_alikes_stay(found: dict[str, Score]) -> None:
    """At most five in a thousand harmless texts are changed."""
    assert total(found.values()).false_positive_rate <= 0.005


def test_the_corpus_is_broad(found: dict[str, Score]) -> None:
    """Forty kinds, with twenty secrets and twenty look-alikes in each."""
    assert len(found) >= 40
    assert {kind for kind, score in found.items() if min(score.positives, score.negatives) < 20} == set()


def test_each_secret_stands_in_its_case() -> None:
    """A label that its own text does not hold would count as found."""
    cases = [case for kind in load().values() for case in kind if case.secrets]
    assert [case for case in cases if survivors(case, case.value) != list(case.secrets)] == []


def test_what_rules_were_written_for_is_found() -> None:
    """Of the makers that rules know, everything, and nothing else."""
    found = scores(of_learned_makers())
    assert {kind: score.recall for kind, score in found.items() if score.recall < 0.98} == {}
    assert [case.value for score in found.values() for case, _ in score.changed] == []


def test_makers_that_no_rule_knows_are_found_too() -> None:
    """Rules find the kind and not the examples that they were written for."""
    found = total(scores(of_held_out_makers()).values())
    assert found.recall >= LEAST_HELD_OUT
    assert len(found.changed) <= 1


def test_the_output_of_programs_stays() -> None:
    """Tests, packages, rules, loads, databases: none of them writes a secret here."""
    found = scores(of_programs())
    assert [case.value for score in found.values() for case, _ in score.changed] == []
    assert total(found.values()).negatives >= 400


@pytest.mark.parametrize(
    "result",
    ["s3cr3t/Horse", "S3CR3T/HORSE", "s3cr3t%2FHorse", "czNjcjN0L0hvcnNl", "YTpzM2NyM3QvSG9yc2U="],
)
def test_an_encoded_secret_counts_as_surviving(result: str) -> None:
    """Upper case, URL encoding and base64 hide nothing from a reader."""
    case = Case("password", {"note": "s3cr3t/Horse"}, ("s3cr3t/Horse",))
    assert survivors(case, {"a": [result]}) == ["s3cr3t/Horse"]


def test_half_a_key_counts_as_surviving() -> None:
    """A rule that stops at the first unexpected character has hidden too little."""
    case = Case("token", "key abcdefghij.0123456789", ("abcdefghij.0123456789",))
    assert survivors(case, "key [redacted].0123456789") == ["abcdefghij.0123456789"]
    assert survivors(case, "key [redacted]") == []

"""
Recall and false positives of the redaction policy for each kind: python -m tests.redaction.score [--failures].

Four tables: the corpus on disk, the makers that rules were written for, the makers that were held out, and the output
of programs, each line of which is a look-alike.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.redaction.corpus import (
    DATA,
    Case,
    load,
    of_held_out_makers,
    of_learned_makers,
    of_programs,
    policy_for,
    survivors,
)

HELD_OUT = "held-out makers"


@dataclass
class Score:
    """How many cases of a kind there are, and which of them came out wrong."""

    positives: int = 0
    negatives: int = 0
    missed: list[tuple[Case, object]] = field(default_factory=list)
    changed: list[tuple[Case, object]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return 1 - len(self.missed) / max(self.positives, 1)

    @property
    def false_positive_rate(self) -> float:
        return len(self.changed) / max(self.negatives, 1)

    def add(self, case: Case, result: object) -> None:
        if case.secrets:
            self.positives += 1
            if survivors(case, result):
                self.missed.append((case, result))
        else:
            self.negatives += 1
            if result != case.value:
                self.changed.append((case, result))


def scores(kinds: Mapping[str, Iterable[Case]] | None = None) -> dict[str, Score]:
    """Return the score of each kind; by default of the kinds in the corpus on disk."""
    found: dict[str, Score] = {}
    for kind, cases in (load() if kinds is None else kinds).items():
        score = found[kind] = Score()
        policy = policy_for(kind)
        for case in cases:
            score.add(case, case.redacted(policy))
    return found


def total(parts: Iterable[Score]) -> Score:
    """Return one score over all of `parts`."""
    whole = Score()
    for part in parts:
        whole.positives += part.positives
        whole.negatives += part.negatives
        whole.missed += part.missed
        whole.changed += part.changed
    return whole


def table(found: dict[str, Score]) -> Iterable[str]:
    """Yield the lines of the report."""
    yield f"{'kind':<26}{'positives':>10}{'recall':>9}{'negatives':>11}{'false positives':>17}"
    for kind, score in [*found.items(), (f"all {len(found)} kinds", total(found.values()))]:
        yield (
            f"{kind:<26}{score.positives:>10}{score.recall:>9.3f}"
            f"{score.negatives:>11}{score.false_positive_rate:>17.2%}"
        )


def failures(found: dict[str, Score]) -> Iterable[str]:
    """Yield each case that came out wrong, with what came out."""
    for kind, score in found.items():
        for case, result in score.missed:
            yield f"\n{kind}: survived: {', '.join(survivors(case, result))}"
            yield from _pair(case, result)
        for case, result in score.changed:
            yield f"\n{kind}: changed without need"
            yield from _pair(case, result)


def _pair(case: Case, result: object) -> Iterable[str]:
    yield f"  in:  {json.dumps(case.value, ensure_ascii=False)}"
    yield f"  out: {json.dumps(result, ensure_ascii=False)}"


def parts(data: Path = DATA) -> dict[str, dict[str, list[Case]]]:
    """Return the cases of each table."""
    return {
        "corpus": load(data),
        "learned makers": of_learned_makers(),
        HELD_OUT: of_held_out_makers(),
        "program output": of_programs(),
    }


def summary() -> Iterable[str]:
    """Yield the last line of each table, with its title."""
    for title, kinds in parts().items():
        *_, line = table(scores(kinds))
        yield f"{title:<18}{line}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.redaction.score", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="a directory of one .jsonl file per kind")
    parser.add_argument("--failures", action="store_true", help="list each case that came out wrong")
    options = parser.parse_args()
    for title, kinds in parts(options.data).items():
        found = scores(kinds)
        # What is wrong about a held-out maker is not shown, so that no rule is changed for it.
        shown = options.failures and title != HELD_OUT
        lines = [title, *table(found), *(failures(found) if shown else ()), ""]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""The labelled corpus: what must not survive the redaction policy, and what must come out unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.locales import LOCALES
from divan_obs_asgi.testing.secrecy import surviving
from tests.data.redaction import held_out, learned, local_makers
from tests.data.redaction.makers import Kind, entries

DATA = Path(__file__).parents[1] / "data" / "redaction"
# What pytest, uv, promtool, k6, PostgreSQL and Redis have written.
OUTPUT = DATA.parent / "program_output"
# Stands inside the made-up keys of providers on disk, so that no scanner of repositories takes them for live ones.
SPLIT = "¦"


@dataclass(frozen=True)
class Case:
    """A text or a value, and each part of it that must be gone afterwards; none for a look-alike."""

    kind: str
    value: object
    secrets: tuple[str, ...]

    def redacted(self, policy: RedactionPolicy) -> object:
        return policy.redact_text(self.value) if isinstance(self.value, str) else policy.redact(self.value)


def load(data: Path = DATA) -> dict[str, list[Case]]:
    """Return the cases of each kind; a file is a kind and a line a case."""
    return {path.stem: list(_cases(path)) for path in sorted(data.glob("*.jsonl"))}


def made(kinds: Mapping[str, Kind]) -> dict[str, list[Case]]:
    """Return the cases that makers write, the same each time."""
    rng = Random(20261130)
    return {name: [Case(name, *entry) for entry in entries(kind, rng)] for name, kind in kinds.items()}


def of_learned_makers() -> dict[str, list[Case]]:
    """Return the cases of the makers that rules were written for."""
    return made(learned.KINDS) | _local(held_out=False)


def of_held_out_makers() -> dict[str, list[Case]]:
    """Return the cases of the makers that no rule was written for."""
    return made(held_out.KINDS) | _local(held_out=True)


def _local(*, held_out: bool) -> dict[str, list[Case]]:
    kinds = local_makers.kinds(Random(20261130), held_out=held_out)
    return {name: [Case(name, *entry) for entry in entries] for name, entries in kinds.items()}


def policy_for(kind: str) -> RedactionPolicy:
    """Return the policy for a kind: with all locales together for the kinds of a country."""
    return RedactionPolicy(locales=LOCALES) if kind.startswith("locale_") else RedactionPolicy()


def of_programs() -> dict[str, list[Case]]:
    """Return the lines that programs have written, none of which holds a secret."""
    return {
        path.stem: [Case(path.stem, line, ()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for path in sorted(OUTPUT.glob("*.txt"))
    }


def survivors(case: Case, result: object) -> list[str]:
    """Return the secrets of `case` that can still be read from `result`, encoded or not."""
    if not case.secrets:
        return []
    shown = [result, json.dumps(result, ensure_ascii=False)]
    labelled = {str(number): secret for number, secret in enumerate(case.secrets)}
    return [labelled[label] for label in surviving(shown, labelled)]


def _cases(path: Path) -> Iterator[Case]:
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line.replace(SPLIT, ""))
        value = entry["text"] if "text" in entry else entry["value"]
        yield Case(path.stem, value, tuple(entry["secrets"]))

"""The labelled corpus: what must not survive the redaction policy, and what must come out unchanged."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from divan_obs_asgi.redaction import RedactionPolicy

DATA = Path(__file__).parents[1] / "data" / "redaction"
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


def survivors(case: Case, result: object) -> list[str]:
    """Return the secrets of `case` that can still be read from `result`, encoded or not."""
    told = json.dumps(result, ensure_ascii=False) + "\n" + "\n".join(_strings(result))
    lower = told.lower()
    return [secret for secret in case.secrets if any(_told(part, told, lower) for part in _parts(secret))]


def _told(part: str, told: str, lower: str) -> bool:
    return any(form in lower for form in _forms(part)) or _base64(part, told)


def _parts(secret: str) -> list[str]:
    # Half of a long key is still a leak, and a rule that stops too early is a usual mistake; half an address is none.
    if len(secret) < 20 or "@" in secret:
        return [secret]
    return [secret[: len(secret) // 2], secret[len(secret) // 2 :]]


def _cases(path: Path) -> Iterator[Case]:
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line.replace(SPLIT, ""))
        value = entry["text"] if "text" in entry else entry["value"]
        yield Case(path.stem, value, tuple(entry["secrets"]))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _forms(secret: str) -> set[str]:
    spelled = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    spelled.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    return {form.lower() for form in spelled}


def _base64(secret: str, told: str) -> bool:
    # A short secret in base64 is too short to be told from other text.
    raw = secret.encode()
    if len(raw) < 8:
        return False
    # At each of the three offsets, without the characters that the neighbours have a share in.
    return any(base64.b64encode(raw[skip : skip + (len(raw) - skip) // 3 * 3]).decode() in told for skip in range(3))

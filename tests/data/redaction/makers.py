"""
Makers of texts and values that hold a secret, for rules that are learned on some makers and scored on others.

A maker is a program, a library or a notation. `learned.py` has those that rules were written for, `held_out.py` those
that no rule was written for.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

PER_MAKER = 6
# Where a secret stands in a template, in a text or anywhere in a value.
PLACE = "<s>"
_ALNUM = string.ascii_letters + string.digits
# As in a chat; no other rule knows them.
_SAID = ("meet me at the old harbour", "she told nobody about it", "ring twice and wait")


@dataclass(frozen=True)
class Kind:
    """
    A kind of secret or look-alike.

    Attributes:
        makers: for each maker, templates with `<s>` in place of the secret.
        harmless: for each maker, texts and values that must stay unchanged.
        sentences: whether a secret may have blanks.
    """

    makers: Mapping[str, Sequence[Any]]
    harmless: Mapping[str, Sequence[Any]]
    sentences: bool = False


def secret(rng: Random, at: int, *, sentences: bool) -> str:
    """Return a secret that only its surroundings tell: a word with digits, or a sentence."""
    if sentences and at % 6 == 5:
        return f"{rng.choice(_SAID)} {''.join(rng.choices(string.ascii_lowercase, k=5))}"
    return "q" + "".join(rng.choices(_ALNUM, k=rng.randrange(8, 20))) + str(rng.randrange(10, 99))


def filled(template: Any, text: str) -> Any:
    """Return a template with the secret in each of its places."""
    if isinstance(template, str):
        return template.replace(PLACE, text)
    if isinstance(template, dict):
        return {key: filled(value, text) for key, value in template.items()}
    return [filled(item, text) for item in template] if isinstance(template, list) else template


def entries(kind: Kind, rng: Random) -> Iterator[tuple[object, tuple[str, ...]]]:
    """Yield values of a kind, each with its secrets: of each maker the same number, and all that is harmless."""
    for templates in kind.makers.values():
        for at in range(max(PER_MAKER, len(templates))):
            text = secret(rng, at, sentences=kind.sentences)
            yield filled(templates[at % len(templates)], text), (text,)
    for values in kind.harmless.values():
        for value in values:
            yield value, ()


def json_of(value: object) -> str:
    return json.dumps(value)

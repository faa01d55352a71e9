"""The kinds of redaction rules, and the default rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from divan_obs_asgi.redaction.command_lines import COMMANDS_SIGN, find_options
from divan_obs_asgi.redaction.contacts import find_emails, find_phones
from divan_obs_asgi.redaction.credentials import (
    find_arguments,
    find_private_keys,
    find_schemes,
    find_user_info,
)
from divan_obs_asgi.redaction.databases import VALUES_SIGN, find_values
from divan_obs_asgi.redaction.dialogs import DIALOGS_SIGN, find_dialogs
from divan_obs_asgi.redaction.keys import KEY_RULES, KeyRule
from divan_obs_asgi.redaction.numbers import find_cards, find_ibans, find_positions
from divan_obs_asgi.redaction.positions import NOTATIONS
from divan_obs_asgi.redaction.queries import QUERIES_SIGN, find_queries
from divan_obs_asgi.redaction.statements import STATEMENTS
from divan_obs_asgi.redaction.tokens import TOKEN_SHAPES, TokenShape
from divan_obs_asgi.redaction.urls import CALLED_SIGN, find_called
from divan_obs_asgi.redaction.validation import INPUTS_SIGN, find_inputs
from divan_obs_asgi.redaction.view import UNREAD, Found, View


class Keep:
    """The type of `KEEP`."""

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep()
"""The result of a `FieldRule` for a value that it does not change."""


class FieldRule(Protocol):
    """
    A rule of a service for fields.

    It returns a replacement for `value`, which then goes through the other rules, or `KEEP`.
    """

    def __call__(self, key: str, value: object, /) -> object: ...


@dataclass(frozen=True, slots=True)
class TextRule:
    """
    Finds secrets by their form, in any text.

    Attributes:
        find: returns all places of secrets in the text.
        sign: an RE2 pattern that matches wherever `find` may find something; `find` is not called for other texts. By
            default it is called for all texts.
    """

    find: Callable[[View], Iterable[Found]]
    sign: str | None = None

    @classmethod
    def matching(cls, name: str, pattern: str) -> TextRule:
        """Return a rule for all matches of a regular expression (of ASCII)."""
        compiled = re.compile(pattern.encode())

        def find(view: View) -> Iterator[Found]:
            for match in compiled.finditer(view.raw):
                if not view.takes():
                    yield match.start(), len(view.raw), UNREAD
                    return
                yield match.start(), match.end(), name

        return cls(find)


Rule: TypeAlias = KeyRule | TokenShape | TextRule | FieldRule

DEFAULT_RULES: tuple[Rule, ...] = (
    *KEY_RULES,
    *TOKEN_SHAPES,
    TextRule(find_private_keys, r"PRIVATE KEY"),
    TextRule(find_arguments, r"(?i)-[a-z0-9-]*(?:passw|passphrase|secret|token|key)[a-z-]*[ \t]"),
    TextRule(find_user_info, r"@|%40"),
    TextRule(find_options, COMMANDS_SIGN),
    *(TextRule(statement.find, statement.sign) for statement in STATEMENTS),
    TextRule(find_dialogs, DIALOGS_SIGN),
    TextRule(find_called, CALLED_SIGN),
    TextRule(find_queries, QUERIES_SIGN),
    TextRule(find_schemes, r"(?i)(?:bearer|basic)[\s%+\"]"),
    TextRule(find_emails, r"@|%40|\\u0040|&#64;"),
    TextRule(find_values, VALUES_SIGN),
    TextRule(find_inputs, INPUTS_SIGN),
    TextRule(find_phones, r"\+[1-9](?:[ ()./-]{0,3}\d){6}|%2[bB][1-9]|00[1-9]\d{0,2}[ /(.-]{1,2}\d"),
    TextRule(find_cards, r"(?:\d(?:[ +-]|%[0-9A-Fa-f]{2})?){12}\d"),
    TextRule(find_ibans, r"[A-Z]{2}\d\d(?:(?:[ +-]|%[0-9A-Fa-f]{2})?[A-Z0-9]){11}"),
    TextRule(find_positions, r"\.\d{4}\d*(?:[\s,;/|+:=NSnslongitude\x00-]|%[0-9A-Fa-f]{2})+\d+\.\d{4}"),
    *(TextRule(notation.find, notation.sign) for notation in NOTATIONS),
)

__all__ = ["DEFAULT_RULES", "KEEP", "FieldRule", "Keep", "Rule", "TextRule"]

"""Decides in one pass over a text which rules have to read it."""

from __future__ import annotations

from collections.abc import Sequence

import re2

# Bytes for the states of RE2's automaton. States that do not fit are computed again, still in linear time.
_MEMORY = 32 << 20


class Prefilter:
    """
    Searches for the signs of several rules in one pass.

    Most texts contain no secret. RE2 finds that out at half a gigabyte a second, for any number of patterns and any
    text. `re` would read the text once for each pattern.

    RE2 computes a state of its automaton for each combination of partial matches that it meets. A sign that counts
    characters has many, and multiplies those of all others: a shorter count makes texts with secrets faster. But a sign
    that is too short costs more than it saves: each rule that reads a text counts against the budget of its line.

    Args:
        signs: for each rule an RE2 pattern that matches wherever the rule may find something; None for a rule that has
            to read every text.

    Raises:
        ValueError: for a pattern that RE2 does not support.
    """

    def __init__(self, signs: Sequence[str | None]) -> None:
        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        # Texts are ASCII when they are read here. Without UTF-8 the automaton is smaller.
        options.encoding = re2.Options.Encoding.LATIN1
        self._always = [rule for rule, sign in enumerate(signs) if sign is None]
        self._rules: list[int] = []
        self._set = re2.Set.SearchSet(options)
        for rule, sign in enumerate(signs):
            if sign is None:
                continue
            try:
                self._set.Add(sign.encode())
            except re2.error as error:
                raise ValueError(f"The sign {sign!r} is not a valid RE2 pattern: {error}.") from None
            self._rules.append(rule)
        if self._rules:
            self._set.Compile()

    def needed(self, text: bytes) -> list[int]:
        """Return the positions of the rules that may find something in `text`, in order."""
        found = self._set.Match(text) if self._rules else []
        if not found:
            return self._always
        return sorted([*self._always, *(self._rules[index] for index in found)])


__all__ = ["Prefilter"]

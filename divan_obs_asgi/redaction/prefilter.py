"""Which rules a text needs at all, decided in one pass over it."""

from __future__ import annotations

from collections.abc import Sequence

import re2

# Bytes for the states of RE2's automaton. What does not fit is computed again, in linear time all the same.
_MEMORY = 32 << 20


class Signs:
    """
    The signs of several rules, looked for all at once.

    Most texts hold no secret. RE2 tells that at half a gigabyte a second, whatever the number of patterns and whatever
    the text, where `re` would read it once for each of them.

    Args:
        signs: for each rule a pattern in RE2's syntax that matches wherever the rule may find something; None for a
            rule that is to be asked about every text.

    Raises:
        ValueError: for a pattern that RE2 does not know.
    """

    def __init__(self, signs: Sequence[str | None]) -> None:
        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        self._always = [rule for rule, sign in enumerate(signs) if sign is None]
        self._rules: list[int] = []
        self._set = re2.Set.SearchSet(options)
        for rule, sign in enumerate(signs):
            if sign is None:
                continue
            try:
                self._set.Add(sign.encode())
            except re2.error as error:
                raise ValueError(f"The sign {sign!r} is no pattern of RE2: {error}.") from None
            self._rules.append(rule)
        if self._rules:
            self._set.Compile()

    def needed(self, text: bytes) -> list[int]:
        """Return the positions of the rules that may find something in `text`, in order."""
        found = self._set.Match(text) if self._rules else []
        if not found:
            return self._always
        return sorted([*self._always, *(self._rules[index] for index in found)])


__all__ = ["Signs"]

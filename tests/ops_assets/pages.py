"""Parses runbooks into questions and code blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEADINGS = ["What it means", "Three questions", "What to do", "When it is a false alarm"]
_QUESTION = re.compile(r"\*\*(?P<asks>[^*\n]+\?)\*\* (?P<reads>[^\n]+)\n(?P<block>```.*?\n```)\n", re.DOTALL)
_BLOCK = re.compile(r"```(?P<language>\w*)\n(?P<code>.*?)\n```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page."""

    language: str
    code: str


@dataclass(frozen=True, slots=True)
class Question:
    """
    One of the three questions.

    Attributes:
        asks: the question.
        reads: how its answer is read.
        block: what answers it.
    """

    asks: str
    reads: str
    block: Block

    @property
    def names(self) -> list[str]:
        """The keys, flags and series that the answer is said to have."""
        return re.findall(r"`(\w+)`", self.reads)


@dataclass(frozen=True, slots=True)
class Page:
    """A runbook: its title, and the text below each of its headings."""

    title: str
    sections: dict[str, str]

    @property
    def questions(self) -> list[Question]:
        text = self.sections["Three questions"]
        found = [
            Question(match["asks"], match["reads"], blocks(match["block"])[0]) for match in _QUESTION.finditer(text)
        ]
        assert _QUESTION.sub("", text).strip() == "", "Something stands between the questions."
        return found


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a text."""
    return [Block(match["language"], match["code"]) for match in _BLOCK.finditer(text)]


def page(text: str) -> Page:
    """Read a runbook."""
    head, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    return Page(head, {title: body for title, _, body in (part.partition("\n") for part in rest)})


__all__ = ["HEADINGS", "Block", "Page", "Question", "blocks", "page"]

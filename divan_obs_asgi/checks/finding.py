"""The finding of a check, and the error of a command that cannot check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["error", "warning"]
# What a check reads beside the flags; without it the check does not run.
Subject: TypeAlias = Literal["flags", "app", "queries", "alertmanager"]


class CannotCheck(Exception):
    """An input cannot be read; the command exits with status 2."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One fault of a deployment.

    Attributes:
        message: what is wrong, without secrets.
        hint: what to do about it.
        file: the file with the fault, if it is in a file.
    """

    message: str
    hint: str
    file: str = ""


__all__ = ["CannotCheck", "Finding", "Level", "Subject"]

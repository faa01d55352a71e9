"""What a check finds, and when the command cannot check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["error", "warning"]
# What a check reads beside the flags; without it the check is not run.
Subject: TypeAlias = Literal["flags", "app", "queries", "alertmanager"]


class CannotCheck(Exception):
    """What was to be checked cannot be read; the command ends with status 2."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One fault of a deployment.

    Attributes:
        message: what is wrong, without secrets.
        hint: what to do about it.
        file: where it stands, if it stands in a file.
    """

    message: str
    hint: str
    file: str = ""


__all__ = ["CannotCheck", "Finding", "Level", "Subject"]

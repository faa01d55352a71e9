"""A check as a value: its id, what it finds out, and the function that does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from divan_obs_asgi.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from divan_obs_asgi.checks.deployment import Deployment

Level: TypeAlias = Literal["error", "warning"]
# What a check reads beside the flags; without it the check is not run.
Subject: TypeAlias = Literal["flags", "app", "queries", "alertmanager"]
_ID = re.compile(r"[a-z][a-z0-9_]*\.[EW][0-9]{3}")


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


@dataclass(frozen=True, slots=True)
class Check:
    """
    One question about a deployment.

    Attributes:
        id: `obs.E001` or `obs.W012`; E is an error, W a warning. It never changes its meaning.
        summary: the fault, in a sentence for the table of all checks.
        docs: the page that says more.
        only_deploy: whether it is asked with `--deploy` only.
    """

    id: str
    summary: str
    docs: str
    subject: Subject
    only_deploy: bool
    find: Callable[[Deployment], Iterable[Finding]]

    @property
    def level(self) -> Level:
        """Whether its findings are errors or warnings."""
        return "error" if self.id.rpartition(".")[2].startswith("E") else "warning"


Finder: TypeAlias = "Callable[[Deployment], Iterable[Finding]]"


def check(
    id: str, summary: str, *, docs: str, subject: Subject = "flags", only_deploy: bool = False
) -> Callable[[Finder], Check]:
    """
    Make a check of a function that yields findings.

    Raises:
        ImproperlyConfigured: for an id that is not like `obs.E001`.
    """
    if not _ID.fullmatch(id):
        raise ImproperlyConfigured(f"The id of a check is {id!r}; expected one like obs.E001 or shop.W012.")
    return lambda find: Check(id, summary, docs, subject, only_deploy, find)


__all__ = ["CannotCheck", "Check", "Finding", "Level", "Subject", "check"]

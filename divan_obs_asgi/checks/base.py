"""A check as a value: its id, its sentence, and the function that finds the fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding, Level, Subject
from divan_obs_asgi.exceptions import ImproperlyConfigured

_ID = re.compile(r"[a-z][a-z0-9_]*\.[EW][0-9]{3}")


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


Finder: TypeAlias = Callable[[Deployment], Iterable[Finding]]


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


__all__ = ["Check", "check"]

"""A check as a value: its id, its summary, and the function that finds the fault."""

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
    One check of a deployment.

    Attributes:
        id: `obs.E001` or `obs.W012`; E is an error, W a warning. An id never changes its meaning.
        summary: the fault, as a sentence for the table of all checks.
        docs: the page with more details.
        only_deploy: whether it runs only with `--deploy`.
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
    Turn a function that yields findings into a check.

    Raises:
        ImproperlyConfigured: for an id that is not like `obs.E001`.
    """
    if not _ID.fullmatch(id):
        raise ImproperlyConfigured(f"The id of a check is {id!r}; expected one like obs.E001 or shop.W012.")
    return lambda find: Check(id, summary, docs, subject, only_deploy, find)


__all__ = ["Check", "check"]

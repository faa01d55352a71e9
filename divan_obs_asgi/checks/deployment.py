"""What the checks are asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from divan_obs_asgi.settings import Settings

if TYPE_CHECKING:
    from divan_obs_asgi.checks.files import Queries
    from divan_obs_asgi.checks.finding import Subject
    from divan_obs_asgi.checks.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """
    The flags of a service, and what else was named.

    Attributes:
        environ: all variables, with those of the file that OBS_ENV_FILE names.
        settings: the flags that could be read; they may contradict each other.
        unreadable: a sentence for each flag that could not.
        deploy: whether it is about to serve in earnest.
        app: the application, where one was named.
        queries: those of the rule files and boards that were named.
        alertmanager: its file, and what stands in it.
    """

    environ: Mapping[str, str]
    settings: Settings
    unreadable: tuple[str, ...] = ()
    deploy: bool = False
    app: Target | None = None
    queries: Queries | None = None
    alertmanager: tuple[str, Mapping[str, Any]] | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], *, deploy: bool = False) -> Deployment:
        """Return the deployment that these variables describe."""
        settings, variables, wrong = Settings.readable(environ)
        return cls(environ=variables, settings=settings, unreadable=tuple(wrong), deploy=deploy)

    def has(self, subject: Subject) -> bool:
        """Return whether there is something to check of this kind."""
        return subject == "flags" or getattr(self, subject) is not None


__all__ = ["Deployment"]

"""The inputs of the checks."""

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
    The flags of a service, and the files and the application given on the command line.

    Attributes:
        environ: all variables, those from OBS_ENV_FILE included.
        settings: the flags that can be parsed; they may contradict each other.
        unreadable: a sentence for each flag that cannot be parsed.
        deploy: whether `--deploy` was given.
        app: the application, if one was given.
        queries: the queries of the rule files and boards that were given.
        alertmanager: the name and the content of its file.
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
        """Return whether there is an input of this kind."""
        return subject == "flags" or getattr(self, subject) is not None


__all__ = ["Deployment"]

"""Checks of a deployment for `divan-obs check`; the decorator `check` makes your own."""

from divan_obs_asgi.checks.base import Check, check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import CannotCheck, Finding

__all__ = ["CannotCheck", "Check", "Deployment", "Finding", "check"]

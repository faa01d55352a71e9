"""Flags that name the service and its dependencies."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import name as plain_name
from divan_obs_asgi.settings.parsers import secret_text

# Environments that serve no real users: a token may be short there.
TEST_ENVS = ("dev", "test")
# Environments that accept web vitals without OBS_VITALS_IN_PROD.
NON_PROD_ENVS = (*TEST_ENVS, "staging")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Which service runs where, and the addresses of its dependencies."""

    env: str = flag(
        "OBS_ENV",
        plain_name,
        "dev",
        "Deployment environment: dev, test, staging, prod, ... "
        "If not set: `deployment.environment.name` of OTEL_RESOURCE_ATTRIBUTES.",
        otherwise=("deployment.environment.name", "deployment.environment"),
    )
    name: str = flag(
        "OBS_SERVICE_NAME",
        plain_name,
        "divan-api",
        "Service name in log lines (`service`) and spans (`service.name`). "
        "If not set: OTEL_SERVICE_NAME, then `service.name` of OTEL_RESOURCE_ATTRIBUTES.",
        otherwise=("OTEL_SERVICE_NAME", "service.name"),
    )
    version: str = flag(
        "OBS_SERVICE_VERSION",
        plain_name,
        "unknown",
        "Service version in spans (`service.version`) and metrics. "
        "If not set: `service.version` of OTEL_RESOURCE_ATTRIBUTES.",
        otherwise=("service.version",),
    )
    commit: str = flag(
        "OBS_COMMIT",
        plain_name,
        "unknown",
        "Commit of the running code, in log lines and metrics. "
        "If not set: `vcs.ref.head.revision` of OTEL_RESOURCE_ATTRIBUTES.",
        otherwise=("vcs.ref.head.revision",),
    )
    redis_url: str | None = flag(
        "REDIS_URL",
        secret_text,
        None,
        "Redis of the application: checked for a valid form at start-up, and read for OBS_REDIS_STREAMS.",
        secret=True,
    )
    # Used by the application only. They are read here so that /health/startup can report a malformed one.
    database_url: str | None = flag(
        "DATABASE_URL",
        secret_text,
        None,
        "Database of the application: checked for a valid form at start-up.",
        secret=True,
    )
    s3_url: str | None = flag(
        "S3_ENDPOINT_URL",
        secret_text,
        None,
        "Object store of the application: checked for a valid form at start-up.",
        secret=True,
    )
    jwt_secret: str | None = flag(
        "JWT_SECRET",
        secret_text,
        None,
        "Signing key of the application: checked for its length at start-up.",
        secret=True,
    )

    @property
    def is_test_env(self) -> bool:
        """Whether the environment serves no real users."""
        return self.env in TEST_ENVS


__all__ = ["NON_PROD_ENVS", "TEST_ENVS", "ServiceSettings"]

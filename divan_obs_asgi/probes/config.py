"""Probe: the flags are valid."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import STARTUP, Group
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.settings.parsers import DIFFERENT_CHARACTERS
from divan_obs_asgi.settings.service import TEST_ENVS

# RFC 7518, section 3.2: a key of at least the size of the hash output, 256 bits for HS256.
JWT_SECRET_BYTES = 32
# 128 bits, as `secrets.token_urlsafe(16)` writes them. All its tokens have more than 8 different characters.
TOKEN_CHARACTERS = 22
_DIFFERENT_CHARACTERS = 8

_REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
_SOCKET_SCHEMES = frozenset({"postgres", "postgresql", "unix"})
_S3_SCHEMES = frozenset({"http", "https"})


class ConfigProbe:
    """
    Startup: the URLs of Redis, SQL and S3 are well formed, the JWT secret is long enough, tracing has an endpoint.

    A URL or secret that is not set counts as not used. Outside of `OBS_ENV=dev` the guarded endpoints need an admin
    token that cannot be guessed. The response names the invalid flags, never their values.
    """

    name = "config"
    timeout = 1.0
    critical = True
    group: Group = STARTUP

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def check(self) -> Mapping[str, object]:
        wrong = self.wrong_flags()
        if wrong:
            raise ProbeFailed("error", wrong=wrong)
        return {}

    def wrong_flags(self) -> list[str]:
        """Return the names of the invalid flags."""
        settings = self._settings
        valid = {
            "REDIS_URL": settings.service.redis_url is None or _well_formed(settings.service.redis_url, _REDIS_SCHEMES),
            "DATABASE_URL": settings.service.database_url is None or _well_formed(settings.service.database_url),
            "S3_ENDPOINT_URL": settings.service.s3_url is None or _well_formed(settings.service.s3_url, _S3_SCHEMES),
            "JWT_SECRET": settings.service.jwt_secret is None or self._is_long_enough(settings.service.jwt_secret),
            "OTEL_EXPORTER_OTLP_ENDPOINT": not settings.tracing.enabled
            # `none` or `console` was chosen by name.
            or settings.otlp.traces_exporter is not None
            or settings.otel.config_file is not None
            or settings.otel.disabled
            or settings.otlp.traces.endpoint is not None,
            "OBS_ADMIN_TOKEN": not self._needs_token or _is_strong(settings.ops.admin_token),
            "OBS_ADMIN_TOKEN_PREVIOUS": not self._needs_token
            or settings.ops.admin_token_previous is None
            or _is_strong(settings.ops.admin_token_previous),
        }
        return [flag for flag, ok in valid.items() if not ok]

    def _is_long_enough(self, key: str) -> bool:
        if self._settings.service.env not in TEST_ENVS and len(set(key)) < DIFFERENT_CHARACTERS:
            return False
        return _bytes_in(key) >= JWT_SECRET_BYTES

    @property
    def _needs_token(self) -> bool:
        """Whether guarded endpoints are served, outside of development."""
        settings = self._settings
        return settings.enabled and settings.ops.enabled and settings.service.env != "dev"


def _bytes_in(secret: str) -> int:
    # Python decodes environment variables with surrogateescape; this restores the bytes.
    return len(secret.encode("utf-8", "surrogateescape"))


def _is_strong(token: str | None) -> bool:
    return token is not None and len(token) >= TOKEN_CHARACTERS and len(set(token)) >= _DIFFERENT_CHARACTERS


def _well_formed(url: str, schemes: frozenset[str] | None = None) -> bool:
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # libpq accepts several hosts, each with a port.
            parts.port  # noqa: B018 - raises ValueError for an invalid port
    except ValueError:
        return False
    # `postgresql+asyncpg` names the driver after the plus.
    scheme = parts.scheme.partition("+")[0]
    # The application may use any database, so only the form of its URL is checked.
    if not scheme or (schemes is not None and scheme not in schemes) or "://" not in url:
        return False
    # SQLite may be in memory; PostgreSQL and Redis may be reached through a socket.
    return bool(parts.hostname) or scheme == "sqlite" or (scheme in _SOCKET_SCHEMES and bool(parts.path))


__all__ = ["JWT_SECRET_BYTES", "TOKEN_CHARACTERS", "ConfigProbe"]

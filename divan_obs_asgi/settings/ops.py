"""Flags of the health, metrics and ops endpoints."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import (
    DIFFERENT_CHARACTERS,
    SECRET_LENGTH,
    address,
    boolean,
    is_guessable,
    name,
    networks,
    path_prefix,
    port,
    positive_integer,
    token,
)

FEW_CHARACTERS = f"fewer than {SECRET_LENGTH} characters, or fewer than {DIFFERENT_CHARACTERS} different ones"


@dataclass(frozen=True, kw_only=True)
class OpsSettings:
    """Where the endpoints are served, and which clients may use them."""

    enabled: bool = flag("OBS_OPS_ENABLED", boolean, True, "Serve /health/*, /metrics and /ops/*.")
    admin_token: str | None = flag(
        "OBS_ADMIN_TOKEN", token, None, "Bearer token for /metrics and /ops; without one they stay closed.", secret=True
    )
    admin_token_previous: str | None = flag(
        "OBS_ADMIN_TOKEN_PREVIOUS", token, None, "Previous admin token, still accepted during rotation.", secret=True
    )
    max_failures: int = flag(
        "OBS_OPS_MAX_FAILURES",
        positive_integer,
        10,
        "Wrong tokens per minute and client address before further wrong ones get 429.",
    )
    networks: tuple[str, ...] = flag(
        "OBS_OPS_NETWORKS",
        networks,
        (),
        "Networks that may use the guarded endpoints: 10.0.0.0/8,fd00::/8. Default: all.",
    )
    prefix: str = flag("OBS_OPS_PREFIX", path_prefix, "", "Path prefix for /health, /metrics and /ops: /internal.")
    port: int | None = flag(
        "OBS_OPS_PORT", port, None, "Serve /metrics and /ops on a separate port only, for example 9100."
    )
    host: str = flag("OBS_OPS_HOST", address, "127.0.0.1", "Address to listen on for OBS_OPS_PORT.")
    rollover_job: str = flag(
        "OBS_ROLLOVER_JOB", name, "lb_snapshot", "Job that POST /ops/rollover starts if the request names none."
    )

    def guessable_tokens(self, env: str) -> list[str]:
        """Return a sentence for each admin token that is easy to guess or useless."""
        tokens = {"OBS_ADMIN_TOKEN": self.admin_token, "OBS_ADMIN_TOKEN_PREVIOUS": self.admin_token_previous}
        wrong = [
            f"{flag} has {FEW_CHARACTERS}, with OBS_ENV={env!r}: it can be guessed. "
            "Set a random one: openssl rand -hex 32."
            for flag, token in tokens.items()
            if token and is_guessable(token)
        ]
        if self.admin_token and self.admin_token == self.admin_token_previous:
            wrong.append(
                "OBS_ADMIN_TOKEN_PREVIOUS is the same as OBS_ADMIN_TOKEN; expected the previous token, or nothing once "
                "all clients use the new one."
            )
        return wrong


__all__ = ["FEW_CHARACTERS", "OpsSettings"]

"""Flags of the web vitals that browsers send."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, origins, page_routes, positive_integer
from divan_obs_asgi.settings.service import NON_PROD_ENVS


@dataclass(frozen=True, kw_only=True)
class VitalSettings:
    """Whether POST /ops/ingest exists, and which origins, routes and amounts it accepts."""

    enabled: bool = flag(
        "OBS_VITALS_ENABLED",
        boolean,
        False,
        "Serve POST /ops/ingest for web vitals of browsers (OBS_ENV=dev, test or staging only).",
    )
    in_prod: bool = flag("OBS_VITALS_IN_PROD", boolean, False, "Allow OBS_VITALS_ENABLED in every other OBS_ENV too.")
    origins: tuple[str, ...] = flag(
        "OBS_VITALS_ORIGINS", origins, (), "Origins whose pages may send web vitals: https://app.example.com."
    )
    routes: tuple[str, ...] = flag(
        "OBS_VITALS_ROUTES",
        page_routes,
        (),
        "Page routes to count by: /,/rooms/[id]; any other is counted as `__unmatched__`.",
    )
    address_limit: int = flag(
        "OBS_VITALS_ADDRESS_LIMIT",
        positive_integer,
        60,
        "Maximum requests with web vitals per minute and client address.",
    )
    total_limit: int = flag(
        "OBS_VITALS_TOTAL_LIMIT", positive_integer, 3000, "Maximum requests with web vitals per minute in all."
    )

    def misused(self, env: str) -> list[str]:
        """Return a sentence for each flag that prevents the use of web vitals."""
        wrong = []
        if self.enabled and env not in NON_PROD_ENVS and not self.in_prod:
            wrong.append(
                f"OBS_VITALS_ENABLED is 'true' with OBS_ENV={env!r}: anybody can send to POST /ops/ingest. "
                "Set OBS_VITALS_IN_PROD=true to allow it."
            )
        if self.enabled and not self.origins:
            wrong.append(
                "OBS_VITALS_ENABLED is 'true' and OBS_VITALS_ORIGINS is empty: no page could send anything. "
                "Set the origins of your pages, like https://app.example.com."
            )
        return wrong


__all__ = ["VitalSettings"]

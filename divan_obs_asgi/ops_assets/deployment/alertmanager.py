"""Alertmanager: who hears of a page, and who of a ticket."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = """\
Alertmanager 0.25 or later. Replace the two webhooks by what calls your people and what files your tickets: names below
`.invalid` never resolve, so that until then each notification fails and is logged."""


def files(_: Parameters) -> Mapping[str, str]:
    """Return the configuration."""
    return {"alertmanager/alertmanager.yml": dump(_configuration(), _HEAD)}


def _configuration() -> Value:
    return {
        "route": {
            # An alert of a severity that is not known becomes a ticket.
            "receiver": "ticket",
            "group_by": ["job", "alertname"],
            "group_wait": "5m",
            "group_interval": "30m",
            "repeat_interval": "3d",
            "routes": [
                {
                    "receiver": "page",
                    "matchers": ['severity="page"'],
                    "group_wait": "10s",
                    "group_interval": "5m",
                    "repeat_interval": "2h",
                },
                {"receiver": "ticket", "matchers": ['severity="ticket"']},
            ],
        },
        # Whoever is paged for a service looks at all of it; its tickets come when the page is over.
        "inhibit_rules": [
            {"source_matchers": ['severity="page"'], "target_matchers": ['severity="ticket"'], "equal": ["job"]}
        ],
        "receivers": [_receiver("page"), _receiver("ticket")],
    }


def _receiver(name: str) -> Value:
    return {"name": name, "webhook_configs": [{"url": f"http://{name}.invalid/", "send_resolved": True}]}


__all__ = ["files"]

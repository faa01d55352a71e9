"""The configuration of Alertmanager: the receivers of pages and tickets."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = """\
Alertmanager 0.25 or later. Replace the two webhooks with those of your paging and ticket systems. The placeholder
hosts under `.invalid` never resolve, so until then each notification fails and is logged."""


def files(_: Parameters) -> Mapping[str, str]:
    """Return the configuration."""
    return {"alertmanager/alertmanager.yml": dump(_configuration(), _HEAD)}


def _configuration() -> Value:
    return {
        "route": {
            # An alert with an unknown severity becomes a ticket.
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
        # While a page of a job fires, its tickets are inhibited: the person on call looks at the whole service anyway.
        "inhibit_rules": [
            {"source_matchers": ['severity="page"'], "target_matchers": ['severity="ticket"'], "equal": ["job"]}
        ],
        "receivers": [_receiver("page"), _receiver("ticket")],
    }


def _receiver(name: str) -> Value:
    return {"name": name, "webhook_configs": [{"url": f"http://{name}.invalid/", "send_resolved": True}]}


__all__ = ["files"]

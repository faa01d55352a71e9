"""The recording rules and alerting rules for Prometheus."""

from divan_obs_asgi.ops_assets.rules.groups import Rules, rules
from divan_obs_asgi.ops_assets.rules.rule import Alert, Group, Record

__all__ = ["Alert", "Group", "Record", "Rules", "rules"]

"""The rules for Prometheus: what it records, and when it alerts."""

from divan_obs_asgi.ops_assets.rules.groups import Rules, rules
from divan_obs_asgi.ops_assets.rules.rule import Alert, Group, Record

__all__ = ["Alert", "Group", "Record", "Rules", "rules"]

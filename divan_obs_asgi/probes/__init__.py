"""Health probes, and the registry that asks them."""

from divan_obs_asgi.probes.base import Group, Probe
from divan_obs_asgi.probes.canary import CanaryProbe
from divan_obs_asgi.probes.config import ConfigProbe
from divan_obs_asgi.probes.function import FunctionProbe
from divan_obs_asgi.probes.heartbeat import HeartbeatProbe
from divan_obs_asgi.probes.migrations import ALEMBIC, MigrationsProbe
from divan_obs_asgi.probes.redis import RedisProbe
from divan_obs_asgi.probes.registry import ProbeRegistry
from divan_obs_asgi.probes.report import Past, Report, Result
from divan_obs_asgi.probes.sql import SqlProbe

__all__ = [
    "ALEMBIC",
    "CanaryProbe",
    "ConfigProbe",
    "FunctionProbe",
    "Group",
    "HeartbeatProbe",
    "MigrationsProbe",
    "Past",
    "Probe",
    "ProbeRegistry",
    "RedisProbe",
    "Report",
    "Result",
    "SqlProbe",
]

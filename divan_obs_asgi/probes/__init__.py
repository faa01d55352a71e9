"""Health probes, and the registry that checks them."""

from typing import TYPE_CHECKING

from divan_obs_asgi.lazy_names import lazy_names as _lazy_names

if TYPE_CHECKING:
    from divan_obs_asgi.probes.base import Group, Probe
    from divan_obs_asgi.probes.canary import CanaryProbe
    from divan_obs_asgi.probes.config import ConfigProbe
    from divan_obs_asgi.probes.disk import DiskProbe
    from divan_obs_asgi.probes.engine.registry import ProbeRegistry
    from divan_obs_asgi.probes.function import FunctionProbe
    from divan_obs_asgi.probes.heartbeat import HeartbeatProbe
    from divan_obs_asgi.probes.http import HttpProbe
    from divan_obs_asgi.probes.migrations import ALEMBIC_QUERY, YOYO_QUERY, MigrationsProbe, django_query
    from divan_obs_asgi.probes.otlp import OtlpProbe
    from divan_obs_asgi.probes.redis import RedisProbe
    from divan_obs_asgi.probes.report import PastCheck, Report, Result
    from divan_obs_asgi.probes.s3 import S3Probe
    from divan_obs_asgi.probes.socketio import SocketIoProbe
    from divan_obs_asgi.probes.sql import SqlProbe
    from divan_obs_asgi.probes.tcp import TcpProbe

__all__ = [
    "ALEMBIC_QUERY",
    "YOYO_QUERY",
    "CanaryProbe",
    "ConfigProbe",
    "DiskProbe",
    "FunctionProbe",
    "Group",
    "HeartbeatProbe",
    "HttpProbe",
    "MigrationsProbe",
    "OtlpProbe",
    "PastCheck",
    "Probe",
    "ProbeRegistry",
    "RedisProbe",
    "Report",
    "Result",
    "S3Probe",
    "SocketIoProbe",
    "SqlProbe",
    "TcpProbe",
    "django_query",
]

# A service loads the probes that it registers.
__getattr__ = _lazy_names(
    __name__,
    {
        "divan_obs_asgi.probes.base": ("Group", "Probe"),
        "divan_obs_asgi.probes.canary": ("CanaryProbe",),
        "divan_obs_asgi.probes.config": ("ConfigProbe",),
        "divan_obs_asgi.probes.disk": ("DiskProbe",),
        "divan_obs_asgi.probes.engine.registry": ("ProbeRegistry",),
        "divan_obs_asgi.probes.function": ("FunctionProbe",),
        "divan_obs_asgi.probes.heartbeat": ("HeartbeatProbe",),
        "divan_obs_asgi.probes.http": ("HttpProbe",),
        "divan_obs_asgi.probes.migrations": ("ALEMBIC_QUERY", "YOYO_QUERY", "MigrationsProbe", "django_query"),
        "divan_obs_asgi.probes.otlp": ("OtlpProbe",),
        "divan_obs_asgi.probes.redis": ("RedisProbe",),
        "divan_obs_asgi.probes.report": ("PastCheck", "Report", "Result"),
        "divan_obs_asgi.probes.s3": ("S3Probe",),
        "divan_obs_asgi.probes.socketio": ("SocketIoProbe",),
        "divan_obs_asgi.probes.sql": ("SqlProbe",),
        "divan_obs_asgi.probes.tcp": ("TcpProbe",),
    },
)


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))

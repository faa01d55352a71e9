"""The flags of the library, in groups: one declaration each, read from the environment."""

from divan_obs_asgi.settings.console import ConsoleSettings
from divan_obs_asgi.settings.flag import Flag, FlagValue
from divan_obs_asgi.settings.health import HealthSettings
from divan_obs_asgi.settings.logs import LogSettings
from divan_obs_asgi.settings.metrics import MetricSettings
from divan_obs_asgi.settings.misspelt import MisspeltFlag, misspelt_flags
from divan_obs_asgi.settings.ops import OpsSettings
from divan_obs_asgi.settings.otel import OtelSettings
from divan_obs_asgi.settings.otlp import OtlpSettings, OtlpSignal
from divan_obs_asgi.settings.redaction import RedactionSettings
from divan_obs_asgi.settings.requests import RequestSettings
from divan_obs_asgi.settings.runtime import RuntimeSettings
from divan_obs_asgi.settings.service import ServiceSettings
from divan_obs_asgi.settings.settings import DEFAULT_MIDDLEWARE, Settings
from divan_obs_asgi.settings.socketio import SocketIoSettings
from divan_obs_asgi.settings.tracing import TracingSettings
from divan_obs_asgi.settings.vitals import VitalSettings

__all__ = [
    "DEFAULT_MIDDLEWARE",
    "ConsoleSettings",
    "Flag",
    "FlagValue",
    "HealthSettings",
    "LogSettings",
    "MetricSettings",
    "MisspeltFlag",
    "OpsSettings",
    "OtelSettings",
    "OtlpSettings",
    "OtlpSignal",
    "RedactionSettings",
    "RequestSettings",
    "RuntimeSettings",
    "ServiceSettings",
    "Settings",
    "SocketIoSettings",
    "TracingSettings",
    "VitalSettings",
    "misspelt_flags",
]

"""JSON logs: lines, sampling, the flight recorder, and a sink that never blocks the event loop."""

from divan_obs_asgi.logs.lines import Lines, timestamp
from divan_obs_asgi.logs.loguru_bridge import loguru_handler
from divan_obs_asgi.logs.own_loggers import OwnLoggers
from divan_obs_asgi.logs.pipeline import Logs, PipelineHandler
from divan_obs_asgi.logs.recorder import FlightRecorder
from divan_obs_asgi.logs.root_level import RootLevel
from divan_obs_asgi.logs.sampling import Sampler
from divan_obs_asgi.logs.sink import ByteStream, Sink
from divan_obs_asgi.logs.structlog_bridge import structlog_processor

__all__ = [
    "ByteStream",
    "FlightRecorder",
    "Lines",
    "Logs",
    "OwnLoggers",
    "PipelineHandler",
    "RootLevel",
    "Sampler",
    "Sink",
    "loguru_handler",
    "structlog_processor",
    "timestamp",
]

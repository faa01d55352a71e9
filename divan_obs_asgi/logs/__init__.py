"""JSON logs: the lines, the sampling, and the sink that never makes the event loop wait."""

from divan_obs_asgi.logs.lines import Lines, timestamp
from divan_obs_asgi.logs.pipeline import Logs, PipelineHandler
from divan_obs_asgi.logs.sampling import Sampler
from divan_obs_asgi.logs.sink import ByteStream, Sink

__all__ = ["ByteStream", "Lines", "Logs", "PipelineHandler", "Sampler", "Sink", "timestamp"]

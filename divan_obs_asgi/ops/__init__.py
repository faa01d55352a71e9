"""The endpoints for those who run the service: /health/* and /metrics."""

from divan_obs_asgi.ops.endpoints import build_ops_app

__all__ = ["build_ops_app"]

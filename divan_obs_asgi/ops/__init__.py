"""The endpoints for those who run the service: /health/*, /metrics and /ops/*."""

from divan_obs_asgi.ops.parts import build_ops_app

__all__ = ["build_ops_app"]

"""The endpoints for those who run the service (/health/*, /metrics and /ops/*), and what endpoints of your own need."""

from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription
from divan_obs_asgi.ops.bodies import read_json
from divan_obs_asgi.ops.parts import build_ops_app
from divan_obs_asgi.ops.responses import RequestRefused, json_response

__all__ = [
    "ERROR_SCHEMA",
    "Endpoint",
    "Operation",
    "RequestRefused",
    "ResponseDescription",
    "build_ops_app",
    "json_response",
    "read_json",
]

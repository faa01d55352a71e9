"""The route template of a connection, by the framework that has matched it; one file for each framework."""

from divan_obs_asgi.connection.routes.declared import DeclaredRoute, HttpPath, declared_routes, http_paths
from divan_obs_asgi.connection.routes.matched import RECORD_KEY, ROUTE_KEY, UNMATCHED
from divan_obs_asgi.connection.routes.templates import RouteTemplates

__all__ = [
    "RECORD_KEY",
    "ROUTE_KEY",
    "UNMATCHED",
    "DeclaredRoute",
    "HttpPath",
    "RouteTemplates",
    "declared_routes",
    "http_paths",
]

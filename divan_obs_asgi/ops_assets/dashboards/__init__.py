"""The Grafana dashboards. Each panel has a question as its title and the queries that answer it."""

from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.files import all_boards, boards
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query

__all__ = ["Board", "Panel", "Query", "all_boards", "boards"]

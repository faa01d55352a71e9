"""All boards."""

from __future__ import annotations

from divan_obs_asgi.ops_assets.dashboards import overview
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.panel import Json
from divan_obs_asgi.ops_assets.parameters import Parameters


def all_boards(parameters: Parameters) -> list[Board]:
    """Return the boards for these parameters, the overview first."""
    return [overview.board(parameters)]


def boards(parameters: Parameters) -> dict[str, Json]:
    """Return the boards as Grafana reads them, by their names."""
    return {board.name: board.written(parameters) for board in all_boards(parameters)}


__all__ = ["all_boards", "boards"]

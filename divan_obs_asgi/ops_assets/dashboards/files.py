"""The list of all dashboards."""

from __future__ import annotations

from divan_obs_asgi.ops_assets.dashboards import (
    chat,
    dependencies,
    itself,
    leaderboards,
    overview,
    slo,
    socketio,
    streams,
    vitals,
)
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.panel import Json
from divan_obs_asgi.ops_assets.parameters import Parameters


def all_boards(parameters: Parameters) -> list[Board]:
    """Return the dashboards for these parameters, the overview first."""
    modules = (overview, dependencies, chat, streams, leaderboards, socketio, vitals, slo, itself)
    return [module.board(parameters) for module in modules]


def boards(parameters: Parameters) -> dict[str, Json]:
    """Return the dashboards as JSON for Grafana, by name."""
    return {board.name: board.written(parameters) for board in all_boards(parameters)}


__all__ = ["all_boards", "boards"]

"""
Draw what boards show of a real run: `python -m tests.ops_assets.board_pictures docs/pictures`.

The run is that of test_real_prometheus.py: some seconds of load, then Redis is stopped while routes fail, block and
wait. A Prometheus answers each query of a board, and matplotlib draws its answers where Grafana has the panels.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import click
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from divan_obs_asgi.ops_assets.parameters import Parameters
from tests.ops_assets.board_queries import Query
from tests.ops_assets.real_run import Run, running
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

BOARDS = ("backend-overview", "chat-proximity")
# Inches of a column and of a row of Grafana's grid, and above the first row.
_COLUMN, _ROW, _HEAD = 0.6, 0.4, 0.8
_MOST_ROWS, _MOST_LINES = 7, 6
_UNITS = {"s": "seconds", "reqps": "requests/s", "cps": "per second", "percentunit": "share", "short": "number"}

Panel = Mapping[str, Any]
# Each query of a panel, with the series of its answer.
Answers = Sequence[tuple[Query, Sequence[Mapping[str, Any]]]]


def drawn(name: str, run: Run) -> Figure:
    """Return a picture of a dashboard with the results of its queries."""
    board = json.loads(run.prometheus.files[f"grafana/dashboards/{name}.json"])
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    width, height = 24 * _COLUMN, rows * _ROW + _HEAD
    figure = Figure((width, height))
    figure.text(0.15 / width, 1 - 0.12 / height, board["title"], va="top", weight="bold", size=15)
    about = f"{board['description']} A run of {run.end - run.start:.0f} s; time in seconds since its start."
    figure.text(0.15 / width, 1 - 0.45 / height, about, va="top", size=9, color="dimgray")
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, right = place["x"] * _COLUMN + 0.7, (place["x"] + place["w"]) * _COLUMN - 0.15
        bottom, top = height - _HEAD - (place["y"] + place["h"]) * _ROW + 0.3, height - _HEAD - place["y"] * _ROW - 0.35
        if panel["type"] == "state-timeline":
            left += 1.1
        axes = figure.add_axes((left / width, bottom / height, (right - left) / width, (top - bottom) / height))
        axes.set_title(panel["title"], loc="left", size=9 if panel["type"] == "stat" else 10, weight="bold")
        answers = [
            (query, found)
            for query, found in run.answers.items()
            if (query.board, query.panel) == (name, panel["title"])
        ]
        _KINDS[panel["type"]](axes, panel, answers, run)
    return figure


def _timeseries(axes: Axes, panel: Panel, answers: Answers, run: Run) -> None:
    every = [(query, one) for query, series in answers for one in series]
    # Those with the most to show, where they are too many for a legend.
    every.sort(key=lambda each: -max(float(value) for _, value in each[1]["values"]))
    for query, one in every[:_MOST_LINES]:
        found = {round(at - run.start): float(value) for at, value in one["values"]}
        # No line where there is no value.
        times = range(min(found), max(found) + 1)
        axes.plot(times, [found.get(at, math.nan) for at in times], lw=1.4, label=_name(query, one))
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is not None:
            axes.axhline(step["value"], color="tab:red", lw=0.9, ls="--")
    axes.tick_params(labelsize=7.5)
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    axes.set_xlim(0, run.end - run.start)
    axes.set_ylabel(_UNITS[answers[0][0].unit], size=8)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7.5, loc="best", framealpha=0.7)
    if len(every) > _MOST_LINES:
        axes.set_title(f"the {_MOST_LINES} highest of {len(every)}", loc="right", size=7.5, color="dimgray")


def _state_timeline(axes: Axes, panel: Panel, answers: Answers, run: Run) -> None:
    names: list[str] = []
    for query, series in answers:
        for one in series:
            for value, color in (("1", "tab:green"), ("0", "tab:red")):
                spans = [(at - run.start, 1.02) for at, found in one["values"] if found == value]
                axes.broken_barh(spans, (len(names) - 0.4, 0.8), color=color)
            names.append(_name(query, one))
    axes.set_yticks(range(len(names)), names, size=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, run.end - run.start)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_title("green: OK; red: failing", loc="right", size=8, color="dimgray")


def _stat(axes: Axes, panel: Panel, answers: Answers, run: Run) -> None:
    [(query, [one, *_])] = answers
    axes.text(0.5, 0.45, _written(one["values"][-1][1], query.unit), ha="center", va="center", size=22)
    axes.set_axis_off()


def _table(axes: Axes, panel: Panel, answers: Answers, run: Run) -> None:
    axes.set_axis_off()
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for query, series in answers:
        for one in series:
            name = " ".join(one["metric"][label] for label in sorted(one["metric"]))
            rows.setdefault(name, {})[query.legend] = one["value"][1], query.unit
    columns = [query.legend for query, _ in answers]
    order = sorted(rows.items(), key=lambda row: -float(row[1].get(columns[0], ("-inf",))[0]))
    cells = [
        [name, *(_written(*values[column]) if column in values else "" for column in columns)]
        for name, values in order[:_MOST_ROWS]
    ]
    if len(order) > _MOST_ROWS:
        axes.set_title(f"the first {_MOST_ROWS} of {len(order)}", loc="right", size=7.5, color="dimgray")
    share = 0.36 / len(columns)
    table = axes.table(
        cells,
        colLabels=["", *columns],
        colWidths=[1 - share * len(columns), *[share] * len(columns)],
        cellLoc="left",
        colLoc="left",
        edges="horizontal",
        bbox=(-0.05, 1 - (len(cells) + 1) * 0.12, 1.05, (len(cells) + 1) * 0.12),  # type: ignore[arg-type]
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8.5)


_KINDS = {"timeseries": _timeseries, "state-timeline": _state_timeline, "stat": _stat, "table": _table}


def _name(query: Query, series: Mapping[str, Any]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: series["metric"].get(found[1], ""), query.legend).strip()


def _written(value: str, unit: str) -> str:
    number = float(value)
    if not math.isfinite(number):
        return "-"
    if unit == "percentunit":
        return f"{number:.1%}"
    if unit == "s":
        return f"{number * 1000:.0f} ms" if number < 10 else f"{number:.0f} s"
    return f"{number:.0f}" if unit == "short" else f"{number:.3g} {_UNITS[unit]}"


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Draw each dashboard as a PNG into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        closing(RedisServer()) as redis,
        closing(PostgresServer()) as postgres,
        running(Parameters(), redis.start(), postgres.start()) as run,
    ):
        for name in BOARDS:
            picture = BytesIO()
            drawn(name, run).savefig(picture, dpi=90)
            # In so few colors it is a third of the size.
            Image.open(picture).quantize(64).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()

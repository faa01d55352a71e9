"""The panel types of the dashboards."""

from __future__ import annotations

from divan_obs_asgi.ops_assets.dashboards.panel import Json, Panel, Query


def timeseries(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    alert: str | tuple[str, ...] = (),
    limits: tuple[float, ...] = (),
    is_better_high: bool = False,
    is_traced: bool = False,
    is_stacked: bool = False,
) -> Panel:
    """Return a graph over time, of one alert or several; the limits are dashed lines."""
    drawn: Json = {"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "auto", "spanNulls": False}
    if limits:
        drawn["thresholdsStyle"] = {"mode": "dashed"}
    if is_stacked:
        drawn["stacking"] = {"group": "A", "mode": "normal"}
    options = {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    defaults = {"color": {"mode": "palette-classic"}, "custom": drawn}
    return Panel(
        "timeseries",
        title,
        description,
        unit,
        queries,
        8,
        options,
        _all(alert),
        limits,
        is_traced=is_traced,
        is_better_high=is_better_high,
        defaults=defaults,
    )


def stat(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    alert: str = "",
    limits: tuple[float, ...] = (),
    is_better_high: bool = False,
    is_instant: bool = False,
) -> Panel:
    """Return a panel with the last value and a sparkline; `is_instant` omits the sparkline of an expensive query."""
    options = {
        "colorMode": "value",
        "graphMode": "none" if is_instant else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "auto",
        "wideLayout": True,
    }
    defaults = {"color": {"mode": "thresholds"}}
    return Panel(
        "stat",
        title,
        description,
        unit,
        (query,),
        4,
        options,
        _all(alert),
        limits,
        is_better_high=is_better_high,
        is_instant=is_instant,
        defaults=defaults,
    )


def table(title: str, description: str, *columns: Query, alert: str = "") -> Panel:
    """Return a table of label sets, sorted by the first column, highest value first; each column has its own unit."""
    options = {
        "cellHeight": "sm",
        "frameIndex": 0,
        "showHeader": True,
        "sortBy": [{"desc": True, "displayName": columns[0].legend}],
    }
    return Panel("table", title, description, columns[0].unit, columns, 8, options, _all(alert), is_instant=True)


def timeline(title: str, description: str, *rows: Query, alert: str = "") -> Panel:
    """Return a timeline that is green while the value is 1 and red while it is 0."""
    options = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    states = {
        "0": {"color": "red", "index": 1, "text": "failing"},
        "1": {"color": "green", "index": 0, "text": "OK"},
    }
    defaults = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "mappings": [{"options": states, "type": "value"}],
    }
    return Panel("state-timeline", title, description, "none", rows, 8, options, _all(alert), defaults=defaults)


def _all(alert: str | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(alert, tuple):
        return alert
    return (alert,) if alert else ()


__all__ = ["stat", "table", "timeline", "timeseries"]

"""Properties of every dashboard and its queries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from divan_obs_asgi.ops_assets.dashboards import Board, Panel, Query, all_boards, boards
from divan_obs_asgi.ops_assets.dashboards.kinds import timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Json
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Vector
from divan_obs_asgi.ops_assets.rules import rules
from tests.ops_assets.held import problems
from tests.ops_assets.test_expressions import ACME, CHOICES, DEFAULT, NAMES, recorded

TRACED = Parameters(trace_url="https://traces.example.com/${__value.raw}", runbook_url="https://wiki.example.com/run")
BOARDS = boards(DEFAULT)
of_each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def as_prometheus_reads(expression: str) -> str:
    """Return an expression with Grafana's variables replaced."""
    return expression.replace("$__rate_interval", "1m").replace("$__range", "1h")


def panels(parameters: Parameters) -> Iterator[tuple[Board, Panel]]:
    yield from ((board, panel) for board in all_boards(parameters) for panel in board.panels)


def queries(parameters: Parameters) -> Iterator[tuple[Panel, Query]]:
    yield from ((panel, query) for _, panel in panels(parameters) for query in panel.queries)


@pytest.mark.parametrize("parameters", CHOICES, ids=NAMES)
def test_every_query_fits_the_catalogue(parameters: Parameters) -> None:
    """Family, labels and type are right; rate of counters only, sums before they are divided, le kept for quantiles."""
    names = recorded(parameters)
    wrong = {
        query.expr: found
        for _, query in queries(parameters)
        if (found := problems(as_prometheus_reads(query.expr), parameters.namespace, names)[0])
    }
    assert wrong == {}


def test_a_legend_names_only_labels_that_its_query_returns() -> None:
    """Another label would be an empty word in the legend."""
    names = recorded(DEFAULT)
    for panel, query in queries(DEFAULT):
        labels = problems(as_prometheus_reads(query.expr), DEFAULT.namespace, names)[1].labels or frozenset()
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= labels, (panel.title, query.legend)


def test_every_annotation_fits_the_catalogue() -> None:
    """Deploys and drains are marked on every dashboard."""
    for board in BOARDS.values():
        marks = board["annotations"]["list"]
        assert [mark["name"] for mark in marks] == ["Deploys", "Drains"]
        for mark in marks:
            found, shape = problems(mark["target"]["expr"], DEFAULT.namespace)
            assert found == []
            assert set(re.findall(r"{{(\w+)}}", mark["titleFormat"])) <= (shape.labels or set())


@of_each_board
def test_grafana_can_provision_a_board(board: Json) -> None:
    """It has a fixed uid and no id, and needs no inputs and no edits."""
    assert board["uid"].startswith("divan-")
    assert (board["id"], board["schemaVersion"], board["editable"]) == (None, 41, False)
    assert "__inputs" not in json.dumps(board)
    assert "DS_PROMETHEUS" not in json.dumps(board)


@of_each_board
def test_a_board_has_a_variable_for_data_source_job_and_instance(board: Json) -> None:
    """One, several or all jobs and instances can be selected."""
    source, *labels = board["templating"]["list"]
    assert (source["name"], source["type"], source["label"]) == ("datasource", "datasource", "Data source")
    assert [(label["name"], label["label"]) for label in labels] == [("job", "Job"), ("instance", "Instance")]
    for label in labels:
        assert (label["multi"], label["includeAll"], label["allValue"], label["refresh"]) == (True, True, ".+", 2)


@of_each_board
def test_a_board_is_a_page_of_questions(board: Json) -> None:
    """It has at most 14 panels; each has a question as title, a description and a unit."""
    assert 1 <= len(board["panels"]) <= 14
    titles = [panel["title"] for panel in board["panels"]]
    assert all(title.endswith("?") for title in titles)
    assert len(titles) == len(set(titles))
    for panel in board["panels"]:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


@of_each_board
def test_panels_do_not_overlap(board: Json) -> None:
    """They fit into the 24 columns of Grafana, and each has a unique id."""
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in board["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@of_each_board
def test_the_columns_of_a_table_are_renamed(board: Json) -> None:
    """Every value has a heading, and the table is sorted by an existing column."""
    for panel in board["panels"]:
        if panel["type"] == "table":
            renamed = panel["transformations"][1]["options"]["renameByName"]
            refers = [target["refId"] for target in panel["targets"]]
            assert list(renamed) == (["Value"] if len(refers) == 1 else [f"Value #{refer}" for refer in refers])
            assert panel["options"]["sortBy"][0]["displayName"] in renamed.values()


def test_the_first_screen_shows_the_cause() -> None:
    """Grafana shows about 20 rows of its grid at once."""
    first = BOARDS["backend-overview"]["panels"][0]
    assert first["title"] == "Is the cause the service or a dependency?"
    assert first["gridPos"]["y"] + first["gridPos"]["h"] <= 20
    assert [target["legendFormat"] for target in first["targets"]][3:5] == ["Redis", "PostgreSQL"]


def test_every_alert_links_to_a_panel_that_links_back() -> None:
    """The dashboard of an alert exists, and has a panel with a link to the runbook."""
    linked = {(board.name, alert) for board, panel in panels(DEFAULT) for alert in panel.alerts}
    wanted = {(alert.board, alert.name) for alert in rules(DEFAULT).alerts}
    assert {name for _, name in linked} <= {alert.name for alert in rules(DEFAULT).alerts}
    assert wanted <= linked


def test_runbook_links_use_the_configured_url() -> None:
    """The links follow the parameters."""
    links = [
        (alert, link)
        for _, panel in panels(TRACED)
        if panel.alerts
        for alert, link in zip(
            panel.alerts, panel.written(TRACED, 1, {})["fieldConfig"]["defaults"]["links"], strict=True
        )
    ]
    assert links
    for alert, link in links:
        assert link["url"] == f"https://wiki.example.com/run/{alert}.md"


def exemplar_links(parameters: Parameters) -> list[str]:
    return [
        override["properties"][0]["value"][0]["url"]
        for board in boards(parameters).values()
        for panel in board["panels"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"].get("scope") == "exemplar"
    ]


def test_an_exemplar_links_to_its_trace_if_a_url_is_configured() -> None:
    """Without a trace URL there is no link."""
    assert exemplar_links(DEFAULT) == []
    traced = [panel for _, panel in panels(TRACED) if panel.is_traced]
    assert exemplar_links(TRACED) == ["https://traces.example.com/${__value.raw}"] * len(traced)
    assert traced


def test_latency_graphs_show_exemplars() -> None:
    """This holds for every graph of a histogram with exemplars."""
    for panel, query in queries(DEFAULT):
        has_exemplars = re.search(
            r"(http_request_duration|http_first_byte|socketio_event_duration)\w+_bucket", query.expr
        )
        if panel.kind == "timeseries" and has_exemplars and "histogram_quantile" in query.expr:
            assert panel.is_traced, panel.title


def test_limits_follow_the_objectives() -> None:
    """The graphs show the configured threshold."""

    def limits(parameters: Parameters, title: str) -> tuple[float, ...]:
        return next(panel.limits for _, panel in panels(parameters) if panel.title == title)

    assert limits(DEFAULT, "When are requests slow?") == (0.4,)
    assert limits(ACME, "When are requests slow?") == (0.3,)


def test_dashboards_use_the_configured_namespace() -> None:
    """The namespace is in the uid, the title and every metric name."""
    text = json.dumps(boards(ACME)).replace("divan-obs-asgi", "the library")
    assert "divan" not in text
    assert {board["uid"] for board in boards(ACME).values()} == {f"acme-{name}" for name in BOARDS}


def test_each_limit_has_its_own_colour() -> None:
    """The last limit is the worst; the first colour is for values below all limits."""
    panel = timeseries("Is it?", "It is.", "s", Query(Vector("up"), ""), limits=(1, 2))
    steps = panel.written(DEFAULT, 1, {})["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["color"], step["value"]) for step in steps] == [("green", None), ("orange", 1), ("red", 2)]


def test_the_colours_are_reversed_if_higher_is_better() -> None:
    """Values below the first limit are red."""
    panel = timeseries("Is it?", "It is.", "s", Query(Vector("up"), ""), limits=(1, 2), is_better_high=True)
    steps = panel.written(DEFAULT, 1, {})["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["color"], step["value"]) for step in steps] == [("red", None), ("orange", 1), ("green", 2)]

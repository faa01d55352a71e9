"""What the served benchmark makes of its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.served import documents
from benchmarks.served.cases import DISCARDED, LIVE, Case, cases
from benchmarks.served.figures import rows, verdicts
from benchmarks.served.plot import svg
from benchmarks.served.report import markdown, summary, text

BARE = Case("uvicorn", "bare", "off")
OURS = Case("uvicorn", "ours", "on", DISCARDED)
SENT = Case("uvicorn", "ours", "on", LIVE)


def round_of(rate: float, cpu_us: float, p99_ms: float, **others: Any) -> dict[str, Any]:
    """Return the figures of one case in one round."""
    return {
        "rate": rate,
        "cpu_us": cpu_us,
        "p50_ms": 1.0,
        "p99_ms": p99_ms,
        "p999_ms": 50.0,
        "pause_ms": 10.0,
        "collections": [100.0, 10.0, 1.0],
        "garbage": 0.0,
        "threads_us": {"MainThread": cpu_us},
        "rss_mb": None,
        "arrived": None,
        "others": 0.1,
        **others,
    }


# The machine is half as fast in the second round.
FOUND = {
    BARE: [round_of(20000, 50, 6), round_of(10000, 100, 12), round_of(20000, 50, 6)],
    OURS: [round_of(11000, 90, 15), round_of(5000, 180, 18), round_of(10600, 91, 9, rss_mb=81.0)],
    SENT: [round_of(9000, 110, 20, arrived=0.99)] * 3,
}


def result() -> dict[str, Any]:
    """Return what `--json` prints."""
    machine = {"python": "CPython 3.11.7", "cores": 2, "machine": "x86_64", "load": 0.5, "packages": {"uvicorn": "1"}}
    return {
        "machine": machine,
        "client": "wrk",
        "connections": 64,
        "rounds": 3,
        "seconds": 3.0,
        "others": 0.1,
        "rows": rows(FOUND),
    }


def test_shares_and_differences_are_of_the_same_round() -> None:
    """A machine that slows down for a round slows the bare application too."""
    bare, ours, _ = rows(FOUND)
    assert (bare["share"], bare["added_us"], bare["p99_times"]) == (1, 0, 1)
    assert ours["share"] == pytest.approx(0.53)
    assert ours["added_us"] == 41
    assert ours["cpu_share"] == pytest.approx(100 / 180)
    assert ours["p99_times"] == 1.5
    assert ours["rss_mb"] == 81


def test_targets_are_judged_by_server_mode_and_spans() -> None:
    """Discarded spans need 0.52 of the bare application's throughput, exported ones 0.50; p99 at most twice."""
    found = {(one.case, one.what): (one.target, one.met) for one in verdicts(rows(FOUND))}
    assert found == {
        (OURS, "throughput"): (0.52, True),
        (OURS, "p99"): (2.0, True),
        (SENT, "throughput"): (0.50, False),
        (SENT, "p99"): (2.0, False),
    }


def test_what_is_not_measured_has_no_target() -> None:
    """Peers, and modes that were left out."""
    peer = {BARE: FOUND[BARE], Case("uvicorn", "leanest", "on", DISCARDED): FOUND[OURS]}
    assert verdicts(rows(peer)) == []


def test_bare_is_served_once_by_each_server() -> None:
    """It is what the others are compared with; without spans there is nothing to discard or to send."""
    assert cases(["uvicorn", "granian"], ["ours"], ["on", "off"]) == [
        *(BARE, OURS, SENT, Case("uvicorn", "ours", "off")),
        Case("granian", "bare", "off"),
        *(Case("granian", "ours", mode, spans) for mode, spans in (("on", DISCARDED), ("on", LIVE), ("off", ""))),
    ]


def test_the_table_has_the_targets_beside_the_figures() -> None:
    """Whoever misses one sees it."""
    lines = text(result()).splitlines()
    assert [line.split()[:3] for line in lines[4:6]] == [["uvicorn", "bare", "20000"], ["uvicorn", "ours", "on"]]
    assert "uvicorn, tracing on, spans otlp: throughput 0.45 of bare, target at least 0.50: MISSED" in lines
    assert "uvicorn, tracing on, spans discarded: p99 1.5 times that of bare, target at most 2.0: met" in lines


def test_a_result_is_written_into_the_documents(tmp_path: Path) -> None:
    """Between the marks, and nothing else; the picture is one that a browser reads."""
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    marked = "before\n<!-- served: begin -->\nold\n<!-- served: end -->\nafter\n"
    for document in ("README.md", "docs/benchmarks.md"):
        (tmp_path / document).write_text(marked)
    documents.write(result(), tmp_path)
    assert (tmp_path / "docs" / "benchmarks.md").read_text() == marked.replace("old", markdown(result()))
    assert (tmp_path / "README.md").read_text() == marked.replace("old", summary(result()))
    picture = (tmp_path / "docs" / "pictures" / "served.svg").read_text()
    assert picture == svg(result())
    bars = ElementTree.fromstring(picture).findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["bare", "ours", "ours"]


def test_a_document_without_marks_is_an_error() -> None:
    """Nothing is replaced by guess."""
    with pytest.raises(ValueError, match="Expected <!-- served: begin --> and <!-- served: end --> once, not 0 times"):
        documents.between("nothing", "served", "new")

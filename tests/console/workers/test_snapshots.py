"""What the page shows of several workers, from their ring files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from divan_obs_asgi.console.workers.ring_directory import MAX_DEAD, MAX_DEAD_S, RingDirectory
from divan_obs_asgi.console.workers.ring_format import HEAD, MIN_SIZE, RingHead
from divan_obs_asgi.console.workers.snapshots import WorkerSnapshot, WorkerSnapshots, merge
from tests.console.workers.rings import Ring, Seconds


def request(id: str, at: float, **fields: object) -> dict[str, Any]:
    return {"id": id, "at": at, "status": 200, "worker": 1, **fields}


def group(id: str, count: int, first: float, last: float, **fields: object) -> dict[str, Any]:
    given = {"new": True, "routes": ["/x"], "requests": [f"{id}-{count}"], "message": f"at {last:g}", **fields}
    return {"id": id, "count": count, "first": first, "last": last, **given}


class Fleet:
    """This worker, whose console a test asks, and others."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.own = Ring(directory)
        self.seconds = Seconds()
        self.failures: list[Exception] = []
        self.snapshots = WorkerSnapshots(self.own, directory, "divan", self.failures.append, self.seconds)
        self.snapshot = WorkerSnapshot(1, 100.0)
        # A ring that is dropped is one of a dead worker.
        self.rings: list[Ring] = []

    def merged(self) -> Any:
        self.seconds.now += 1
        return self.snapshots.merged(self.snapshot)

    def other(self, kind: str, *entries: dict[str, Any]) -> Ring:
        ring = Ring(self.directory)
        for entry in entries:
            ring.append(kind, orjson.dumps({"request": entry} if kind in ("request", "failed", "slow") else entry))
        ring.flush()
        self.rings.append(ring)
        return ring


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_requests_of_all_workers_are_listed_by_time(fleet: Fleet) -> None:
    """Whichever worker answers shows the failures of all."""
    fleet.snapshot.requests.append(request("1-1", 20.0))
    fleet.other("request", request("2-1", 10.0, first_byte_ms=3.0), request("2-2", 30.0))
    fleet.other("failed", request("3-1", 25.0, status=500))
    merged = fleet.merged()
    assert [one["id"] for one in merged.requests] == ["2-2", "3-1", "1-1", "2-1"]
    assert "first_byte_ms" not in merged.requests[-1]
    assert fleet.snapshots.details("2-1") == {"request": request("2-1", 10.0, first_byte_ms=3.0)}
    assert fleet.snapshots.details("4-1") is None


def test_a_request_of_two_classes_is_listed_once(fleet: Fleet) -> None:
    ring = fleet.other("request", request("2-1", 10.0, classes=["latest"]))
    ring.append("failed", orjson.dumps({"request": request("2-1", 10.0, classes=["latest", "failed"])}))
    ring.flush()
    assert [one["classes"] for one in fleet.merged().requests] == [["latest", "failed"]]


def test_errors_are_summed_by_fingerprint(fleet: Fleet) -> None:
    """Of one worker the last count of a group stands; the text is of the worker that saw the error last."""
    fleet.snapshot.errors.append(group("A", 3, 10.0, 20.0, routes=["/x", "/y"]))
    fleet.other(
        "error", group("A", 1, 5.0, 5.0), group("A", 4, 5.0, 30.0, routes=["/z", "/x"]), group("B", 1, 1.0, 1.0)
    )
    first, second = fleet.merged().errors
    assert first == group(
        "A", 7, 5.0, 30.0, message="at 30", routes=["/z", "/x", "/y"], requests=["A-4", "A-3"], new=True
    )
    assert second == group("B", 1, 1.0, 1.0)


def test_an_error_is_new_only_where_it_is_new_to_all(fleet: Fleet) -> None:
    fleet.snapshot.errors.append(group("A", 1, 1.0, 1.0))
    fleet.other("error", group("A", 1, 1.0, 1.0, new=False))
    assert [one["new"] for one in fleet.merged().errors] == [False]


def test_numbers_are_summed_or_the_highest(fleet: Fleet) -> None:
    """Rates are summed, shares weighted, and the highest percentile is shown; lines end now."""
    fleet.snapshot.state["numbers"] = {
        "requests_per_s": {"now": 30.0, "line": [10.0, 20.0, 30.0]},
        "error_share": {"now": 0.0, "line": [0.0, 0.0, 0.0]},
        "p95_ms": {"now": 5.0, "line": [None, 4.0, 5.0]},
        "in_flight": {"now": 1, "line": []},
    }
    theirs = {
        "requests_per_s": {"now": 10.0, "line": [5.0, 10.0]},
        "error_share": {"now": 0.4, "line": [0.2, 0.4]},
        "p95_ms": {"now": 50.0, "line": [None, 50.0]},
        "in_flight": {"now": 2, "line": [1.0]},
        "clients": "bad",
    }
    fleet.other("state", {"numbers": {}}, {"numbers": theirs, "forgotten": {"requests": 3, "bytes": 5}})
    merged = fleet.merged()
    assert merged.numbers == {
        "requests_per_s": {"now": 40.0, "line": [10.0, 25.0, 40.0]},
        "error_share": {"now": 0.1, "line": [0.0, 0.04, 0.1]},
        "p95_ms": {"now": 50.0, "line": [None, 4.0, 50.0]},
        "in_flight": {"now": 3, "line": [1.0]},
        "loop_lag_ms": {"now": None, "line": []},
        "clients": {"now": None, "line": []},
    }
    assert merged.forgotten == {"requests": 3, "bytes": 5}


def test_a_dead_worker_keeps_its_failures_and_loses_its_numbers(fleet: Fleet) -> None:
    """It serves nothing any more, but what it has reported before its death can be read."""
    ring = fleet.other("failed", request("2-1", 10.0))
    ring.append("state", orjson.dumps({"numbers": {"in_flight": {"now": 4, "line": []}}}))
    ring.close()
    merged = fleet.merged()
    assert [one["id"] for one in merged.requests] == ["2-1"]
    assert merged.numbers["in_flight"]["now"] is None
    assert [one["alive"] for one in merged.workers["list"]] == [True, False]


def test_an_entry_is_parsed_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that asks every two seconds costs what is new."""
    ring = fleet.other("failed", request("2-1", 10.0))
    fleet.merged()
    loads, seen = orjson.loads, []

    def noting(data: bytes) -> object:
        seen.append(data)
        return loads(data)

    monkeypatch.setattr(orjson, "loads", noting)
    ring.append("failed", orjson.dumps({"request": request("2-2", 20.0)}))
    ring.flush()
    assert [one["id"] for one in fleet.merged().requests] == ["2-2", "2-1"]
    assert len(seen) == 1


def test_foreign_and_torn_files_are_skipped_and_counted(fleet: Fleet) -> None:
    """Other files of the directory are not read; of a torn file the complete entries are."""
    torn = fleet.other("request", request("2-1", 10.0))
    torn.close()
    os.truncate(torn.path, torn.path.stat().st_size - 8)
    (fleet.directory / "divan-1-a.ring").write_bytes(b"")
    (fleet.directory / "divan-1-b.ring").write_bytes(b"x" * MIN_SIZE)
    (fleet.directory / "divan-1-c.ring").write_bytes(RingHead(1 << 60, 1, 1.0).encoded())
    (fleet.directory / "divan-1-d.ring").mkdir()
    (fleet.directory / "divan-1-e.ring").symlink_to(torn.path)
    os.mkfifo(fleet.directory / "divan-1-f.ring")
    (fleet.directory / "other-1-g.ring").write_bytes(b"")
    (fleet.directory / "divan-1-h.worker").write_bytes(b"")
    merged = fleet.merged()
    assert merged.workers["skipped_files"] == 7
    assert [one["id"] for one in merged.requests] == ["2-1"]
    assert fleet.failures == []


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff", b"{}", b'{"id": 3}', b'{"request": []}', b'{"request": {"id": {}}}', b'{"numbers": 7}'],
)
def test_entries_of_another_shape_are_left_out(fleet: Fleet, data: bytes) -> None:
    """Another version of the service may share the directory during a deployment."""
    ring = fleet.other("request", request("2-1", 10.0))
    for kind in ("request", "failed", "error", "change", "state", "of tomorrow"):
        ring.append(kind, data)
    ring.flush()
    merged = fleet.merged()
    assert [one["id"] for one in merged.requests] == ["2-1"]
    assert (merged.errors, merged.changes) == ([], [])
    assert fleet.failures == []


def test_fields_of_another_shape_do_no_harm(fleet: Fleet) -> None:
    fleet.snapshot.errors.append(group("A", 1, 1.0, 2.0))
    bad: dict[str, Any] = {"count": "x", "first": None, "last": [], "routes": 3, "requests": [[]], "new": None}
    fleet.other("error", {"id": "A", **bad}, {"id": "B", **bad})
    fleet.other("state", {"numbers": {"in_flight": {"now": "x", "line": [1, "y", True]}}, "forgotten": {"bytes": "z"}})
    merged = fleet.merged()
    assert [(one["id"], one["count"]) for one in merged.errors] == [("A", 1), ("B", "x")]
    assert merged.numbers["in_flight"] == {"now": None, "line": [1, None, None]}


def test_a_removed_directory_leaves_this_worker(fleet: Fleet) -> None:
    fleet.snapshot.requests.append(request("1-1", 20.0))
    fleet.own.write("request", "x")
    for path in fleet.directory.iterdir():
        path.unlink()
    fleet.directory.rmdir()
    merged = fleet.merged()
    assert [one["id"] for one in merged.requests] == ["1-1"]
    assert merged.workers == {
        "known": True,
        "answering": 1,
        "list": [{"pid": 1, "started": 100.0, "alive": True}],
        "skipped_files": 0,
    }


def test_without_a_directory_the_others_are_unknown() -> None:
    """This is one worker of an unknown number."""
    assert merge(WorkerSnapshot(7, 1.0)).workers == {
        "known": False,
        "answering": 7,
        "list": [{"pid": 7, "started": 1.0, "alive": True}],
        "skipped_files": 0,
    }


# Removing files.


def dead(directory: Path, at: float) -> Path:
    ring = Ring(directory)
    ring.write("failed", "1")
    ring.close()
    os.utime(ring.path, (at, at))
    return ring.path


def test_files_of_the_dead_are_removed_in_time(tmp_path: Path) -> None:
    """The newest few stay for an hour; living workers' files stay whatever their age."""
    wall = Seconds(1_000_000.0)
    directory = RingDirectory(tmp_path, "divan", wall)
    living = Ring(tmp_path)
    living.write("failed", "1")
    os.utime(living.path, (1.0, 1.0))
    gone = [dead(tmp_path, wall.now - age) for age in range(MAX_DEAD + 2)]
    directory.remove_dead()
    assert [path.exists() for path in gone] == [True] * MAX_DEAD + [False] * 2
    wall.now += MAX_DEAD_S - 1
    directory.remove_dead()
    assert [path.exists() for path in gone] == [True] * 2 + [False] * MAX_DEAD
    assert living.path.exists()


def test_a_clock_that_went_back_removes_nothing_too_early(tmp_path: Path) -> None:
    """Files of the future are limited by their number."""
    wall = Seconds(1_000_000.0)
    files = [dead(tmp_path, wall.now + 500 + age) for age in range(MAX_DEAD + 1)]
    RingDirectory(tmp_path, "divan", wall).remove_dead()
    assert [path.exists() for path in files] == [False, *[True] * MAX_DEAD]


def test_other_files_are_not_removed(tmp_path: Path) -> None:
    """The directory is the service's; what is no ring file stays, and an unfinished file goes after a minute."""
    foreign = [tmp_path / "divan-1-a.ring", tmp_path / "divan-1-b.worker", tmp_path / "divan-archive"]
    for path in foreign:
        path.write_bytes(b"x" * HEAD)
        os.utime(path, (1.0, 1.0))
    unfinished = tmp_path / "divan-1-c.ring-new"
    unfinished.touch()
    directory = RingDirectory(tmp_path, "divan")
    directory.remove_dead()
    assert unfinished.exists()
    os.utime(unfinished, (1.0, 1.0))
    directory.remove_dead()
    assert not unfinished.exists()
    assert all(path.exists() for path in foreign)


def test_the_console_removes_files_while_it_is_read(fleet: Fleet) -> None:
    path = dead(fleet.directory, 1.0)
    fleet.merged()
    assert not path.exists()

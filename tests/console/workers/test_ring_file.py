"""The ring file of a worker: what it keeps, and what happens when the disk or another program interferes."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from divan_obs_asgi.console.workers.ring_directory import read, read_ring
from divan_obs_asgi.console.workers.ring_file import size_for
from divan_obs_asgi.console.workers.ring_format import (
    HEAD,
    MIN_SIZE,
    Entry,
    RingHead,
    Unreadable,
    encoded_entry,
    lanes_of,
    located_entries,
)
from divan_obs_asgi.console.workers.ring_reader import RingReader
from tests.console.workers.rings import Ring, ids_of
from tests.patience import PATIENCE_S

# What a process of its own does: append two failures, report that they are written, and wait for its end.
WORKER = """
import pathlib, sys, time
from divan_obs_asgi.console.workers.ring_file import RingFile

ring = RingFile(pathlib.Path(sys.argv[1]), "divan", 1 << 17, print)
ring.append("failed", b'{"id": "1"}')
ring.append("failed", b'{"id": "2"}')
ring.flush()
print(ring.name, flush=True)
time.sleep(300)
"""


def test_entries_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Another worker reads every entry, in order, with its kind."""
    ring = Ring(tmp_path)
    ring.write("request", "1", "2")
    ring.write("probe of tomorrow", "3")
    assert [(entry.sequence, entry.kind, entry.data) for entry in read(ring.path)] == [
        (1, "request", b'{"id":"1"}'),
        (2, "request", b'{"id":"2"}'),
        (3, "probe of tomorrow", b'{"id":"3"}'),
    ]
    assert ring.failures == []
    assert not ring.problems


def test_the_file_has_a_fixed_size_and_is_private(tmp_path: Path) -> None:
    """The disk that the console takes is known, and other users of the machine cannot read it."""
    ring = Ring(tmp_path)
    for number in range(2000):
        ring.append("request", b'{"id": "%d", "text": "%s"}' % (number, b"x" * 500))
        ring.flush()
    found = ring.path.stat()
    assert found.st_size == MIN_SIZE
    assert found.st_blocks * 512 >= MIN_SIZE
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_eight_workers_take_what_the_flag_allows() -> None:
    assert size_for(8 << 20) * 8 == 8 << 20
    assert size_for(1) == MIN_SIZE
    assert size_for(8_388_613) % 8 == 0


def test_the_newest_entries_stay(tmp_path: Path) -> None:
    """A ring that has wrapped many times holds an unbroken run of the newest entries."""
    ring = Ring(tmp_path)
    for number in range(3000):
        ring.write("request", str(number), text="y" * (number % 97))
    kept = [int(one) for one in ring.ids("request")]
    assert kept == list(range(kept[0], 3000))
    assert len(kept) > 100


def test_a_flood_of_requests_leaves_failures_alone(tmp_path: Path) -> None:
    """Each class has a lane of its own."""
    ring = Ring(tmp_path)
    ring.write("failed", "broken")
    ring.write("slow", "late")
    ring.write("error", "ValueError")
    ring.write("change", "redis")
    for number in range(5000):
        ring.append("request", b'{"id": "%d"}' % number)
        ring.flush()
    assert [ring.ids(kind) for kind in ("failed", "slow", "error", "change")] == [
        ["broken"],
        ["late"],
        ["ValueError"],
        ["redis"],
    ]


def test_an_entry_that_does_not_fit_is_counted(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.append("request", b"x" * lanes_of(MIN_SIZE)["request"].max_entry)
    ring.flush()
    ring.write("request", "1")
    assert ring.ids("request") == ["1"]
    assert ring.problems == {"large": 1}


def test_entries_that_come_too_fast_are_counted(tmp_path: Path) -> None:
    """What waits for a slow disk has a bound."""
    ring = Ring(tmp_path)
    with ring._writing:
        for _ in range(10):
            ring.append("request", b'"' + b"x" * 5000 + b'"')
    assert ring.problems["queue"] >= 3


def test_a_thread_writes_without_being_asked(tmp_path: Path) -> None:
    """The event loop only queues; the entry is in the file soon afterwards."""
    ring = Ring(tmp_path)
    done = threading.Event()
    write = ring._write

    def note(kind: str, data: bytes) -> None:
        write(kind, data)
        assert threading.current_thread().name == "divan-console-ring"
        done.set()

    ring._write = note  # type: ignore[method-assign]
    ring.append("failed", b'{"id": "1"}')
    assert done.wait(PATIENCE_S)
    assert ids_of(next(tmp_path.glob("*.ring")), "failed") == ["1"]


def test_the_entries_of_a_killed_worker_are_read(tmp_path: Path) -> None:
    """SIGKILL loses nothing that was written, and the file tells that its worker is dead."""
    with subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        path = tmp_path / worker.stdout.readline().strip()
        alive = read_ring(path)
        assert (alive.alive, alive.head.pid) == (True, worker.pid)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    contents = read_ring(path)
    assert not contents.alive
    assert ids_of(path, "failed") == ["1", "2"]


def test_a_forked_worker_has_a_file_of_its_own(tmp_path: Path) -> None:
    """gunicorn with `preload_app` forks; the parent's file is the parent's, and its lock too."""
    ring = Ring(tmp_path)
    ring.write("request", "parent")
    child = os.fork()
    if not child:
        try:
            ring.write("request", "child")
            os._exit(0 if ring.ids("request") == ["child"] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ring.write("request", "again")
    assert ring.ids("request") == ["parent", "again"]
    assert sorted((read_ring(path).alive, read_ring(path).head.pid) for path in tmp_path.glob("*.ring")) == [
        (False, child),
        (True, os.getpid()),
    ]


def test_a_child_that_keeps_nothing_leaves_no_file(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.write("request", "parent")
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_truncated_file_is_filled_again(tmp_path: Path) -> None:
    """Nothing is mapped, so no signal ends the process; the loss is counted and later entries are kept."""
    ring = Ring(tmp_path)
    ring.write("request", "1")
    os.truncate(ring.path, 0)
    ring.write("request", "2")
    assert ring.ids("request") == ["2"]
    assert read_ring(ring.path).complete
    assert ring.problems == {"truncated": 1}


@pytest.mark.parametrize("how", ["removed", "replaced", "directory"])
def test_a_file_that_is_gone_is_created_again(tmp_path: Path, how: str) -> None:
    """The new file has the entries of the lost one; a file that another program put there is not touched."""
    ring = Ring(tmp_path / "workers")
    ring.write("failed", "1")
    path = ring.path
    if how == "directory":
        shutil.rmtree(tmp_path / "workers")
    else:
        path.unlink()
    if how == "replaced":
        path.write_bytes(b"foreign")
    ring.write("failed", "2")
    assert ring.ids("failed") == ["1", "2"]
    assert ring.problems == {"missing": 1}
    assert not path.exists() or path.read_bytes() == b"foreign"


def test_a_full_disk_is_counted_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are lost meanwhile, and nothing else happens."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ring = Ring(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        ring.write("failed", "1", "2")
    assert list(tmp_path.iterdir()) == []
    # The second entry came less than five seconds after the failed attempt.
    assert ring.problems == {"create": 1, "write": 2}
    assert [error.errno for error in ring.failures if isinstance(error, OSError)] == [errno.ENOSPC]
    ring.seconds.now += 5
    ring.write("failed", "3")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        ring.write("failed", "4")
    ring.write("failed", "5")
    assert ring.ids("failed") == ["3", "5"]


def test_a_directory_that_cannot_be_made_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ring = Ring(tmp_path / "file" / "workers")
    ring.write("failed", "1")
    assert ring.problems == {"create": 1, "write": 1}
    assert ring.name == ""


def test_a_clock_that_goes_back_changes_no_order(tmp_path: Path) -> None:
    """Entries are ordered by number and not by time."""
    ring = Ring(tmp_path)
    ring.write("change", "1", at=2000.0)
    ring.seconds.now = 0.0
    ring.write("change", "2", at=1000.0)
    assert ring.ids("change") == ["1", "2"]


def test_a_closed_file_is_of_a_dead_worker(tmp_path: Path) -> None:
    """What the worker has kept is written before; entries of tasks that outlive it are dropped."""
    ring = Ring(tmp_path)
    ring.append("failed", b'{"id": "1"}')
    ring.close()
    ring.append("failed", b'{"id": "2"}')
    ring.flush()
    assert not read_ring(ring.path).alive
    assert ring.ids("failed") == ["1"]
    ring.close()


def test_a_dropped_ring_ends_its_thread_and_its_lock(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.write("failed", "1")
    thread, path = ring._thread, ring.path
    assert thread is not None
    del ring
    gc.collect()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# What is in a file, whatever happened to it.

TEXTS = st.text(max_size=200)
ENTRIES = st.lists(st.tuples(st.sampled_from(["request", "failed", "error", "x"]), TEXTS), min_size=1, max_size=60)


def entries_of(data: bytes) -> list[Entry]:
    return [entry for _, _, entry in located_entries(data)]


@pytest.mark.slow
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["request", "failed", "slow", "error", "state", "x"]),
                           st.integers(0, 5000) | st.integers(0, 40_000))),
        max_size=30,
    )
)  # fmt: skip
# The lane was empty at the first reading, and is full and begun again at the second one.
@example([[], [("x", 3607), ("x", 887), ("x", 3599)]])
@settings(max_examples=40, deadline=None)
def test_who_reads_on_has_what_is_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, int]]]
) -> None:
    """However much was written since, round the ring or not: the same as whoever reads the file for the first time."""
    directory = tmp_path_factory.mktemp("ring")
    ring = Ring(directory)
    reader = RingReader()
    ring.write("state", "first")
    for number, entries in enumerate(rounds):
        for kind, size in entries:
            ring.append(kind, b"%d" % number + b"x" * size)
            ring.flush()
        before = {entry.sequence: entry for entry in reader.entries()}
        read_ring(ring.path, reader)
        after = list(read(ring.path))
        assert reader.entries() == after
        # Whoever follows what is new and what is gone has the same.
        before.update((entry.sequence, entry) for entry in reader.fresh())
        for sequence in reader.gone():
            del before[sequence]
        assert list(before.values()) == after
        read_ring(ring.path, reader)
        assert not reader.changed
        assert reader.entries() == after
    ring.close()


def filled(directory: Path, entries: list[tuple[str, str]], times: int) -> tuple[bytes, list[Entry]]:
    """Return the bytes of a ring file after these entries, and its entries."""
    ring = Ring(directory)
    for _ in range(times):
        for kind, text in entries:
            ring.append(kind, text.encode("utf-8", "replace"))
        ring.flush()
    data = ring.path.read_bytes()
    found = list(entries_of(data))
    ring.close()
    ring.path.unlink()
    return data, found


@given(ENTRIES, st.sampled_from([1, 3, 40]), st.data())
@settings(max_examples=60)
def test_a_cut_file_has_a_part_of_its_entries(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str]], times: int, data: st.DataObject
) -> None:
    """Every entry before the cut is read, none after it, and none that was not written."""
    contents, found = filled(tmp_path_factory.mktemp("ring"), entries, times)
    cut = data.draw(st.integers(0, len(contents)))
    path = tmp_path_factory.mktemp("cut") / "divan-1-0.ring"
    path.write_bytes(contents[:cut])
    if cut < HEAD:
        with pytest.raises(Unreadable):
            read_ring(path)
        return
    rest = list(entries_of(contents[:cut]))
    assert rest == found[: len(rest)]
    ends = [contents.find(encoded_entry(one.sequence, one.kind, one.data)) for one in found]
    assert len(rest) == sum(
        start + len(encoded_entry(one.sequence, one.kind, one.data).rstrip(b"\0")) <= cut
        for start, one in zip(ends, found, strict=True)
    )
    kept = read_ring(path)
    assert sorted(kept.reader.entries(), key=str) == sorted(rest, key=str)
    assert kept.complete == (cut == len(contents))


@given(ENTRIES, st.lists(st.tuples(st.integers(0, MIN_SIZE - 1), st.integers(1, 255)), max_size=40))
@settings(max_examples=40)
def test_a_damaged_file_has_no_other_entries(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str]], damage: list[tuple[int, int]]
) -> None:
    """A byte that has changed costs the entry that it belongs to."""
    contents, found = filled(tmp_path_factory.mktemp("ring"), entries, 3)
    changed = bytearray(contents)
    for place, difference in damage:
        changed[place] ^= difference
    assert set(entries_of(bytes(changed))) <= set(found)


@given(st.binary(max_size=2000))
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever is in a file, reading it ends."""
    head = RingHead(MIN_SIZE, 1, 1.0).encoded()
    assert list(entries_of(data)) == list(entries_of(head + data)) == []


@given(TEXTS, TEXTS)
def test_no_text_is_an_entry(text: str, other: str) -> None:
    """A client that sends the bytes of an entry as text forges nothing."""
    forged = encoded_entry(7, "failed", other.encode("utf-8", "replace")).decode("latin-1")
    inner = encoded_entry(1, "request", (text + forged).encode("utf-8", "replace"))
    found = list(entries_of(RingHead(MIN_SIZE, 1, 1.0).encoded() + inner))
    assert [entry.sequence for entry in found] == [1]

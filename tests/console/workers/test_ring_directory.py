"""The ring files of a service: which are read, and which are removed."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

from divan_obs_asgi.console.workers import ring_format
from divan_obs_asgi.console.workers.ring_directory import MAX_DEAD, MAX_DEAD_S, RingDirectory
from divan_obs_asgi.console.workers.ring_format import HEAD, MIN_SIZE, RingHead
from tests.console.workers.rings import Ring, Seconds


def dead(directory: Path, at: float = 1.0) -> Path:
    ring = Ring(directory)
    ring.write("failed", "1")
    ring.close()
    os.utime(ring.path, (at, at))
    return ring.path


def test_foreign_and_torn_files_are_skipped_and_counted(tmp_path: Path) -> None:
    """Of a torn file the complete entries are read; other files of the directory are left alone."""
    torn = dead(tmp_path)
    os.truncate(torn, torn.stat().st_size - 8)
    (tmp_path / "divan-1-a.ring").write_bytes(b"")
    (tmp_path / "divan-1-b.ring").write_bytes(b"x" * MIN_SIZE)
    (tmp_path / "divan-1-c.ring").write_bytes(RingHead(1 << 60, 1, 1.0).encoded())
    (tmp_path / "divan-1-d.ring").mkdir()
    (tmp_path / "divan-1-e.ring").symlink_to(torn)
    os.mkfifo(tmp_path / "divan-1-f.ring")
    (tmp_path / "other-1-g.ring").write_bytes(b"")
    (tmp_path / "divan-1-h.worker").write_bytes(b"")
    found, skipped = RingDirectory(tmp_path, "divan").read()
    assert skipped == 7
    assert [(one.name, one.complete, len(one.reader.entries())) for one in found] == [(torn.name, False, 1)]


def test_a_file_of_another_version_is_skipped(tmp_path: Path) -> None:
    """During a deployment old and new workers may share the directory; the fields of entries differ."""
    path = dead(tmp_path)
    contents = path.read_bytes()
    other = ring_format._head.pack(b"divan-r1", ring_format._VERSION ^ 1, MIN_SIZE, 1, 1.0)
    checksum = ring_format._checksum.pack(crc32(other))
    path.write_bytes((other + checksum).ljust(HEAD, b"\0") + contents[HEAD:])
    assert RingDirectory(tmp_path, "divan").read() == ([], 1)


def test_without_the_directory_there_is_nothing(tmp_path: Path) -> None:
    directory = RingDirectory(tmp_path / "gone", "divan")
    directory.remove_dead()
    assert directory.read() == ([], 0)


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
    """The directory is the service's: only ring files go, and an unfinished one after a minute."""
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

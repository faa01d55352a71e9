"""What can go wrong with the files of several workers: processes that end at any step, forks, damage, a full disk."""

from __future__ import annotations

import errno
import fcntl
import gc
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from prometheus_client.registry import Collector

from divan_obs_asgi.metrics import HttpTraffic, Metrics
from divan_obs_asgi.metrics.multiprocess import forks
from divan_obs_asgi.metrics.multiprocess.file_format import head
from tests.metrics.ended_requests import ended
from tests.metrics.worker_pages import (
    Killed,
    at_a_step_of_reading,
    at_each_step_of_folding,
    die,
    files,
    fold,
    page,
    samples,
    worker,
)

# What a process of its own does: count, and end in the middle of folding what another has left, by SIGKILL.
FOLDING = """
import os, pathlib, signal, sys
from divan_obs_asgi.metrics import Metrics

directory, step = pathlib.Path(sys.argv[1]), int(sys.argv[2])
at = 0

def mortal(function):
    def call(*args, **kwargs):
        global at
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)
        at += 1
        return function(*args, **kwargs)
    return call

metrics = Metrics(directory=directory)
metrics.chat_send.inc(4)
os.replace = mortal(os.replace)
pathlib.Path.unlink = mortal(pathlib.Path.unlink)
pathlib.Path.write_bytes = mortal(pathlib.Path.write_bytes)
print("ready", flush=True)
sys.stdin.read()
metrics.render()
"""


def sold(metrics: Metrics) -> float:
    return samples(metrics, "divan_chat_send_total")["divan_chat_send_total"]


@pytest.mark.parametrize("step", range(11))
def test_a_read_during_archiving_counts_everything_once(tmp_path: Path, step: int) -> None:
    """The archiving happens between any two steps of the reader, which takes no lock."""
    workers = [worker(tmp_path) for _ in range(4)]
    for metrics in workers:
        metrics.chat_send.inc()
    die(workers[1])
    die(workers[2])
    with at_a_step_of_reading(step, lambda: fold(tmp_path)):
        assert sold(workers[0]) == 4
    assert sold(workers[3]) == 4


@pytest.mark.parametrize("step", range(5))
def test_a_kill_during_archiving_loses_nothing(tmp_path: Path, step: int) -> None:
    """At any step; and who reads at any step before sees all of it."""
    workers = [worker(tmp_path) for _ in range(3)]
    for metrics in workers:
        metrics.chat_send.inc()
    die(workers[1])
    die(workers[2])

    def look() -> None:
        assert sold(workers[0]) == 3

    with at_each_step_of_folding(look, killed_at=step), suppress(Killed):
        fold(tmp_path)
    assert sold(workers[0]) == 3
    assert sold(worker(tmp_path)) == 3
    assert [kind for kind in files(tmp_path) if not kind.endswith(".new")] == ["archive", "lock", "worker", "worker"]


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_process_killed_during_archiving_keeps_its_counts(tmp_path: Path, step: int) -> None:
    """A real one, by SIGKILL: what it counted is there, and what it was folding."""
    first = worker(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", FOLDING, str(tmp_path), str(step)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    first.chat_send.inc(3)
    assert sold(first) == 7
    die(first)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert sold(worker(tmp_path)) == 7


def test_all_readers_see_that_a_worker_is_dead(tmp_path: Path) -> None:
    """Also to two who look at the same moment: whether its lock is held is asked without taking it."""
    one, two = worker(tmp_path), worker(tmp_path)
    one.socketio_clients.labels("/").set(5)
    (path,) = [path for path in tmp_path.iterdir() if one.workers and path.name == one.workers.ledger.name]
    die(one)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # Another one who looks, just now.
        assert samples(two, "divan_socketio_clients") == {}


def test_an_unfinished_file_is_removed(tmp_path: Path) -> None:
    """A minute later, when nobody can be at it any more."""
    metrics = worker(tmp_path)
    old, new = tmp_path / "divan-archive-1.new", tmp_path / "divan-2.new"
    for path in (old, new):
        path.write_bytes(b"?")
    os.utime(old, (time.time() - 100, time.time() - 100))
    fold(tmp_path)
    assert not old.exists()
    assert new.exists()
    page(metrics)


def test_a_damaged_file_is_skipped(tmp_path: Path) -> None:
    """And reported once; the page has what can be read."""
    metrics = worker(tmp_path)
    metrics.chat_send.inc(2)
    damaged = tmp_path / "divan-1-0.worker"
    for content in (b"", b"?" * 100, b"divan-1\n" + (1000).to_bytes(8, sys.byteorder) + b"?" * 1000):
        damaged.write_bytes(content)
        failures: list[Exception] = []
        assert b"\ndivan_chat_send_total 2.0\n" in metrics.render(failed=failures.append)
        assert {type(error).__name__ for error in failures} == {"Damaged"}
        assert not damaged.exists()
        assert sold(metrics) == 2


def test_a_damaged_archive_is_replaced(tmp_path: Path) -> None:
    """This holds while workers run: each page has the counts of the running workers."""
    (tmp_path / "divan-archive").write_bytes(b"?")
    metrics = worker(tmp_path)
    metrics.chat_send.inc(2)
    assert sold(metrics) == 2
    (tmp_path / "divan-archive").write_bytes(b"divan-1\n" + bytes(100))
    failures: list[Exception] = []
    assert b"\ndivan_chat_send_total 2.0\n" in metrics.render(failed=failures.append)
    assert [type(error).__name__ for error in failures] == ["Damaged"]
    worker(tmp_path)
    assert sold(metrics) == 2


@pytest.mark.parametrize("size", [0, 10, 100, 1003, 2000])
@pytest.mark.parametrize("lives", [True, False])
def test_a_truncated_file_is_skipped(tmp_path: Path, size: int, lives: bool) -> None:
    """This holds for any length, and for a file that was read before."""
    one, two = worker(tmp_path), worker(tmp_path)
    for metrics in (one, two):
        metrics.chat_send.inc()
    assert sold(one) == 2
    assert two.workers is not None
    os.truncate(tmp_path / two.workers.ledger.name, size)
    if not lives:
        die(two)
    failures: list[Exception] = []
    assert b"\ndivan_chat_send_total 1.0\n" in one.render(failed=failures.append)
    assert {type(error).__name__ for error in failures} == {"Damaged"}


def test_a_file_with_a_huge_declared_size_is_skipped(tmp_path: Path) -> None:
    """The size in a damaged head is not used for reading."""
    metrics = worker(tmp_path)
    metrics.chat_send.inc()
    (tmp_path / "divan-1-0.worker").write_bytes(head(2**62) + b"?" * 100)
    failures: list[Exception] = []
    assert b"\ndivan_chat_send_total 1.0\n" in metrics.render(failed=failures.append)
    assert {type(error).__name__ for error in failures} == {"Damaged"}


@pytest.mark.parametrize("gone", ["file", "directory"])
def test_a_worker_creates_its_missing_file_again(tmp_path: Path, gone: str, caplog: pytest.LogCaptureFixture) -> None:
    """With what it had counted, for the others too; that is logged once."""
    directory = tmp_path / "metrics"
    one, two = worker(directory), worker(directory)
    for metrics in (one, two):
        metrics.chat_send.inc()
    for path in directory.iterdir():
        path.unlink()
    if gone == "directory":
        directory.rmdir()
    one.chat_send.inc()
    assert sold(one) == 2
    assert sold(two) == 3
    for metrics in (one, two):
        metrics.chat_send.inc()
        metrics.histogram("sizes", "Sizes.", ["zone"]).labels("new").observe(1)
    assert [sold(one), sold(two)] == [5, 5]
    assert samples(one, "divan_sizes_count") == {"divan_sizes_count{zone=new}": 2}
    message = f"Created a new metrics file in {directory}; other workers can read it again."
    assert [record.getMessage() for record in caplog.records] == [message, message]


@pytest.mark.slow
def test_a_worker_shares_its_counts_when_the_directory_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was replaced by a file meanwhile, and the worker served on, with all its counts on its own page."""
    directory = tmp_path / "metrics"
    one, two = worker(directory), worker(directory)
    for metrics in (one, two):
        metrics.chat_send.inc()
    shutil.rmtree(directory)
    directory.touch()
    started_meanwhile = worker(directory)
    everybody = (one, two, started_meanwhile)
    sizes = [metrics.histogram("sizes", "Sizes.", ["zone"]) for metrics in everybody]
    for metrics, its_sizes in zip(everybody, sizes, strict=True):
        metrics.chat_send.inc()
        for zone in range(400):
            its_sizes.labels("x" * 400 + str(zone)).observe(1)
        failures: list[Exception] = []
        assert metrics.render(failed=failures.append).count(b"\ndivan_sizes_count{") == 400
        assert failures
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    directory.unlink()
    for metrics in everybody:
        sold(metrics)
    assert [sold(metrics) for metrics in everybody] == [5, 5, 5]
    assert sum(samples(one, "divan_sizes_count").values()) == 1200
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3 + ["WARNING"] * 3


def test_a_failed_restore_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk may be full, or the directory be taken away again, at any step."""
    directory = tmp_path / "metrics"
    metrics = worker(directory)
    metrics.chat_send.inc()
    shutil.rmtree(directory)
    for name in ("posix_fallocate", "rename", "open"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            failures: list[Exception] = []
            metrics.render(failed=failures.append)
            assert failures
        metrics.chat_send.inc()
    assert sold(metrics) == 4
    assert files(directory) == ["worker"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """New series are not exported, which is logged once; existing series continue."""
    metrics = worker(tmp_path)
    metrics.chat_send.inc()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with caplog.at_level(logging.ERROR):
        for zone in range(400):
            metrics.histogram("sizes", "Sizes.", ["zone"]).labels("x" * 400 + str(zone)).observe(1)
    metrics.chat_send.inc()
    assert sold(metrics) == 2
    assert 0 < len(samples(metrics, "divan_sizes_count")) < 400
    message = "Cannot extend the metrics file (No space left on device); new series of this worker are not exported."
    assert [record.getMessage() for record in caplog.records] == [message]


def test_a_worker_that_starts_while_the_disk_is_full_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; its own page has what it counts, however much, and the others go on without it."""
    one, two = worker(tmp_path), worker(tmp_path)
    for metrics in (one, two):
        metrics.chat_send.inc()
    die(two)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(os, "posix_fallocate", full)
        patch.setattr(Path, "write_bytes", full)
        late = worker(tmp_path)
        late.chat_send.inc(3)
        sizes = late.histogram("sizes", "Sizes.", ["zone"])
        for zone in range(400):
            sizes.labels("x" * 400 + str(zone)).observe(1)
        failures: list[Exception] = []
        text = late.render(failed=failures.append)
        assert b"\ndivan_chat_send_total 5.0\n" in text
        assert text.count(b"\ndivan_sizes_count{") == 400
        # A dead worker's file is kept, and read.
        assert b"\ndivan_chat_send_total 2.0\n" in one.render(failed=failures.append)
        assert files(tmp_path) == ["lock", "worker", "worker"]
    assert [record.getMessage() for record in caplog.records] == [
        f"Cannot create a metrics file in {tmp_path} (No space left on device); "
        "the metrics of this worker are on its own page only."
    ]
    # When there is room again, the others see all of it.
    late.render()
    assert sold(one) == 5
    assert files(tmp_path) == ["archive", "lock", "worker", "worker"]


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_fallocate_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """musl hands on that it cannot (Alpine), where glibc writes zeros."""

    def cannot(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    one, two = worker(tmp_path), worker(tmp_path)
    one.chat_send.inc(2)
    for zone in range(400):
        one.histogram("sizes", "Sizes.", ["zone"]).labels("x" * 400 + str(zone)).observe(1)
    assert sold(two) == 2
    assert len(samples(two, "divan_sizes_count")) == 400


def test_a_file_grows_with_its_series(tmp_path: Path) -> None:
    """Beyond its first size, and what is counted before and after is in it."""
    one, two = worker(tmp_path, max_series=2000), worker(tmp_path)
    for metrics in (one, two):
        metrics.chat_send.inc()
    sizes = one.histogram("sizes", "Sizes.", ["zone"])
    for zone in range(1000):
        sizes.labels(str(zone)).observe(1)
    one.chat_send.inc()
    assert sold(two) == 3
    assert sum(samples(two, "divan_sizes_count").values()) == 1000


def test_a_bundle_that_is_dropped_is_a_dead_worker(tmp_path: Path) -> None:
    """Its file is let go of with it."""
    one, two = worker(tmp_path), worker(tmp_path)
    two.chat_send.inc(3)
    del two
    gc.collect()
    assert sold(one) == 3
    assert files(tmp_path) == ["archive", "lock", "worker"]


# A test session has threads, of which the child makes no use.
in_spite_of_threads = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def forked(function: Callable[[], object]) -> None:
    """Call a function in a forked child, and wait for its end."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@in_spite_of_threads
def test_a_forked_worker_counts_for_itself(tmp_path: Path) -> None:
    """As gunicorn's with --preload: what was counted before the fork is counted once, and what each counts after it."""
    metrics = worker(tmp_path)
    metrics.chat_send.inc(3)
    known = metrics.http_requests.labels("/", "GET", "200")
    known.inc()
    metrics.socketio_clients.labels("/").set(5)
    metrics.redis_up.set(1)

    def child() -> None:
        assert files(tmp_path) == ["lock", "worker"]
        known.inc()
        metrics.chat_send.inc()
        metrics.http_requests.labels("/new", "GET", "200").inc()
        assert files(tmp_path) == ["lock", "worker", "worker"]
        values = samples(
            metrics, "divan_chat_send_total", "divan_http_requests_total", "divan_socketio_cl", "divan_redis_up"
        )
        assert values == {
            "divan_chat_send_total": 4,
            "divan_http_requests_total{method=GET,route=/,status=200}": 2,
            "divan_http_requests_total{method=GET,route=/new,status=200}": 1,
            "divan_socketio_clients{namespace=/}": 5,
            "divan_redis_up": 1,
        }

    forked(child)
    metrics.chat_send.inc()
    assert sold(metrics) == 5
    assert files(tmp_path) == ["archive", "lock", "worker"]


@in_spite_of_threads
def test_a_forked_worker_counts_requests_of_cached_routes(tmp_path: Path) -> None:
    """What the parent has looked up of a route's series is the child's, too, and its counts are not."""
    metrics = worker(tmp_path)
    traffic = HttpTraffic(metrics)

    def serve() -> None:
        leave = traffic.begin(ended("/a"))
        traffic.finish(ended("/a"))
        leave()

    serve()
    forked(serve)
    serve()
    values = samples(metrics, "divan_http_requests", "divan_http_request_duration_seconds_sum")
    assert values == {
        "divan_http_requests_in_flight": 0,
        "divan_http_requests_total{method=GET,route=/a,status=200}": 3,
        "divan_http_request_duration_seconds_sum{method=GET,route=/a}": 0.1 + 0.1 + 0.1,
    }


def test_two_threads_can_fork_at_once(tmp_path: Path) -> None:
    """Each lets go of the locks that it holds meanwhile: where one stayed held, the next count would wait for ever."""
    metrics = worker(tmp_path)
    assert metrics.workers is not None

    def fork() -> None:
        forks.before_fork()
        forks.after_fork_in_parent()

    other = threading.Thread(target=fork, daemon=True)
    forks.before_fork()
    other.start()
    other.join(0.05)
    forks.after_fork_in_parent()
    other.join(30)
    assert metrics.workers.ledger.lock.acquire(timeout=30)
    metrics.workers.ledger.lock.release()


@in_spite_of_threads
def test_forked_workers_that_are_recycled_leave_no_files(tmp_path: Path) -> None:
    """Also where nobody scrapes: the next one takes the files of the dead into the archive when it starts."""
    metrics = worker(tmp_path)
    assert metrics.workers is not None
    keep_updating = metrics.workers.keep_updating

    async def live() -> None:
        noted: list[object] = []

        def collectors() -> tuple[Collector, ...]:
            noted.append(None)
            return ()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_updating, collectors)
            while not noted:  # noqa: ASYNC110 - a thread does what is waited for
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()

    def child() -> None:
        metrics.chat_send.inc()
        anyio.run(live)

    for _ in range(4):
        forked(child)
    assert files(tmp_path) == ["archive", "lock", "worker", "worker"]
    assert sold(metrics) == 4


@in_spite_of_threads
def test_a_child_that_counts_nothing_leaves_no_file(tmp_path: Path) -> None:
    """And does not keep its parent alive for others, where the parent dies first."""
    metrics, other = worker(tmp_path), worker(tmp_path)
    metrics.socketio_clients.labels("/").set(5)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        theirs.send(b"!")
        theirs.recv(1)
        os._exit(0)
    theirs.close()
    assert ours.recv(1) == b"!"
    assert files(tmp_path) == ["lock", "worker", "worker"]
    die(metrics)
    assert samples(other, "divan_socketio_clients") == {}
    ours.close()
    os.waitpid(pid, 0)
    assert files(tmp_path) == ["archive", "lock", "worker"]

"""Batches on the disk: bounded, private, shared by workers, and sent once."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from divan_obs_asgi.otlp.answers import DROP_REASONS
from divan_obs_asgi.otlp.export_log import ExportLog
from divan_obs_asgi.otlp.spool import Spool
from tests.servers.otlp_http import Answer, OtlpHttpReceiver
from tests.servers.process import free_port
from tests.tracing.test_collector_faults import Service


class Spooling:
    """A spool, and what it reports."""

    def __init__(self, directory: Path, max_bytes: int = 1_000_000) -> None:
        self.lost: list[tuple[str, int]] = []
        self.failures: list[str] = []
        self.spool = Spool(
            directory,
            max_bytes,
            lambda reason, count: self.lost.append((reason, count)),
            lambda error: self.failures.append(type(error).__name__),
            ExportLog(),
        )

    def sent(self) -> list[bytes]:
        """Take everything that can be sent."""
        found = []
        while (stored := self.spool.oldest()) is not None:
            found.append(stored.payload)
            stored.remove()
        return found


def test_batches_come_back_in_order_and_once(tmp_path: Path) -> None:
    """Also in another process; directory and files are for this user only."""
    directory = tmp_path / "made" / "traces"
    one, other = Spooling(directory), Spooling(directory)
    for payload in (b"a", b"b", b"c"):
        assert one.spool.put(payload, 1)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}
    assert other.sent() == [b"a", b"b", b"c"]
    assert one.sent() == []
    assert list(directory.iterdir()) == []


def test_a_batch_that_is_being_sent_is_skipped_by_others(tmp_path: Path) -> None:
    """Released after a failed attempt, it is anyone's again."""
    one, other = Spooling(tmp_path / "x"), Spooling(tmp_path / "x")
    one.spool.put(b"a", 1)
    one.spool.put(b"b", 1)
    stored = one.spool.oldest()
    assert stored is not None
    assert other.sent() == [b"b"]
    stored.release()
    assert other.sent() == [b"a"]


def test_the_oldest_go_first_if_there_is_no_room(tmp_path: Path) -> None:
    """And are counted with the number of their spans."""
    spooling = Spooling(tmp_path / "x", max_bytes=300)
    for number in range(5):
        assert spooling.spool.put(b"%d" % number * 76, 10 + number)
    assert not spooling.spool.put(b"x" * 1000, 1)
    assert spooling.sent() == [b"2" * 76, b"3" * 76, b"4" * 76]
    assert spooling.lost == [("disk_full", 10), ("disk_full", 11)]


def test_damaged_and_foreign_files_are_skipped_and_counted(tmp_path: Path) -> None:
    """A foreign file stays where it is."""
    spooling = Spooling(tmp_path)
    for count in (3, 4, 5):
        spooling.spool.put(b"payload", count)
    cut, changed, _ = sorted(tmp_path.iterdir())
    cut.write_bytes(cut.read_bytes()[:-2])
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    abandoned = tmp_path / "..00000000000000000001-9-9.7.otlp".removeprefix(".")
    abandoned.write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    os.mkfifo(tmp_path / "00000000000000000002-9-9.7.otlp")
    assert spooling.sent() == [b"payload"]
    assert sorted(spooling.lost) == [("damaged", 3), ("damaged", 4), ("damaged", 7)]
    assert spooling.failures == ["ForeignFile"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_disk_that_takes_nothing_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The batch stays in memory."""
    caplog.set_level(logging.INFO)
    (tmp_path / "file").write_text("")
    spooling = Spooling(tmp_path / "file" / "traces")
    assert [spooling.spool.put(b"a", 1) for _ in range(3)] == [False] * 3
    assert spooling.sent() == []
    assert [record.getMessage() for record in caplog.records] == [
        "OBS_TELEMETRY_DIR: cannot write (ENOTDIR); spans wait in memory only."
    ]
    (tmp_path / "link").symlink_to(tmp_path)
    assert not Spooling(tmp_path / "link").spool.put(b"a", 1)


def down(directory: Path, port: int, **flags: str) -> Service:
    """Return a service whose spans can wait in `directory`."""
    return Service(
        port,
        **{
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OBS_TELEMETRY_DIR": str(directory),
            "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "20",
            **flags,
        },
    )


def test_spans_of_a_service_that_ends_are_sent_by_the_next_one(tmp_path: Path) -> None:
    """The collector was down all the time; no span is lost although the queue has room for 16 only."""
    port = free_port()
    first = down(tmp_path, port)
    for _ in range(4):
        first.ask(10)
        first.flush()
    first.shut_down()
    assert first.lost(*DROP_REASONS) == 0
    with OtlpHttpReceiver(port) as receiver:
        second = down(tmp_path, port)
        second.ask(1)
        assert second.flush()
        assert len(receiver.wait_for(41)) == 41
        assert len({span.span_id for span in receiver.spans}) == 41
        second.shut_down()
    assert list((tmp_path / "traces").iterdir()) == []


def test_a_hanging_collector_leaves_spans_on_the_disk(tmp_path: Path) -> None:
    """The end of the process does not wait for it, and loses nothing."""
    with OtlpHttpReceiver() as receiver:
        receiver.script.extend([Answer(hangs=True)] * 9)
        service = down(tmp_path, receiver.port, OBS_TRACING_SHUTDOWN_TIMEOUT_S="2")
        service.ask(4)
        service.shut_down()
        assert service.lost(*DROP_REASONS) == 0
    assert [file.name.split(".")[1] for file in (tmp_path / "traces").iterdir()] == ["4"]


def test_what_is_on_the_disk_is_redacted(tmp_path: Path) -> None:
    """The files contain what the collector would have got."""
    service = down(tmp_path, free_port())
    spans = service.observed.obs.spans
    assert spans is not None
    with spans.provider.get_tracer("t").start_as_current_span("x", attributes={"password": "hunter2-kept-private"}):
        pass
    service.flush()
    (file,) = (tmp_path / "traces").iterdir()
    assert b"password" in file.read_bytes()
    assert b"hunter2" not in file.read_bytes()
    service.shut_down()


WORKER = """
import sys
from pathlib import Path
from divan_obs_asgi.otlp.export_log import ExportLog
from divan_obs_asgi.otlp.spool import Spool
spool = Spool(Path(sys.argv[1]), 10**7, print, print, ExportLog())
sys.stdin.read(1)
while (stored := spool.oldest()) is not None:
    print(stored.payload.decode())
    stored.remove()
"""


@pytest.mark.slow
def test_workers_that_share_a_directory_send_nothing_twice(tmp_path: Path) -> None:
    """Three processes take each batch of a dead one exactly once."""
    spooling = Spooling(tmp_path)
    for number in range(60):
        spooling.spool.put(str(number).encode(), 1)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    taken = [line for worker in workers for line in worker.communicate("x", timeout=60)[0].split()]
    assert sorted(map(int, taken)) == list(range(60))

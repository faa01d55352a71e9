"""DiskProbe, on the disk of the tests."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.probes import DiskProbe
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, run_on


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_disk_with_free_space_passes(tmp_path: Path, backend: str) -> None:
    """The response shows how much is free."""
    details = run_on(backend, DiskProbe(tmp_path, min_free_bytes=1, min_free_percent=0.001).check)
    assert set(details) == {"free_percent"}
    assert 0 < float(str(details["free_percent"])) <= 100


@pytest.mark.parametrize("asked", [{"min_free_bytes": 10**18}, {"min_free_percent": 99.999}])
def test_a_disk_without_free_space_is_full(tmp_path: Path, asked: dict[str, Any]) -> None:
    """By either of the two limits."""
    with pytest.raises(obs.ProbeFailed, match=r"^full$") as failure:
        anyio.run(DiskProbe(tmp_path, **asked).check)
    assert set(failure.value.details) == {"free_percent"}


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    """A volume is not mounted. The response does not contain the path."""
    with pytest.raises(obs.ProbeFailed, match=r"^error$") as failure:
        anyio.run(DiskProbe(tmp_path / "volume", min_free_bytes=1).check)
    assert failure.value.details == {}


class Hanging:
    """A path of a network disk that does not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = threading.Event()

    def __fspath__(self) -> str:
        self.asked += 1
        self.answers.wait(60.0)
        return "/"


def test_a_disk_that_hangs_blocks_one_thread() -> None:
    """Eleven checks time out with one call of the operating system. When it returns, the probe works again."""
    path = Hanging()
    probe = DiskProbe(path, min_free_bytes=1)

    async def check() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(probe.check)
            while not path.asked:  # noqa: ASYNC110 - a thread sets it
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
        for _ in range(10):
            with pytest.raises(obs.ProbeFailed, match=r"^timeout$"):
                await probe.check()
        assert path.asked == 1
        path.answers.set()
        with anyio.fail_after(PATIENCE_S):
            while await still_hangs(probe):  # noqa: ASYNC110 - no event is set
                await anyio.sleep(0.001)

    anyio.run(check)


async def still_hangs(probe: DiskProbe) -> bool:
    try:
        await probe.check()
    except obs.ProbeFailed:
        return True
    return False


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, r"has no limit; set min_free_percent or min_free_bytes\."),
        ({"min_free_percent": 0}, r"has min_free_percent 0; expected 0 to 100\."),
        ({"min_free_percent": 100}, r"has min_free_percent 100; expected 0 to 100\."),
        ({"min_free_bytes": 0}, r"has min_free_bytes 0; expected more than 0\."),
    ],
)
def test_a_limit_without_effect_is_a_start_up_error(asked: dict[str, Any], expected: str) -> None:
    """A probe that always passes, or never, is a mistake."""
    with pytest.raises(obs.ImproperlyConfigured, match=rf"^Probe 'disk' {expected}$"):
        DiskProbe("/", **asked)

"""Several workers in one process, each with a ledger of its own, and what their pages say."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from prometheus_client.parser import text_string_to_metric_families

from divan_obs_asgi.metrics import Format, Metrics
from divan_obs_asgi.metrics.multiprocess.archive import WorkerDirectory


def worker(directory: Path, **options: object) -> Metrics:
    """Return the metrics of one more worker."""
    return Metrics(directory=directory, **options)  # type: ignore[arg-type]


def die(metrics: Metrics) -> None:
    """End a worker as SIGKILL does: nothing of it is left but what is in its file."""
    assert metrics.workers is not None
    metrics.workers.ledger.close()


def page(metrics: Metrics, form: Format = Format.TEXT) -> bytes:
    """Return the page of a worker, which nothing must be wrong with."""
    failures: list[Exception] = []
    body = metrics.render(form, failures.append)
    assert failures == []
    return body


def samples(metrics: Metrics, *names: str) -> dict[str, float]:
    """Return the samples whose name starts with one of `names`, each as it is written, of the page of a worker."""
    return dict(_samples(page(metrics).decode(), names))


def _samples(text: str, names: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    wanted = "\n".join(line for line in text.splitlines() if line.startswith(names))
    for family in text_string_to_metric_families(f"{wanted}\n"):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value


def files(directory: Path) -> list[str]:
    """Return the kinds of the files that are there."""
    kinds = {".worker": "worker", "-archive": "archive", "-lock": "lock"}
    return sorted(
        next((kind for end, kind in kinds.items() if path.name.endswith(end)), path.name)
        for path in directory.iterdir()
    )


def no_failure(error: Exception) -> None:
    raise error


def fold(directory: Path) -> None:
    """Take the dead workers' files into the archive, as a worker does that starts."""
    WorkerDirectory(directory, "divan", 500).archive_dead(no_failure)


class Killed(BaseException):
    """A process ends here."""


@contextmanager
def at_each_step_of_folding(look: Callable[[], object], killed_at: int) -> Iterator[None]:
    """Look before every file that is written, put in place or removed; at one of them, end the process."""
    steps = itertools.count()
    looking = False

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal looking
            if not looking:
                looking = True
                look()
                looking = False
                if next(steps) == killed_at:
                    raise Killed
            return function(*args, **kwargs)

        return call

    with ExitStack() as patches:
        for owner, name in ((os, "replace"), (Path, "unlink"), (Path, "write_bytes")):
            patches.enter_context(mock.patch.object(owner, name, watched(getattr(owner, name))))
        yield


@contextmanager
def at_a_step_of_reading(step: int, happens: Callable[[], object]) -> Iterator[None]:
    """Have something happen before one of the files, or the directory, is read."""
    steps = itertools.count()

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == step:
                happens()
            return function(*args, **kwargs)

        return call

    with ExitStack() as patches:
        for owner, name in ((os, "scandir"), (os, "pread"), (os, "open"), (Path, "read_bytes")):
            patches.enter_context(mock.patch.object(owner, name, watched(getattr(owner, name))))
        yield

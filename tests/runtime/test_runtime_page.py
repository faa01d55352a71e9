"""docs/runtime.md and docs/jobs.md agree with the code."""

from __future__ import annotations

from typing import Any

import pytest

from divan_obs_asgi import Settings
from divan_obs_asgi.jobs import RESULTS
from divan_obs_asgi.metrics import FAMILIES, NAMESPACE
from divan_obs_asgi.runtime.watchdog import FRAMES, ONGOING_S, REPEAT_S
from tests.pages import Page, coded, unknown_metrics

RUNTIME, JOBS = Page("runtime.md"), Page("jobs.md")


def default(flag: str) -> Any:
    return next(value for one, value in Settings.flags() if one.name == flag)


def test_the_table_of_redis_streams_has_all_series() -> None:
    """With their labels."""
    series = [
        f"{NAMESPACE}_{family.name}{{{','.join(family.labels)}}}"
        for family in FAMILIES
        if family.name.startswith("redis_stream_")
    ]
    assert [coded(row["series"])[0] for row in RUNTIME.table("series")] == series


def test_the_documented_numbers_are_those_of_the_code() -> None:
    """Defaults of flags, and constants of the watchdog."""
    for sentence in (
        f"`OBS_WATCHDOG_STALL_MS` ({default('OBS_WATCHDOG_STALL_MS'):g})",
        f"`OBS_REDIS_STREAMS_INTERVAL_S` ({default('OBS_REDIS_STREAMS_INTERVAL_S'):g}) seconds",
        f"or after {ONGOING_S:g} s if it continues",
        f"the innermost {FRAMES} frames",
        f"logged once in {REPEAT_S:g} s",
    ):
        assert sentence in RUNTIME.flowing


def test_jobs_have_the_documented_results() -> None:
    """The values of the label `result`."""
    sentence = JOBS.flowing.partition("The result is ")[2].partition("if something")[0]
    assert tuple(coded(sentence)) == RESULTS


def test_the_page_on_jobs_names_all_their_metrics() -> None:
    """Each family, with its labels."""
    for family in FAMILIES:
        if family.name.startswith("jobs_"):
            assert f"`{NAMESPACE}_{family.name}{{{','.join(family.labels)}}}`" in JOBS.text


@pytest.mark.parametrize("page", [RUNTIME, JOBS], ids=["runtime", "jobs"])
def test_the_documented_metrics_exist(page: Page) -> None:
    """With the labels of the catalogue."""
    assert page.metrics()
    assert unknown_metrics(page) == set()

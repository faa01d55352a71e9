"""promtool tests of every alert: it fires, not just below its limit, it resolves, and not during a deploy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.files import files
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, one_of, rate, total
from divan_obs_asgi.ops_assets.rules import Alert, rules
from divan_obs_asgi.ops_assets.rules.recorded import ERRORS
from tests.ops_assets.deploys import DEPLOYS, MINUTES
from tests.ops_assets.promtool import Expected, ever_fired, firing, rules_for, run
from tests.ops_assets.stories import STORIES, clients, succeeded
from tests.ops_assets.story import Story
from tests.ops_assets.worlds import World, flat, share, traffic
from tests.servers.promtool import promtools

PARAMETERS = Parameters()
ALERTS = {alert.key: alert for alert in rules(PARAMETERS).alerts}
RULES = files(PARAMETERS)["prometheus/rules-phase8.yml"]
SERIES = Series.of(PARAMETERS)
KINDS = ("fires", "not just below", "resolves", "not on a deploy")


def cases_of(story: Story, number: int) -> Iterator[tuple[str, Expected]]:
    """Yield each test of a story with its kind."""
    alert = ALERTS[story.key]
    only = rules_for(alert, PARAMETERS)

    def expected(kind: str, world: World, numbers: dict[tuple[int, str], float]) -> tuple[str, Expected]:
        return kind, Expected(f"{story.key} {kind} ({number})", only, world, numbers, step=story.step)

    now = firing(alert)
    expected_alert = {"exp_labels": labels_of(story, alert), "exp_annotations": annotations_of(story, alert)}
    yield (
        "fires",
        Expected(
            f"{story.key} fires ({number})",
            only,
            story.world,
            {(story.quiet, now): 0, (story.fires, now): 1},
            {(story.fires, alert.name): [expected_alert]},
            story.step,
        ),
    )
    yield expected("resolves", story.world, {(story.fires, now): 1, (story.resolved, now): 0})
    for index, below in enumerate(story.below):
        kind, test = expected("not just below", below, {(story.below_for, ever_fired(alert, story.below_for)): 0})
        yield kind, Expected(f"{test.name} {index}", only, below, test.numbers, step=story.step)


def labels_of(story: Story, alert: Alert) -> dict[str, str]:
    return {"job": "divan", "severity": alert.severity, **alert.labels, **story.labels}


def annotations_of(story: Story, alert: Alert) -> dict[str, str]:
    values = labels_of(story, alert)
    return {
        "summary": re.sub(r"{{ \$labels\.(\w+) }}", lambda match: values[match[1]], alert.summary),
        "description": story.says,
        "runbook_url": f"https://runbooks.example.com/{alert.name}.md",
        "dashboard_url": f"http://localhost:3000/d/divan-{alert.board}?var-job=divan",
    }


def deploys() -> Iterator[tuple[str, Expected]]:
    """Yield a test of all alerts for each kind of deploy, with the whole committed file."""
    for name, deployed in DEPLOYS.items():
        numbers = {(MINUTES - 1, ever_fired(alert, MINUTES)): 0.0 for alert in ALERTS.values()}
        yield "not on a deploy", Expected(f"deploy: {name}", RULES, deployed(), numbers)
    # The job runs every hour; the new process knows of no success, for half an hour.
    ran = " ".join(f"{3600 * hour:d}+0x11" for hour in range(30))
    alert = ALERTS["JobNotRun"]
    world = {
        series.replace("a:1", instance): values
        for instance, values in (("a:1", f"{ran} stale"), ("b:1", f"_x359 0+0x5 {370 * 300}+0x10"))
        for series, values in ((key, values) for key in succeeded(""))
    }
    yield (
        "not on a deploy",
        Expected(
            "deploy: a job of every hour",
            rules_for(alert, PARAMETERS),
            world,
            {
                (1870, ever_fired(alert, 1870)): 0,
                (1810, f"time() - max({SERIES.gauge(Catalogue.jobs_last_success)}) > bool 90000"): 1,
            },
            step=5,
        ),
    )


def naive() -> Iterator[Expected]:
    """Yield counter-checks: common, simpler expressions do fire during these deploys."""
    failed = rate(SERIES.counter(Catalogue.http_requests, status=one_of("5..")), "5m")
    every = rate(SERIES.counter(Catalogue.http_requests), "5m")
    ours = ALERTS["HighErrorRate"]
    few = rules_for(ours, PARAMETERS)
    # A ratio without sums divides each series by itself.
    yield Expected(
        "0.3 % of errors",
        few,
        share(0.3, 60, 1),
        {
            (30, f"count({failed} / {every} > 0.05)"): 1,
            (30, f"max({failed} / {every})"): 1,
            (30, f"max({total(failed, 'job')} / {total(every, 'job')}) * 1000"): 3,
            (55, ever_fired(ours, 55)): 0,
        },
    )
    ratio = SERIES.recorded(ERRORS.ratio("5m"))
    # 0 where no request failed, whether the series of failures is there or not; absent where there was no request.
    ratios: list[tuple[str, World, dict[tuple[int, str], float]]] = [
        ("no errors", share(0, 20, 1), {(15, f"sum({ratio})"): 0, (16, f"count({ratio})"): 1}),
        ("no series of errors", dict([*share(0, 20, 1).items()][:1]), {(15, f"sum({ratio})"): 0}),
        ("no requests", traffic(flat(7, 21), flat(7, 21)), {(15, f"count({ratio}) or vector(0)"): 0}),
    ]
    for name, world, numbers in ratios:
        yield Expected(f"ratio: {name}", few, world, numbers)
    gauge = SERIES.gauge(Catalogue.socketio_clients)
    dropped = f"max(sum by (job) ({gauge}) < bool 0.5 * sum by (job) ({gauge} offset 5m)) or vector(0)"
    for name, minute in (("restart", 34), ("rolling", 42)):
        yield Expected(f"sockets: {name}", few, DEPLOYS[name](), {(minute, dropped): 1})
    down = f"count({SERIES.gauge(Catalogue.redis_up)} == 0) or vector(0)"
    yield Expected("redis: rolling", few, DEPLOYS["rolling"](), {(33, down): 1, (36, down): 1})
    # The alert requires that no process has started or drained.
    alert = ALERTS["SocketClientDrop"]
    world = clients("100+0x20 40+0x30")
    start, draining = (next(key for key in world if word in key) for word in ("start", "draining"))
    for guard, changed in (("start", {start: "1200+0x60"}), ("drain", {draining: "0+0x18 1+0x40"})):
        never = {(45, ever_fired(alert, 45)): 0}
        yield Expected(f"sockets: {guard}", rules_for(alert, PARAMETERS), {**world, **changed}, never)


CASES = [*(case for number, story in enumerate(STORIES) for case in cases_of(story, number)), *deploys()]
EXPECTED = [*(test for _, test in CASES), *naive()]


pytestmark = pytest.mark.slow


# One start of promtool for all of them: by cases, each worker of pytest would run all of them again.
@pytest.mark.parametrize("promtool", promtools())
def test_all_cases_hold(promtool: Callable[[], str], tmp_path: Path) -> None:
    """promtool agrees; its output says for each case by name what it expected and what it got."""
    failed = run(promtool(), EXPECTED, tmp_path, PARAMETERS)
    assert not failed, "\n".join(f"{name}: {output}" for name, output in failed.items())


def test_each_test_has_a_unique_name() -> None:
    """A failure is reported under the name of its test."""
    assert [name for name, times in Counter(test.name for test in EXPECTED).items() if times > 1] == []


@pytest.mark.parametrize("key", ALERTS)
def test_every_alert_has_all_four_tests(key: str) -> None:
    """It fires, it does not fire just below the limit, it resolves, and it is tested during deploys."""
    kinds = {kind for kind, test in CASES if test.name.startswith(f"{key} ")}
    assert kinds == set(KINDS[:3])
    asked = set(re.findall(r"(?<![\w:])[a-z_]+(?={)", re.sub(r'"[^"]*"', "", rules_for(ALERTS[key], PARAMETERS))))
    for name, deployed in DEPLOYS.items():
        assert {series.partition("{")[0] for series in deployed()} >= asked, name

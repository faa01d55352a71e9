"""Whatever happens to workers, the page of each is what a simple model says."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.family import GaugeMode
from tests.metrics.worker_pages import (
    Killed,
    at_a_step_of_reading,
    at_each_step_of_folding,
    die,
    files,
    fold,
    samples,
    worker,
)

pytestmark = pytest.mark.slow

MODES: tuple[GaugeMode, ...] = ("livesum", "livemin", "livemax", "livemostrecent", "sum", "min", "max", "mostrecent")
ZONES = st.sampled_from(["a", "b"])
AMOUNTS = st.floats(min_value=0, max_value=1e9)
LEVELS = st.integers(-(10**9), 10**9).map(float)
WORKERS = 4


class Counted:
    """The model of one worker: its sums, each rounded as it goes, and what its gauges say."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.sums: dict[str, float] = {}
        self.gauges: dict[tuple[GaugeMode, str], tuple[int, float]] = {}


class Machine(RuleBasedStateMachine):
    """Workers are born, count, are scraped, fold and die, also while they fold."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="divan-tests-"))
        self.living: list[Counted] = []
        self.dead: list[Counted] = []
        self.observed: dict[str, list[float]] = {}
        self.left: dict[tuple[GaugeMode, str], tuple[int, float]] = {}
        self.now = 0
        self.birth()

    def teardown(self) -> None:
        for one in self.living:
            die(one.metrics)
        shutil.rmtree(self.directory)

    @contextmanager
    def at(self) -> Iterator[None]:
        """A moment later than all before."""
        self.now += 1
        with mock.patch("time.time", return_value=float(self.now)):
            yield

    # What happens.

    @precondition(lambda self: len(self.living) < WORKERS)
    @rule()
    def birth(self) -> None:
        metrics = worker(self.directory)
        metrics.counter("sold_total", "Sold.", ["zone"])
        metrics.histogram("took", "Took.", ["zone"], [1, 1e3, 1e6])
        for mode in MODES:
            metrics.gauge(f"level_{mode}", "Level.", ["zone"], mode)
        self.living.append(Counted(metrics))

    @rule(which=st.integers(0, WORKERS - 1), zone=ZONES, amount=AMOUNTS)
    def count(self, which: int, zone: str, amount: float) -> None:
        one = self.one(which)
        one.metrics.counter("sold_total", "Sold.", ["zone"]).labels(zone).inc(amount)
        self.add(one, f"divan_sold_total{{zone={zone}}}", amount)

    @rule(which=st.integers(0, WORKERS - 1), zone=ZONES, amount=AMOUNTS)
    def observe(self, which: int, zone: str, amount: float) -> None:
        one = self.one(which)
        one.metrics.histogram("took", "Took.", ["zone"], [1, 1e3, 1e6]).labels(zone).observe(amount)
        self.observed.setdefault(zone, []).append(amount)
        self.add(one, f"divan_took_sum{{zone={zone}}}", amount)

    def add(self, one: Counted, name: str, amount: float) -> None:
        one.sums[name] = one.sums.get(name, 0.0) + amount

    @rule(which=st.integers(0, WORKERS - 1), mode=st.sampled_from(MODES), zone=ZONES, level=LEVELS)
    def set(self, which: int, mode: GaugeMode, zone: str, level: float) -> None:
        one = self.one(which)
        with self.at():
            one.metrics.gauge(f"level_{mode}", "Level.", ["zone"], mode).labels(zone).set(level)
        one.gauges[mode, zone] = (self.now, level)

    @rule(which=st.integers(0, WORKERS - 1), mode=st.sampled_from(MODES), zone=ZONES)
    def take_back(self, which: int, mode: GaugeMode, zone: str) -> None:
        if mode == "mostrecent":
            return
        one = self.one(which)
        with self.at():
            one.metrics.gauge(f"level_{mode}", "Level.", ["zone"], mode).remove(zone)
        if (mode, zone) in one.gauges:
            one.gauges[mode, zone] = (self.now, float("nan"))

    @precondition(lambda self: len(self.living) > 1)
    @rule(which=st.integers(0, WORKERS - 1))
    def death(self, which: int) -> None:
        one = self.living.pop(which % len(self.living))
        die(one.metrics)
        self.dead.append(one)
        for (mode, zone), level in one.gauges.items():
            if not mode.startswith("live"):
                self.left[mode, zone] = merged(mode, [self.left.get((mode, zone)), level])

    @precondition(lambda self: len(self.living) > 1)
    @rule(which=st.integers(0, WORKERS - 1), steps=st.integers(0, 4))
    def death_while_folding(self, which: int, steps: int) -> None:
        """Somebody folds a dead worker's file, and is killed at one of the steps; at each of them somebody reads."""
        self.death(which)
        with at_each_step_of_folding(self.every_page_tells_the_model, killed_at=steps), suppress(Killed):
            fold(self.directory)

    @precondition(lambda self: len(self.living) > 1)
    @rule(which=st.integers(0, WORKERS - 1), step=st.integers(0, 10))
    def fold_while_reading(self, which: int, step: int) -> None:
        """Somebody folds a dead worker's file between two steps of one who reads."""
        self.death(which)
        with at_a_step_of_reading(step, lambda: fold(self.directory)):
            self.every_page_tells_the_model()

    # What must hold.

    @invariant()
    def every_page_tells_the_model(self) -> None:
        if not hasattr(self, "living"):
            return
        pages = [samples(one.metrics, "divan_sold_total", "divan_took", "divan_level") for one in self.living]
        expected = self.expected()
        for page in pages:
            assert {name: value for name, value in page.items() if "_bucket" not in name} == expected
            for zone, amounts in self.observed.items():
                for edge in (1.0, 1000.0):
                    below = sum(amount <= edge for amount in amounts)
                    assert page[f"divan_took_bucket{{le={edge},zone={zone}}}"] == below

    @invariant()
    def files_do_not_pile_up(self) -> None:
        if hasattr(self, "living"):
            # What one that was killed has not finished is removed a minute later.
            kinds = [kind for kind in files(self.directory) if not kind.endswith(".new")]
            assert kinds.count("worker") == len(self.living)
            assert len(kinds) <= len(self.living) + 3

    def expected(self) -> dict[str, float]:
        """Return all samples but the buckets."""
        expected: dict[str, float] = {}
        everybody = [*self.dead, *self.living]
        for name in {name for one in everybody for name in one.sums}:
            # Of all workers together it is rounded once.
            expected[name] = float(sum(Fraction(one.sums.get(name, 0.0)) for one in everybody))
        for zone, amounts in self.observed.items():
            expected[f"divan_took_count{{zone={zone}}}"] = len(amounts)
        for mode in MODES:
            for zone in ("a", "b"):
                said = [one.gauges[mode, zone] for one in self.living if (mode, zone) in one.gauges]
                _, value = merged(mode, [self.left.get((mode, zone)), *said])
                if value == value:
                    expected[f"divan_level_{mode}{{zone={zone}}}"] = value
        return expected

    def one(self, which: int) -> Counted:
        return self.living[which % len(self.living)]


def merged(mode: GaugeMode, said: list[Any]) -> tuple[int, float]:
    """Return when and what several workers say of one gauge; nan for nothing."""
    present = [one for one in said if one is not None]
    if mode.endswith("mostrecent"):
        return max(present, default=(0, float("nan")))
    values = [value for _, value in present if value == value]
    when = max((at for at, _ in present), default=0)
    if not values:
        return when, float("nan")
    if mode.endswith("sum"):
        return when, float(sum(map(Fraction, values)))
    return when, (min if mode.endswith("min") else max)(values)


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestWorkers = Machine.TestCase

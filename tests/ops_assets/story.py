"""The data of an alert test over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.ops_assets.worlds import World


@dataclass(frozen=True, slots=True)
class Story:
    """
    One alert, in time.

    Attributes:
        key: the alert's.
        world: what happens, from before the fault until after it.
        fires: the minute at which the alert fires.
        quiet: a minute at which it does not fire yet.
        resolved: the minute at which it no longer fires.
        says: its description, word by word.
        below: worlds in which it never fires, each for `below_for` minutes.
        labels: those of the alert beside job and severity.
        step: minutes between two scrapes.
    """

    key: str
    world: World
    quiet: int
    fires: int
    resolved: int
    says: str
    below: tuple[World, ...]
    below_for: int = 60
    labels: Mapping[str, str] = field(default_factory=dict)
    step: int = 1

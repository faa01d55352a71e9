"""The rules use the reasons under which spans are dropped."""

from __future__ import annotations

import re

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.otlp.answers import DROP_REASONS


def test_reasons_are_those_that_are_counted() -> None:
    """All of them except `shutdown`, of spans and of the other two signals."""
    for family in ("trace_spans_dropped_total", "otlp_dropped_total"):
        pattern = rf'divan_{family}\{{[^}}]*reason=~?"([^"]*)"'
        matched = [match for alert in rules(Parameters()).alerts for match in re.findall(pattern, alert.expr)]
        assert {reason for match in matched for reason in match.split("|")} == {*DROP_REASONS} - {"shutdown"}

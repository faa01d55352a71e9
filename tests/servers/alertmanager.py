"""A real Alertmanager."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

import httpx

from tests.patience import PATIENCE_S
from tests.servers.process import ServerProcess, program


class AlertmanagerServer(ServerProcess):
    """Alertmanager with this configuration, alone."""

    ready_line = re.compile("Listening on")

    def __init__(self, configuration: str) -> None:
        self._program = program("prometheus-alertmanager", package="prometheus-alertmanager")
        super().__init__()
        self._client = httpx.Client(base_url=f"http://{self.host}:{self.port}/api/v2")
        (self.directory / "alertmanager.yml").write_text(configuration)

    def command(self) -> Sequence[str]:
        return [
            self._program,
            f"--config.file={self.directory}/alertmanager.yml",
            f"--storage.path={self.directory}/data",
            f"--web.listen-address={self.host}:{self.port}",
            "--cluster.listen-address=",
        ]

    def close(self) -> None:
        self._client.close()
        super().close()

    def post(self, alerts: Sequence[Mapping[str, str]]) -> None:
        """Raise alerts."""
        self._client.post("/alerts", json=[{"labels": labels} for labels in alerts]).raise_for_status()

    def wait_for(self, expected: Mapping[tuple[str, str], str]) -> None:
        """
        Return once the alerts, named by job and severity, have these states.

        Raises:
            TimeoutError: if they do not have them in time; it names the states that they have.
        """
        end = time.monotonic() + PATIENCE_S
        while (found := self._states()) != expected:
            if time.monotonic() > end:
                raise TimeoutError(f"The alerts are {found}; expected {expected}")
            time.sleep(0.05)

    def _states(self) -> dict[tuple[str, str], str]:
        found = self._client.get("/alerts").raise_for_status().json()
        return {(alert["labels"]["job"], alert["labels"]["severity"]): alert["status"]["state"] for alert in found}

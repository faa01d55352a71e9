"""A real Prometheus."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import httpx

from tests.servers.process import ServerProcess, program

_WAIT_S = 60.0


class PrometheusServer(ServerProcess):
    """
    Prometheus that scrapes one address five times a second.

    Args:
        target: host and port of a service that has /metrics.
        token: the bearer token of its /metrics.
    """

    ready_line = re.compile("Server is ready to receive web requests")

    def __init__(self, target: str, token: str) -> None:
        self._program = program("prometheus", package="prometheus")
        super().__init__()
        self._client = httpx.Client(base_url=f"http://{self.host}:{self.port}")
        (self.directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
            "scrape_configs:\n"
            "  - job_name: service\n"
            f"    authorization: {{credentials: {token}}}\n"
            f"    static_configs: [{{targets: ['{target}']}}]\n"
        )

    def command(self) -> Sequence[str]:
        return [
            self._program,
            f"--config.file={self.directory}/prometheus.yml",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address={self.host}:{self.port}",
            "--enable-feature=exemplar-storage",
        ]

    def close(self) -> None:
        self._client.close()
        super().close()

    def ask(self, query: str) -> list[float]:
        """Return the present values of a query."""
        found: list[dict[str, Any]] = self.data("query", query=query)["result"]
        return [float(series["value"][1]) for series in found]

    def data(self, path: str, **params: str | float) -> Any:
        """Return the data of a response of its API."""
        answer = self._client.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def wait_for(self, query: str, expected: Sequence[float]) -> None:
        """
        Wait until a query has these values, in any order.

        Raises:
            TimeoutError: if it does not have them in time; it names the values that it has.
        """
        end = time.monotonic() + _WAIT_S
        while sorted(found := self.ask(query)) != sorted(expected):
            if time.monotonic() > end:
                raise TimeoutError(f"{query} is {found}; expected {list(expected)}")
            time.sleep(0.05)

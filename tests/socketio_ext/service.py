"""The served app as a test sees it: a process, what it logs, its /metrics, and the spans that it sent."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, ClassVar

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import PATIENCE_S
from tests.servers.otlp import OtlpReceiver
from tests.servers.process import ServerProcess

TOKEN = "an-admin-token-for-tests"
POLL_S = 0.01


class Service(ServerProcess):
    """`python -m tests.socketio_ext.served`; everything it writes is kept, over its restarts too."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Uvicorn running")

    def __init__(self, receiver: OtlpReceiver, way: str = "over", **environ: str) -> None:
        super().__init__()
        self.receiver = receiver
        self.way = way
        self._environ = {
            "OBS_ADMIN_TOKEN": TOKEN,
            "OBS_TRACING_ENABLED": "true",
            "OBS_TRACING_CLIENTS": "",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "LOG_SAMPLING_BUDGET": "1000000",
            **environ,
        }
        #: What was written to standard output and standard error, as it came.
        self.output: list[str] = []
        self._http = httpx.Client(base_url=f"http://{self.host}:{self.port}", timeout=PATIENCE_S)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "tests.socketio_ext.lean", str(self.port), self.way]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Any:
        return super().popen(command, env={**self._environ, **(env or {})})

    def close(self) -> None:
        self._http.close()
        super().close()

    def get(self, path: str) -> httpx.Response:
        return self._http.get(path, headers={"Authorization": f"Bearer {TOKEN}"})

    def flush(self) -> None:
        """Return when all log lines and spans of what has ended by now have arrived."""
        self._http.post("/flush").raise_for_status()

    def admit(self) -> None:
        """Let those in whom the connect handler of `/chat` keeps waiting."""
        self._http.post("/admit").raise_for_status()

    def wait_for(self, happened: Callable[[], object]) -> None:
        """
        Return as soon as something has happened.

        Raises:
            TimeoutError: if it has not in time.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited in vain; the metrics are now\n{self.metrics()}")
            time.sleep(POLL_S)

    def metrics(self) -> str:
        page = self.get("/metrics")
        page.raise_for_status()
        return page.text

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the samples of a name, by the values of their labels in the order of the labels' names."""
        return samples(self.metrics(), name)

    def lines(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the JSON log lines, all or since `output` was so long."""
        return [json.loads(line) for line in self.output[since:] if line.startswith("{")]

    def spans(self) -> list[Span]:
        return self.receiver.spans()

    def everything(self) -> str:
        """Return all that has left the process, to look for what must not be in it."""
        spans = "\n".join(map(str, self.receiver.resource_spans()))
        return "\n".join([self.metrics(), *self.output, spans])

    def _read_log(self, output: IO[str], ready: threading.Event) -> None:
        with output:
            for line in output:
                self.log.append(line.rstrip())
                self.output.append(line)
                if self.ready_line.search(line):
                    ready.set()
        ready.set()


def samples(page: str, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a name on a page of metrics, by the values of their labels in the order of their names."""
    # To parse the whole page takes the most time of many a test.
    lines = [line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families("".join(f"{line}\n" for line in lines))
        for sample in family.samples
        if sample.name == name
    }


def ids_of_span(span: Span) -> tuple[str, str]:
    return span.trace_id.hex(), span.span_id.hex()

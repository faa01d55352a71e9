"""The parameters of dashboards, alerts, runbooks and deployment files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.metrics.registry import NAMESPACE

_NAMESPACE = re.compile(r"[a-z][a-z0-9_]*")
_URL = re.compile(r"https?://[^\s/]\S*")
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Parameters:
    """
    The parameters of all assets; each of them has a default.

    Attributes:
        namespace: the prefix of the service's metrics, as in OBS_NAMESPACE.
        job: the `job` label of the service's targets in Prometheus.
        objective: percent of requests that must succeed, over 30 days.
        latency_objective: percent of requests that must be faster than `latency_threshold`, over 30 days.
        latency_threshold: threshold of a slow request in seconds; must be a bucket of the latency histogram.
        job_max_age: maximum age of a job's last success, in seconds.
        runbook_url: URL of the folder with the runbooks.
        dashboard_url: URL of Grafana's dashboards, to which the uid is appended.
        trace_url: URL of a trace, with `${__value.raw}` as the trace id. Empty: no links to traces.

    Raises:
        ImproperlyConfigured: with one line for each invalid parameter.
    """

    namespace: str = NAMESPACE
    job: str = NAMESPACE
    objective: float = 99.9
    latency_objective: float = 99.0
    latency_threshold: float = 0.4
    job_max_age: int = _DAY_S + 3600
    runbook_url: str = "https://runbooks.example.com"
    dashboard_url: str = "http://localhost:3000/d"
    trace_url: str = ""

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ImproperlyConfigured("\n".join(problems))

    @property
    def error_budget(self) -> Decimal:
        """The share of the requests that may fail, from 0 to 1."""
        return _budget(self.objective)

    @property
    def latency_budget(self) -> Decimal:
        """The share of the requests that may be slow, from 0 to 1."""
        return _budget(self.latency_objective)

    def runbook(self, alert: str) -> str:
        """Return the URL of an alert's runbook."""
        return f"{self.runbook_url.rstrip('/')}/{alert}.md"

    def dashboard_uid(self, board: str) -> str:
        """Return the uid of a dashboard: the namespace and the name of its file."""
        return f"{self.namespace}-{board}"

    def dashboard(self, board: str) -> str:
        """Return the URL of a dashboard, for this job."""
        return f"{self.dashboard_url.rstrip('/')}/{self.dashboard_uid(board)}?var-job={quote(self.job)}"

    def _problems(self) -> list[str]:
        problems = []
        if not _NAMESPACE.fullmatch(self.namespace):
            problems.append(f"namespace is {self.namespace!r}; expected lower case letters, digits and _, like 'shop'.")
        if not self.job or not self.job.isprintable():
            problems.append(f"job is {self.job!r}; expected the name of a scrape job in Prometheus.")
        for name, percent in (("objective", self.objective), ("latency_objective", self.latency_objective)):
            if not 0 < percent < 100:
                problems.append(f"{name} is {percent:g}; expected a percentage between 0 and 100, like 99.9.")
        if self.latency_threshold not in Catalogue.http_duration.buckets:
            edges = ", ".join(f"{edge:g}" for edge in Catalogue.http_duration.buckets)
            problems.append(
                f"latency_threshold is {self.latency_threshold:g}; expected an edge of the latency histogram: {edges}."
            )
        if self.job_max_age < 1:
            problems.append(f"job_max_age is {self.job_max_age}; expected at least 1 second.")
        for name in ("runbook_url", "dashboard_url", "trace_url"):
            url = getattr(self, name)
            if not (_URL.fullmatch(url) and url.isprintable()) and not (name == "trace_url" and url == ""):
                problems.append(f"{name} is {url!r}; expected an address like https://example.com/path.")
        return problems


def _budget(objective: float) -> Decimal:
    # Decimal, because in floats 1 - 0.999 is 0.0010000000000000009.
    return (100 - Decimal(str(objective))) / 100


__all__ = ["Parameters"]

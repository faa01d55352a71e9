"""Deployments as folders of files: the command, run in each, finds every id where its fault is, and only there."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import opentelemetry
import pytest

from divan_obs_asgi.checks.registry import own_checks
from tests.checks.asked import reported

pytestmark = pytest.mark.slow

TOKEN = "b7e151628aed2a6abf7158809cf4f3c7"
OURS = "divan_obs_asgi.middlewares."
PROD = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": TOKEN}
TRACED = {"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://127.0.0.1:4317"}

HEAD = """
import divan_obs_asgi as obs
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def page(request):
    return PlainTextResponse("hello")

async def raw(scope, receive, send):
    pass

def made(path="/page", *middleware):
    return Starlette(routes=[Route(path, page)], middleware=[Middleware(one) for one in middleware])

def of_package(module):
    return type("Theirs", (GZipMiddleware,), {"__module__": module})
"""
# Middlewares of others, by the packages that they are known by.
OTHERS = (
    'BaseHTTPMiddleware, of_package("opentelemetry.instrumentation.asgi"), '
    'of_package("starlette_exporter.middleware"), of_package("asgi_correlation_id.middleware")'
)
BESIDE_OTHERS = {"obs.W031", "obs.W032", "obs.W033", "obs.W034", "obs.W035"}
STACK = "app = obs.build_stack(made(), obs.Observability.from_env(), [{}])"
OUT_OF_ORDER = {"obs.W037", "obs.W038", "obs.W039"}

REQUESTS, BUCKETS = "divan_http_requests_total", "divan_http_request_duration_seconds_bucket"
FINE_EXPRESSIONS = (
    f'sum by (route) (rate({REQUESTS}{{status=~"5.."}}[5m]))',
    f'sum(rate({BUCKETS}{{le="0.4"}}[5m]))',
    "min_over_time(divan_redis_up[5m]) == 0",
    "divan:http_errors:ratio_rate5m > 0.1",
    "rate(divan_coffees_total[5m]) == 0",
)
CALLS = {"name": "calls", "webhook_configs": [{"url": "https://calls.shop.io/"}]}
TICKETS = {"name": "tickets", "webhook_configs": [{"url": "https://tickets.shop.io/"}]}
TO_CALLS = {"receiver": "calls", "matchers": ['severity="page"']}


@dataclass(frozen=True, slots=True)
class Folder:
    """
    A deployment.

    Attributes:
        found: the ids that the command reports, no more and no fewer.
        environ: the variables; `{folder}` stands for the folder.
        app: what shop.py holds after HEAD.
        expressions: those of the rules, and of the boards.
        alertmanager: its configuration.
        without: a library that is not installed.
    """

    found: set[str]
    environ: dict[str, str] = field(default_factory=dict)
    app: str = ""
    expressions: tuple[str, ...] = ()
    alertmanager: object = None
    without: str = ""

    def variables(self, folder: Path) -> dict[str, str]:
        environ = {name: value.replace("{folder}", str(folder)) for name, value in self.environ.items()}
        if self.without:
            (folder / "site").mkdir()
            (folder / "site" / "sitecustomize.py").write_text(f"import sys\nsys.modules[{self.without!r}] = None")
            environ["PYTHONPATH"] = os.pathsep.join([str(folder / "site"), os.environ["PYTHONPATH"]])
        return environ

    def arguments(self, folder: Path) -> list[str]:
        """Write the files, and return the arguments that name them; JSON is YAML."""
        arguments = ["--deploy"]
        if self.app:
            (folder / "shop.py").write_text(HEAD + self.app)
            arguments += ["--app", "shop:app"]
        if self.expressions:
            rules = [{"alert": f"Alert{number}", "expr": one} for number, one in enumerate(self.expressions)]
            (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "shop", "rules": rules}]}))
            panels = [{"title": "Panel", "targets": [{"expr": one}]} for one in self.expressions]
            (folder / "boards").mkdir()
            source = {"datasource": {"type": "prometheus", "uid": "x"}}
            (folder / "boards" / "shop.json").write_text(json.dumps({**source, "panels": panels}))
            arguments += ["--rules", "rules.yml", "--dashboards", "boards"]
        if self.alertmanager:
            (folder / "alertmanager.yml").write_text(json.dumps(self.alertmanager))
            arguments += ["--alertmanager", "alertmanager.yml"]
        return arguments


FINE = Folder(
    set(),
    {**PROD, **TRACED, "JWT_SECRET": TOKEN, "OBS_REDACT_IP": "hash", "OBS_REDACT_HASH_KEY": TOKEN[::-1],
     "REDIS_URL": "redis://cache:6379/0", "WEB_CONCURRENCY": "2", "PROMETHEUS_MULTIPROC_DIR": "{folder}/metrics",
     "FORWARDED_ALLOW_IPS": "10.0.0.1", "LOG_SLOW_MS": "400", "OTEL_PROPAGATORS": "tracecontext", "LOG_DIR": "/var/log",
     "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    'app = made("/page", GZipMiddleware)\nobs.init(app).metrics.counter("coffees_total", "Coffees.")',
    FINE_EXPRESSIONS,
    {"route": {"receiver": "tickets", "routes": [TO_CALLS]}, "receivers": [CALLS, TICKETS]},
)  # fmt: skip
FAULTY = {
    "whose flags are all wrong": Folder(
        {"obs.E001", "obs.E002", "obs.E003", "obs.E004", "obs.E007", "obs.E008", "obs.E009", "obs.E010",
         "obs.W015", "obs.W016", "obs.W017", "obs.E018", "obs.E020", "obs.W023", "obs.E024", "obs.W025", "obs.W026"},
        {"OBS_ENV": "prod", "LOG_LEVEL": "loud", "OBS_METRICS_PUBLIC": "true", "OBS_ADMIN_TOKEN": "let-me-in",
         "OBS_REDACT_IP": "hash", "JWT_SECRET": "short", "REDIS_URL": "http://cache", "OBS_TRACING_ENABLED": "true",
         "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
         "OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES": "UNAVAILABLE", "OBS_ENABLE": "true",
         "LOG_SLOW_MS": "350", "OBS_VITALS_ENABLED": "true", "WEB_CONCURRENCY": "4", "FORWARDED_ALLOW_IPS": "*",
         "OBS_MIDDLEWARE": f"{OURS}OpsMiddleware,{OURS}AccessLogMiddleware,{OURS}OpsMiddleware"},
    ),
    "that is one for development": Folder(
        {"obs.W005", "obs.W013", "obs.W022"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://127.0.0.1:4317", "PROMETHEUS_MULTIPROC_DIR": "/tmp"},
    ),
    "without a token, and with the wrong port of a collector for each protocol": Folder(
        {"obs.E006", "obs.E011", "obs.E012", "obs.E021"},
        {**TRACED, "OBS_ENV": "prod", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
         "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
         "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4317", "PROMETHEUS_MULTIPROC_DIR": __file__},
    ),
    "without OpenTelemetry": Folder({"obs.E014"}, {**PROD, **TRACED}, without=opentelemetry.__name__),
    "whose application has others' middlewares": Folder(
        BESIDE_OTHERS, {**PROD, **TRACED}, f'app = made("/metrics", {OTHERS})\nobs.init(app)'
    ),
    "whose application is wrapped with others' middlewares": Folder(
        BESIDE_OTHERS, {**PROD, **TRACED}, f'app = obs.wrap(made("/health/{{name}}", {OTHERS}))'
    ),
    "whose application lists ours by name": Folder(
        OUT_OF_ORDER, PROD, STACK.format(f'"{OURS}OpsMiddleware", "{OURS}AccessLogMiddleware"')
    ),
    "whose application lists ours as classes": Folder(
        OUT_OF_ORDER, PROD, STACK.format("obs.middlewares.OpsMiddleware, obs.middlewares.AccessLogMiddleware")
    ),
    "whose other servers write access lines": Folder(
        {"obs.W037"},
        {**PROD, "GUNICORN_CMD_ARGS": "--access-logfile -", "GRANIAN_LOG_ACCESS_ENABLED": "true"},
        "app = obs.wrap(made())",
    ),
    "whose application is not observed": Folder({"obs.W030"}, PROD, "app = made()"),
    "whose application has no framework": Folder({"obs.W036"}, PROD, "app = obs.wrap(raw)"),
    "whose boards and rules ask for what is not there": Folder(
        {"obs.E050", "obs.W051", "obs.E052", "obs.E053", "obs.W054", "obs.E055", "obs.E056", "obs.W057"},
        PROD,
        "",
        ("rate(divan_http_request_total[5m])", "divan_coffees_total", "rate(divan_redis_up[5m])",
         f'rate({BUCKETS}{{le="0.35"}}[5m])', f"sum by (path) (rate({REQUESTS}[5m]))", f"sum(rate({REQUESTS}[5m])"),
        {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]},
    ),
    "whose pages go to an example's address": Folder(
        {"obs.W058"}, PROD, "", (),
        {"route": {"receiver": "tickets", "routes": [TO_CALLS]},
         "receivers": [{"name": "calls", "webhook_configs": [{"url": "http://page.invalid/"}]}, TICKETS]},
    ),
}  # fmt: skip


def test_a_deployment_without_a_fault_has_none(tmp_path: Path) -> None:
    """Every check is asked there: it has an application, rules, boards and Alertmanager's configuration."""
    assert checked(FINE, tmp_path) == set()


@pytest.mark.parametrize("name", FAULTY)
def test_a_deployment_has_the_faults_that_it_has(name: str, tmp_path: Path) -> None:
    """And no other one."""
    assert checked(FAULTY[name], tmp_path) == FAULTY[name].found


def test_every_check_has_a_deployment_with_its_fault() -> None:
    """A new id needs one here."""
    assert set().union(*(one.found for one in FAULTY.values())) == {one.id for one in own_checks()}


def checked(deployment: Folder, folder: Path) -> set[str]:
    found = reported(*deployment.arguments(folder), cwd=folder, environ=deployment.variables(folder))
    return {finding["id"] for finding in found}

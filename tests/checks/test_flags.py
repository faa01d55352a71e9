"""Flags: for each check an environment that has the fault, and one that has not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from divan_obs_asgi import ImproperlyConfigured, Settings
from tests.checks.asked import findings, ids, invoke

STRONG = "b7e151628aed2a6abf7158809cf4f3c7"
OTHER = "62ef190f4e5b8a3d7c2f91e08b6d4a15"
PROD = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": STRONG}
TRACED = {"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://collector:4317"}
OTLP = "OTEL_EXPORTER_OTLP"
HERE = str(Path(__file__).parent)
OURS = "divan_obs_asgi.middlewares"

CASES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("obs.E001", {"LOG_LEVEL": "loud"}, {"LOG_LEVEL": "debug"}),
    ("obs.E001", {"OBS_ENV_FILE": "/nowhere/.env"}, {}),
    ("obs.E002", {**PROD, "OBS_METRICS_PUBLIC": "true"}, PROD),
    ("obs.E002", {"OBS_ENV": "staging", "OBS_METRICS_PUBLIC": "1"}, {"OBS_ENV": "dev", "OBS_METRICS_PUBLIC": "true"}),
    ("obs.E003", {**PROD, "OBS_ADMIN_TOKEN": "short"}, PROD),
    ("obs.E003", {**PROD, "OBS_ADMIN_TOKEN_PREVIOUS": STRONG}, {**PROD, "OBS_ADMIN_TOKEN_PREVIOUS": OTHER}),
    ("obs.E003", {**PROD, "OBS_ADMIN_TOKEN": "abab" * 8}, {"OBS_ADMIN_TOKEN": "short"}),
    ("obs.E004", {"OBS_REDACT_IP": "hash"}, {"OBS_REDACT_IP": "hash", "OBS_REDACT_HASH_KEY": STRONG}),
    ("obs.E004", {"OBS_REDACT_USER_ID": "hash", "OBS_REDACT_HASH_KEY": "short"}, {"OBS_REDACT_HASH_KEY": "short"}),
    ("obs.E006", {"OBS_ENV": "prod"}, PROD),
    ("obs.E006", {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": STRONG[:18]}, {"OBS_ENV": "prod", "OBS_OPS_ENABLED": "false"}),
    ("obs.E007", {"JWT_SECRET": STRONG[:31]}, {"JWT_SECRET": STRONG}),
    ("obs.E007", {**PROD, "JWT_SECRET": "a" * 40}, {}),
    ("obs.E008", {"REDIS_URL": "http://cache:6379"}, {"REDIS_URL": "redis://cache:6379/0"}),
    ("obs.E009", {"OBS_TRACING_ENABLED": "true"}, TRACED),
    ("obs.E010", {**PROD, "OBS_ADMIN_TOKEN": "change-me-in-production-please"}, PROD),
    ("obs.E010", {**PROD, "JWT_SECRET": "your-secret-key-of-256-bits-or-more"}, {"OBS_ADMIN_TOKEN": "changeme"}),
    ("obs.E011", {**TRACED, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, TRACED),
    ("obs.E011", {**TRACED, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, TRACED),
    ("obs.E011", {**TRACED, f"{OTLP}_ENDPOINT": "http://collector:4318"},
     {**TRACED, f"{OTLP}_ENDPOINT": "http://collector:4318/otlp", f"{OTLP}_PROTOCOL": "http/protobuf"}),
    ("obs.E012", {**TRACED, f"{OTLP}_PROTOCOL": "http/protobuf"}, {**TRACED, f"{OTLP}_PROTOCOL": "grpc"}),
    ("obs.E012", {**TRACED, f"{OTLP}_ENDPOINT": "http://collector:4317", f"{OTLP}_PROTOCOL": "http/protobuf"}, {}),
    ("obs.W013", {"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://collector:4317"}, TRACED),
    ("obs.E011", {"OTEL_LOGS_EXPORTER": "otlp", f"{OTLP}_LOGS_ENDPOINT": "http://collector:4318"},
     {"OTEL_LOGS_EXPORTER": "otlp", f"{OTLP}_LOGS_ENDPOINT": "http://collector:4317"}),
    ("obs.E012", {"OTEL_METRICS_EXPORTER": "otlp", f"{OTLP}_METRICS_ENDPOINT": "http://collector:4317",
                  f"{OTLP}_PROTOCOL": "http/protobuf"}, {"OTEL_METRICS_EXPORTER": "otlp"}),
    ("obs.W013", {f"{OTLP}_TRACES_ENDPOINT": "grpc://collector:4317", "OTEL_LOGS_EXPORTER": "otlp"},
     {f"{OTLP}_ENDPOINT": "grpc://collector:4317", "OTEL_LOGS_EXPORTER": "otlp"}),
    ("obs.W015", {"OTEL_METRICS_EXPORTER": "console"}, {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_PROPAGATORS": "b3"}),
    ("obs.W015", {"OTEL_SDK_DISABLED": "1"}, {"OTEL_SERVICE_NAME": "shop", "OTEL_BSP_EXPORT_TIMEOUT": "9"}),
    ("obs.W015", {"OTEL_TRACES_SAMPLR": "always_on"}, {"OTEL_TRACES_SAMPLER": "always_on"}),
    ("obs.W016", {"OBS_ENABLE": "false"}, {"OBS_ENABLED": "false"}),
    ("obs.W016", {"LOG_LEVL": "DEBUG"}, {"LOG_LEVEL": "DEBUG", "LOG_FILE": "x", "HEALTH_URL": "x", "LOG_DIR": "x"}),
    ("obs.W016", {"HEALTH_INTERVAL": "2"}, {"HEALTH_INTERVAL_S": "2"}),
    ("obs.W016", {"obs_env": "prod"}, {"ROBS_ENV": "prod"}),
    ("obs.W016", {"prometheus_multiproc_dir": "/run/shop"}, {}),
    ("obs.W017", {"LOG_SLOW_MS": "350"}, {"LOG_SLOW_MS": "400"}),
    ("obs.W017", {"OBS_TRACING_KEEP_SLOW_S": "0.7", "OBS_TRACING_KEEP_ERRORS": "1", **TRACED}, {"LOG_SLOW_MS": "0"}),
    ("obs.E018", {**PROD, "OBS_VITALS_ENABLED": "true"},
     {**PROD, "OBS_VITALS_ENABLED": "true", "OBS_VITALS_IN_PROD": "true", "OBS_VITALS_ORIGINS": "https://shop.io"}),
    ("obs.E020", {"WEB_CONCURRENCY": "4"}, {"WEB_CONCURRENCY": "1"}),
    ("obs.E020", {"GUNICORN_CMD_ARGS": "-k x --workers=3"}, {"UVICORN_WORKERS": "2", "OBS_METRICS_ENABLED": "false"}),
    ("obs.E021", {"PROMETHEUS_MULTIPROC_DIR": __file__}, {"PROMETHEUS_MULTIPROC_DIR": f"{HERE}/made"}),
    ("obs.E021", {"PROMETHEUS_MULTIPROC_DIR": f"{__file__}/metrics"}, {}),
    ("obs.W022", {"PROMETHEUS_MULTIPROC_DIR": "/tmp"}, {}),
    ("obs.W022", {"PROMETHEUS_MULTIPROC_DIR": HERE}, {"PROMETHEUS_MULTIPROC_DIR": "/run/no/such"}),
    ("obs.W023", {"FORWARDED_ALLOW_IPS": "10.0.0.1,*"}, {"FORWARDED_ALLOW_IPS": "10.0.0.1"}),
    ("obs.E024", {"OBS_MIDDLEWARE": f"{OURS}.OpsMiddleware,{OURS}.OpsMiddleware"}, {}),
    ("obs.W025", {"OBS_MIDDLEWARE": f"{OURS}.OpsMiddleware,shop.Mine,{OURS}.AccessLogMiddleware"},
     {"OBS_MIDDLEWARE": f"{OURS}.AccessLogMiddleware,shop.Mine,{OURS}.OpsMiddleware"}),
    ("obs.W026", {"OBS_CONTEXT_ENABLED": "false"}, {"OBS_CONTEXT_ENABLED": "false", "UVICORN_RESET_CONTEXTVARS": "1"}),
    ("obs.W026", {"OBS_MIDDLEWARE": f"{OURS}.OpsMiddleware"}, {"OBS_MIDDLEWARE": f"{OURS}.ContextMiddleware"}),
]  # fmt: skip
DEPLOY_CASES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("obs.E002", {"OBS_METRICS_PUBLIC": "true"}, PROD),
    ("obs.W005", {}, PROD),
    ("obs.W005", {"OBS_ENV": "dev"}, {"OBS_ENV": "staging"}),
    ("obs.E010", {"OBS_ADMIN_TOKEN": "let-me-in"}, PROD),
]


@pytest.mark.parametrize(("id", "faulty", "fine"), CASES, ids=str)
def test_a_fault_is_found_where_it_is(id: str, faulty: dict[str, str], fine: dict[str, str]) -> None:
    assert id in ids(environ=faulty)
    assert id not in ids(environ=fine)


@pytest.mark.parametrize(("id", "faulty", "fine"), DEPLOY_CASES, ids=str)
def test_some_faults_are_found_before_a_deployment_only(id: str, faulty: dict[str, str], fine: dict[str, str]) -> None:
    assert id in ids("--deploy", environ=faulty)
    assert id not in ids("--deploy", environ=fine)
    assert id not in ids(environ=faulty)


@pytest.mark.parametrize("environ", [faulty for _, faulty, _ in CASES], ids=str)
def test_what_the_service_refuses_to_start_with_is_an_error(environ: dict[str, str]) -> None:
    try:
        Settings.from_env(environ)
    except ImproperlyConfigured:
        assert invoke(environ=environ).exit_code == 1


def test_no_message_holds_a_secret() -> None:
    """Each secret flag has a bad value."""
    secrets = {flag.name: "hunter2" for flag, _ in Settings.flags() if flag.secret}
    environ = {**secrets, "OBS_ENV": "prod", "OBS_REDACT_IP": "hash"}
    for form in ("text", "json", "github"):
        assert "hunter2" not in invoke("--deploy", "--format", form, environ=environ).output


def test_a_hint_names_what_was_meant() -> None:
    """And the nearest edge."""
    environ = {"OBS_LOG_LEVEL": "INFO", "OBS_METRIC_PUBLIC": "false", "OBS_SHOE_SIZE": "42", "LOG_SLOW_MS": "350"}
    hints = {finding["message"].split()[0]: finding["hint"] for finding in findings(environ=environ)}
    assert hints == {
        "OBS_LOG_LEVEL": "Did you mean LOG_LEVEL?",
        "OBS_METRIC_PUBLIC": "Did you mean OBS_METRICS_PUBLIC?",
        "OBS_SHOE_SIZE": "Unset it, or rename it if another program reads it.",
        "LOG_SLOW_MS": "Set LOG_SLOW_MS=300, the nearest edge.",
    }


def test_the_file_of_flags_is_checked_too(tmp_path: Path) -> None:
    """What stands in OBS_ENV_FILE counts as what is set."""
    file = tmp_path / ".env"
    file.write_text("OBS_ENABLE=false\n")
    expected = "obs.W016" if importlib.util.find_spec("dotenv") else "obs.E001"
    assert ids(environ={"OBS_ENV_FILE": str(file)}) == {expected}

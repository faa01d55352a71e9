"""ConfigProbe: the flags are valid, as /health/startup reports."""

from __future__ import annotations

import os
from collections.abc import Mapping

import anyio
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.probes import ConfigProbe
from divan_obs_asgi.settings import Settings
from tests.ops.asking import ask
from tests.stacks import Observed

LONG_ENOUGH = "a-secret-of-thirty-two-bytes-xxx"

GOOD = {
    "REDIS_URL": [
        "redis://localhost",
        "redis://:hunter2@redis.internal:6379/0",
        "rediss://redis.internal:6380",
        "redis://[::1]:6379",
        "unix:///run/redis.sock",
    ],
    "DATABASE_URL": [
        "postgresql://divan:hunter2@db.internal:5432/divan",
        "postgres://db.internal/divan",
        "postgresql+asyncpg://divan@db.internal/divan?ssl=require",
        "sqlite:///divan.sqlite3",
        "sqlite+aiosqlite:////var/lib/divan.sqlite3",
    ],
    "S3_ENDPOINT_URL": ["https://s3.eu-central-1.amazonaws.com", "http://minio:9000"],
    "JWT_SECRET": [LONG_ENOUGH, "é" * 16, os.fsdecode(b"\xff" * 32)],
}
BAD = {
    "REDIS_URL": ["redis.internal:6379", "http://redis.internal", "redis://", "redis://h:port", "redis://h:70000"],
    "DATABASE_URL": ["divan.sqlite3", "//db.internal/divan", "postgresql://", "postgresql://[::1/divan"],
    "S3_ENDPOINT_URL": ["s3.amazonaws.com", "s3://bucket", "https://", "https://s3:port"],
    "JWT_SECRET": [LONG_ENOUGH[:-1], "hunter2", "é" * 15, os.fsdecode(b"\xff" * 31)],
}


def cases(values: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    return [(flag, value) for flag, examples in values.items() for value in examples]


@pytest.mark.parametrize(("flag", "value"), cases(GOOD))
def test_a_well_formed_value_passes(flag: str, value: str) -> None:
    """The check reads the form only. Readiness checks whether the server responds."""
    probe = ConfigProbe(Settings.from_env({flag: value}))
    assert probe.wrong_flags() == []
    assert anyio.run(probe.check) == {}


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://divan:hunter2@/divan?host=/cloudsql/project:region:instance",
        "postgresql:///divan",
        "postgresql://db1.internal:5432,db2.internal:5432/divan",
        "sqlite://",
    ],
)
def test_a_database_url_without_one_host_passes(value: str) -> None:
    """A Unix socket, several hosts and a database in memory are valid too (libpq, 34.1.1.2; SQLAlchemy)."""
    assert ConfigProbe(Settings.from_env({"DATABASE_URL": value})).wrong_flags() == []


@pytest.mark.parametrize(("flag", "value"), cases(BAD))
def test_a_malformed_value_fails(flag: str, value: str) -> None:
    """The response names the flag, never its value."""
    observed = Observed({flag: value})

    report = anyio.run(observed.obs.probes.ask, "startup")

    assert report.as_json()["status"] == "fail"
    assert report.checks["config"] == {"ok": False, "reason": "error", "wrong": [flag]}
    # Not a part of it either: the text after the scheme may be a password.
    assert os.fsencode(value) not in orjson.dumps(report.as_json())


def test_all_invalid_flags_are_named_at_once() -> None:
    """One start shows everything to repair."""
    observed = Observed({flag: values[0] for flag, values in BAD.items()})
    report = anyio.run(observed.obs.probes.ask, "startup")
    assert report.checks["config"]["wrong"] == ["REDIS_URL", "DATABASE_URL", "S3_ENDPOINT_URL", "JWT_SECRET"]


@pytest.mark.parametrize("flag", GOOD)
def test_a_flag_that_is_not_set_passes(flag: str) -> None:
    """An empty value counts as not set, because container files contain such values."""
    assert ConfigProbe(Settings.from_env({})).wrong_flags() == []
    assert ConfigProbe(Settings.from_env({flag: ""})).wrong_flags() == []


@pytest.mark.parametrize(
    ("environ", "wrong"),
    [
        ({"OBS_TRACING_ENABLED": "true"}, ["OTEL_EXPORTER_OTLP_ENDPOINT"]),
        ({"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://otel-collector:4317"}, []),
        ({"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc://otel-collector:4317"}, []),
        ({"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_EXPORTER": "console"}, []),
        ({"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, []),
        ({"OBS_TRACING_ENABLED": "false"}, []),
    ],
)
def test_tracing_needs_an_endpoint(environ: dict[str, str], wrong: list[str]) -> None:
    """Without tracing no endpoint is needed, nor with an exporter that was chosen by name."""
    assert ConfigProbe(Settings.from_env(environ)).wrong_flags() == wrong


STRONG = "kXzVq8Hw0cUe4bS1mTfY2g"


@pytest.mark.parametrize(
    ("environ", "wrong"),
    [
        ({}, ["OBS_ADMIN_TOKEN"]),
        ({"OBS_ADMIN_TOKEN": ""}, ["OBS_ADMIN_TOKEN"]),
        ({"OBS_ADMIN_TOKEN": STRONG[:-1]}, ["OBS_ADMIN_TOKEN"]),
        ({"OBS_ADMIN_TOKEN": "abcdefg" * 20}, ["OBS_ADMIN_TOKEN"]),
        ({"OBS_ADMIN_TOKEN": STRONG}, []),
        ({"OBS_ADMIN_TOKEN": STRONG, "OBS_ADMIN_TOKEN_PREVIOUS": STRONG[1:]}, ["OBS_ADMIN_TOKEN_PREVIOUS"]),
        ({"OBS_ADMIN_TOKEN": STRONG, "JWT_SECRET": "x" * 32}, ["JWT_SECRET"]),
        ({"OBS_ADMIN_TOKEN": STRONG, "JWT_SECRET": STRONG * 2}, []),
        ({"OBS_ADMIN_TOKEN": STRONG, "OBS_ADMIN_TOKEN_PREVIOUS": STRONG[::-1]}, []),
        ({"OBS_OPS_ENABLED": "false"}, []),
        ({"OBS_ENABLED": "false"}, []),
    ],
)
def test_outside_of_development_the_token_is_strong(environ: dict[str, str], wrong: list[str]) -> None:
    """128 bits of randomness if endpoints are guarded. On a developer's machine any token passes."""
    assert ConfigProbe(Settings.from_env({"OBS_ENV": "prod", **environ})).wrong_flags() == wrong
    assert ConfigProbe(Settings.from_env({"OBS_ENV": "dev", **environ})).wrong_flags() == []


def test_startup_names_all_invalid_flags_and_no_value() -> None:
    """The response is 503. After the repair it is 200."""
    bad = {flag: values[0] for flag, values in BAD.items()}
    tokens = {"OBS_ADMIN_TOKEN": "hunter2-hunter2-", "OBS_ADMIN_TOKEN_PREVIOUS": "hunter1-hunter1-"}
    observed = Observed({"OBS_ENV": "prod", **bad, **tokens})
    answer = ask(observed, "/health/startup")
    assert answer.status == 503
    assert orjson.loads(answer.body)["checks"]["config"] == {
        "ok": False,
        "wrong": [*bad, *tokens],
    }
    for value in (*bad.values(), *tokens.values()):
        assert value.encode() not in answer.body

    good = {flag: values[0] for flag, values in GOOD.items()}
    mended = Observed({"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": STRONG, **good})
    assert ask(mended, "/health/startup").status == 200


def test_no_response_contains_a_secret() -> None:
    """Not in a failure either, whose details are public."""
    secrets = {"REDIS_URL": "http://:hunter2@h", "DATABASE_URL": "hunter2", "JWT_SECRET": "hunter2"}
    with pytest.raises(obs.ProbeFailed) as failure:
        anyio.run(ConfigProbe(Settings.from_env(secrets)).check)
    assert "hunter2" not in f"{failure.value!r}{failure.value.details}"

"""Flags: for each check an environment that has the fault, and one that has not."""

from __future__ import annotations

import pytest

from divan_obs_asgi import ImproperlyConfigured, Settings
from tests.checks.asked import ids, invoke

STRONG = "b7e151628aed2a6abf7158809cf4f3c7"
OTHER = "62ef190f4e5b8a3d7c2f91e08b6d4a15"
PROD = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": STRONG}

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
]
DEPLOY_CASES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("obs.E002", {"OBS_METRICS_PUBLIC": "true"}, PROD),
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

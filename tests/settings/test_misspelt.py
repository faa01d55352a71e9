"""A misspelt flag is named at start-up."""

from __future__ import annotations

import anyio
import pytest
from asgi_lifespan import LifespanManager

import divan_obs_asgi as obs
from divan_obs_asgi import Settings
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.stacks import Observed

MISSPELT = {
    "OBS_TRACING_ENABLE": "OBS_TRACING_ENABLED",
    "OBS_ADMIN_TOKN": "OBS_ADMIN_TOKEN",
    "OBS_METRIC_PUBLIC": "OBS_METRICS_PUBLIC",
    "OBS_LOG_LEVEL": "LOG_LEVEL",
    "OBS_HEALTH_INTERVAL_S": "HEALTH_INTERVAL_S",
    "OBS_DATABASE_URL": "DATABASE_URL",
    "LOG_ACCESS_LOG_ENABLED": "OBS_ACCESS_LOG_ENABLED",
    "LOG_SAMPLING_RATE": "LOG_SAMPLING_RATE_INFO",
    "LOG_SAMPLING_BUGDET": "LOG_SAMPLING_BUDGET",
    "LOG_RECORDER_SIZE": "LOG_RECORDER_LINES",
    "LOG_LEVL": "LOG_LEVEL",
    "HEALTH_INTERVAL": "HEALTH_INTERVAL_S",
    "HEALTH_INTERVAL_SECONDS": "HEALTH_INTERVAL_S",
    "HEALTH_MIN_MIGRATIONS": "HEALTH_MIN_MIGRATION",
    "HEALTH_RECOVERY_AFTER": "HEALTH_RECOVER_AFTER",
    "obs_env": "OBS_ENV",
    "database_url": "DATABASE_URL",
}


@pytest.mark.parametrize(("name", "nearest"), MISSPELT.items())
def test_a_misspelt_flag_has_the_nearest_flag(name: str, nearest: str) -> None:
    assert list(Settings.from_env({name: "postgresql://db"}).misspelt) == [(name, nearest)]


@pytest.mark.parametrize("name", ["OBS_STUDIO_SCENE", "OBS_WEBSOCKET_PASSWORD", "OBS_"])
def test_a_variable_of_another_program_has_no_nearest_flag(name: str) -> None:
    """It is a warning, never an error: it may be OBS Studio's."""
    assert list(Settings.from_env({name: "hunter-22"}).misspelt) == [(name, None)]


@pytest.mark.parametrize(
    "name",
    ["LOG_FILE", "LOG_DIR", "HEALTH_URL", "HEALTH_PORT", "HEALTH_CHECK_TIMEOUT", "ROBS_ENV", "PATH", "REDIS_HOST"],
)
def test_an_applications_own_variable_is_not_a_misspelling(name: str) -> None:
    assert Settings.from_env({name: "x"}).misspelt == ()


def test_another_spelling_beside_the_flag_belongs_to_another_program() -> None:
    environ = {"database_url": "postgresql://a", "DATABASE_URL": "postgresql://b"}
    assert Settings.from_env(environ).misspelt == ()


def test_settings_made_in_code_have_no_misspelt_flags() -> None:
    assert Settings().misspelt == ()


def warnings(environ: dict[str, str]) -> list[str]:
    """Start an application, and return the messages of the lines about misspelt flags."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})

    async def start_and_stop(observed: Observed) -> None:
        async with LifespanManager(obs.build_stack(app, observed.obs), startup_timeout=PATIENCE_S):
            pass

    with root_logger_kept():
        observed = Observed(environ)
        observed.obs.log.install()
        anyio.run(start_and_stop, observed)
        lines = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.settings"]
    assert {line["level"] for line in lines} <= {"WARNING"}
    return [line["msg"] for line in lines]


def test_the_started_application_logs_one_warning() -> None:
    """One line names all of them."""
    environ = {"OBS_TRACING_ENABLE": "true", "LOG_SAMPLING_RATE": "1", "OBS_SCENE": "hunter-22", "HEALTH_URL": "x"}
    assert warnings(environ) == [
        "Environment variables that are not flags are ignored: LOG_SAMPLING_RATE (did you mean "
        "LOG_SAMPLING_RATE_INFO?), OBS_SCENE, OBS_TRACING_ENABLE (did you mean OBS_TRACING_ENABLED?)."
    ]


def test_a_misspelt_secret_is_named_without_its_value() -> None:
    (message,) = warnings({"OBS_ADMIN_TOKN": "a long secret of ours"})
    assert message.endswith(": OBS_ADMIN_TOKN (did you mean OBS_ADMIN_TOKEN?).")


def test_the_warning_has_a_bounded_length() -> None:
    (message,) = warnings({f"OBS_STUDIO_{number:02}": "x" for number in range(25)})
    assert message.endswith("OBS_STUDIO_08, OBS_STUDIO_09, and 15 more.")


@pytest.mark.parametrize("environ", [{}, {"OBS_ENABLED": "false", "OBS_ENABLE": "true"}])
def test_without_a_misspelt_flag_or_with_the_library_off_nothing_is_logged(environ: dict[str, str]) -> None:
    assert warnings(environ) == []

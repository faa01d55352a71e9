"""OBS_ENV_FILE: flags in a `.env` file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from divan_obs_asgi import ImproperlyConfigured, Settings
from divan_obs_asgi.settings.env_file import read_env_file
from tests.patience import PATIENCE_S
from tests.servers.command import Command

APP = """
from starlette.applications import Starlette
import divan_obs_asgi as obs

app = Starlette()
obs.init(app)
"""
SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service.env"


def test_a_file_sets_flags(path: Path) -> None:
    """With quotes, comments, `export`, values of several lines and values made of others, as python-dotenv has them."""
    path.write_text(
        "\ufeff# The shop\n\nOBS_SERVICE_NAME='shop' # its name\nexport LOG_LEVEL=debug\n"
        f'HOST=db.internal\nDATABASE_URL="postgresql://${{HOST}}/shop"\nOBS_ADMIN_TOKEN={SECRET}\nOTHER="a\nb"\n',
        encoding="utf-8",
    )
    settings = Settings.from_env({"OBS_ENV_FILE": f" {path} "})
    assert (settings.service.name, settings.logs.level) == ("shop", "DEBUG")
    assert settings.service.database_url == "postgresql://db.internal/shop"
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("value", ["prod", "dev", ""])
def test_the_environment_goes_before_the_file(path: Path, value: str) -> None:
    """A variable that is set for one run counts, even if it is the default or empty."""
    path.write_text("OBS_ENV=staging\nOBS_COMMIT=42bb08b\nOBS_ENV_FILE=/nonexistent\n")
    settings = Settings.from_env({"OBS_ENV_FILE": str(path), "OBS_ENV": value})
    assert (settings.service.env, settings.service.commit, settings.env_file) == (value or "dev", "42bb08b", str(path))
    sources = {one.flag.name: one.source for one in settings.in_force()}
    assert sources["OBS_COMMIT"] == "file"
    assert sources["OBS_ENV"] == ("environment" if value else "default")


def test_the_environment_of_the_process_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is for the library's flags; what the application reads is set by who starts it."""
    path.write_text("OBS_ENV=staging\n")
    monkeypatch.setenv("OBS_ENV_FILE", str(path))
    monkeypatch.delenv("OBS_ENV", raising=False)
    assert Settings.from_env().service.env == "staging"
    assert "OBS_ENV" not in os.environ


MALFORMED = [
    (f"OBS_ENV=dev\n\n=x{SECRET}\nB='{SECRET}\n", "NAME=value in line 3, 4"),
    (f"{SECRET}\n", "NAME=value in line 1"),
    (b"OBS_ENV=\xff\n", "a file in UTF-8"),
    ("#" * 1_000_001, "a file of at most 1000000 bytes"),
]


@pytest.mark.parametrize(("content", "expected"), MALFORMED, ids=[expected for _, expected in MALFORMED])
def test_a_malformed_file_is_a_start_up_error(path: Path, content: str | bytes, expected: str) -> None:
    """With the numbers of its lines, whose text may be secret, and together with all other bad flags."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ImproperlyConfigured) as raised:
        Settings.from_env({"OBS_ENV_FILE": str(path), "OBS_ENABLED": "maybe"})
    first, second = str(raised.value).splitlines()
    assert first == f"OBS_ENV_FILE is {str(path)!r}; expected {expected}."
    assert second == "OBS_ENABLED is 'maybe'; expected true or false."


def test_a_bad_flag_in_the_file_is_reported_like_any_other(path: Path) -> None:
    """It contradicts others, and is named with them."""
    path.write_text("LOG_LEVEL=loud\nOBS_METRICS_PUBLIC=true\n")
    with pytest.raises(ImproperlyConfigured) as raised:
        Settings.from_env({"OBS_ENV_FILE": str(path), "OBS_ENV": "prod"})
    assert [line.partition(" ")[0] for line in str(raised.value).splitlines()] == ["LOG_LEVEL", "OBS_METRICS_PUBLIC"]


@pytest.mark.parametrize("missing", ["nothing.env", ".", "a/b", "nul\0"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, missing: str) -> None:
    """A directory is not a file either, nor is a pipe, which might block the start."""
    with pytest.raises(ValueError, match=r"^an existing file$"):
        read_env_file(str(tmp_path / missing))


def test_without_python_dotenv_the_error_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core does not read such files itself."""
    path.write_text("OBS_ENV=dev\n")
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'divan-obs-asgi\[dotenv\]'\.$"):
        Settings.from_env({"OBS_ENV_FILE": str(path)})


@pytest.mark.slow
def test_a_service_reads_its_file(path: Path) -> None:
    """By uvicorn's own command: one that is good, and one that is not."""
    path.write_text("OBS_SERVICE_NAME=shop\n")
    command = Command(APP, "uvicorn", "app", env={"OBS_ENV_FILE": str(path)})
    try:
        command.start()
        assert command.line("Application startup complete.")["service"] == "shop"
        command.stop()
        path.write_text(f"OBS_SERVICE_NAME=shop\n{SECRET}\nLOG_LEVEL=loud\n")
        bad = {**command._env, "OBS_ENABLED": "maybe"}
        process = command.popen(command.command(), env=bad)
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode != 0
        assert f"OBS_ENV_FILE is {str(path)!r}; expected NAME=value in line 2.\nOBS_ENABLED is 'maybe';" in output
        assert SECRET not in output
    finally:
        command.close()

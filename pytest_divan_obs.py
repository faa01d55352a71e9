"""
The pytest plugin of divan-obs-asgi: the fixture `telemetry`, and `--obs-secrets=FILE`.

pytest loads it at every start. It is outside of the package, because importing the package takes half a second: only
runs with a test that uses the fixture pay for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from divan_obs_asgi.testing import Telemetry


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("divan-obs", "telemetry of ASGI services")
    group.addoption(
        "--obs-secrets",
        metavar="FILE",
        help="Fail each test whose log lines, spans, metrics or Socket.IO events show a secret of FILE (one a line).",
    )


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--obs-secrets")
    if file is None:
        return
    from divan_obs_asgi.testing.run_secrets import SecretsPlugin, secrets_in

    # An absolute path: the workers of pytest-xdist may run in other directories.
    config.option.obs_secrets = str(Path(config.invocation_params.dir, file).absolute())
    config.pluginmanager.register(SecretsPlugin(secrets_in(config.option.obs_secrets)), "divan-obs-secrets")


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The telemetry of this test: requests, lines, spans, metrics, events (docs/testing.md of divan-obs-asgi)."""
    from divan_obs_asgi.testing.telemetry import telemetry

    with telemetry() as collected:
        yield collected


def pytest_assertrepr_compare(op: str, left: Any, right: Any) -> list[str] | None:
    """Show collected items, one on each line."""
    for one in (left, right):
        if type(one).__module__ == "divan_obs_asgi.testing.collected" and hasattr(one, "failure_lines"):
            other = right if one is left else left
            lines: list[str] = one.failure_lines(f"{len(one)} in all")
            return [f"{type(left).__name__} {op} {type(right).__name__}", *lines, f"Compared with: {other!r}"]
    return None

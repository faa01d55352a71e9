"""`pytest --obs-secrets=FILE`: fail each test that leaks a secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from divan_obs_asgi.testing.secrecy import surviving
from divan_obs_asgi.testing.telemetry import Telemetry, hint_of, telemetry


class SecretsPlugin:
    """
    A pytest plugin that fails each test whose telemetry contains a secret, and removes secrets from captured output.

    Args:
        secrets: by the label that a failure shows.
    """

    def __init__(self, secrets: dict[str, str]) -> None:
        self._secrets = secrets
        self._reported: set[str] = set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        with ExitStack() as stack:
            self._telemetry: Telemetry = stack.enter_context(telemetry())
            self._reported.clear()
            return (yield)

    # The innermost wrapper: output that is flushed here is still captured.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        yield
        self._check()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        yield
        self._check()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        # After a failed phase as well.
        yield
        self._check()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]
        report.sections = [(name, self._without_secrets(text)) for name, text in report.sections]
        return report  # type: ignore[return-value]

    def _check(self) -> None:
        found = [leak for leak in self._telemetry.leaks(self._secrets) if leak not in self._reported]
        self._reported.update(found)
        if found:
            message = "\n".join(
                ["A secret of --obs-secrets has left the application:", *(f"  {leak}" for leak in found)]
            )
            pytest.fail(message, pytrace=False)

    def _without_secrets(self, text: str) -> str:
        """Return captured output without the lines that show a secret."""
        if not surviving(text, self._secrets):
            return text
        lines = []
        for line in text.splitlines(keepends=True):
            shown = surviving(line, self._secrets)
            lines.append(f"[removed: {', '.join(shown)}]\n" if shown else line)
        return "".join(lines)


def secrets_in(file: str) -> dict[str, str]:
    """
    Return the secrets of a file: one in each line that is not empty.

    Raises:
        pytest.UsageError: if it cannot be read, or is empty.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"--obs-secrets: {file} cannot be read: {type(error).__name__}.") from None
    named = {f"line {n} of {Path(file).name} ({hint_of(line)})": line for n, line in enumerate(lines, 1) if line}
    if not named:
        raise pytest.UsageError(f"--obs-secrets: {file} contains no secrets; expected one in each line.")
    return named


__all__ = ["SecretsPlugin", "secrets_in"]

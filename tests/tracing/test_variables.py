"""The table of variables knows every variable of the installed packages of OpenTelemetry."""

from __future__ import annotations

import importlib
import re

from opentelemetry import environment_variables

from divan_obs_asgi.settings.otel_variables import OTEL_VARIABLES

MODULES = (
    environment_variables.__name__,
    "opentelemetry.sdk.environment_variables",
    "opentelemetry.instrumentation.environment_variables",
    "opentelemetry.util.http",
)
NAME = re.compile(r"_?(OTEL_[A-Z0-9_]+)")


def declared() -> dict[str, str]:
    """Return the variables that the packages declare, by the module of each."""
    found: dict[str, str] = {}
    for module in MODULES:
        try:
            names = vars(importlib.import_module(module))
        except ImportError:
            continue
        found |= {match[1]: module for name, value in names.items() if (match := NAME.fullmatch(name)) and value}
    return found


def test_every_variable_of_the_sdk_is_in_the_table() -> None:
    """A new release of OpenTelemetry adds some: decide for each whether it works here."""
    assert {name: module for name, module in declared().items() if name not in OTEL_VARIABLES} == {}
    assert len(declared()) > 70

"""The names of the service, and the variables of OpenTelemetry that have no effect."""

from __future__ import annotations

import pytest

from divan_obs_asgi import ImproperlyConfigured, Settings
from divan_obs_asgi.settings import ServiceSettings
from divan_obs_asgi.settings.otel_variables import OTEL_VARIABLES
from tests.settings.test_misspelt import warnings

RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"
ATTRIBUTES = (
    "service.name=of%20attributes,service.version=3,deployment.environment.name=staging,vcs.ref.head.revision=42b"
)
TOKEN = {"OBS_ADMIN_TOKEN": "kXzVq8Hw0cUe4bS1mTfY2g"}


def service(**environ: str) -> tuple[str, str, str, str]:
    named = Settings.from_env({**TOKEN, **environ}).service
    return named.name, named.version, named.env, named.commit


def test_a_flag_wins_over_the_variables_of_opentelemetry() -> None:
    """Also with the value that is the default."""
    flags = {"OBS_SERVICE_NAME": "divan-api", "OBS_SERVICE_VERSION": "2", "OBS_ENV": "prod", "OBS_COMMIT": "1"}
    assert service(**flags, OTEL_SERVICE_NAME="shop", OTEL_RESOURCE_ATTRIBUTES=ATTRIBUTES) == (
        "divan-api",
        "2",
        "prod",
        "1",
    )


def test_the_service_name_wins_over_the_attributes() -> None:
    """As the specification orders them."""
    assert service(OTEL_SERVICE_NAME="shop", OTEL_RESOURCE_ATTRIBUTES=ATTRIBUTES) == ("shop", "3", "staging", "42b")


def test_the_attributes_win_over_the_defaults() -> None:
    assert service(OTEL_RESOURCE_ATTRIBUTES=ATTRIBUTES) == ("of attributes", "3", "staging", "42b")
    assert service(OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test")[2] == "test"
    both = "deployment.environment=test,deployment.environment.name=staging"
    assert service(OTEL_RESOURCE_ATTRIBUTES=both)[2] == "staging"


@pytest.mark.parametrize("empty", ["", " "])
def test_what_is_set_to_nothing_is_not_set(empty: str) -> None:
    defaults = ServiceSettings()
    named = service(OBS_SERVICE_NAME=empty, OTEL_SERVICE_NAME=empty, OTEL_RESOURCE_ATTRIBUTES=f"service.name={empty}")
    assert named[0] == defaults.name
    assert service(OBS_SERVICE_NAME=empty, OTEL_SERVICE_NAME="shop")[0] == "shop"


def test_an_error_names_the_variable_that_is_wrong() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({"OTEL_SERVICE_NAME": "a\nb"})
    assert str(caught.value) == r"OTEL_SERVICE_NAME is 'a\nb'; expected 1 to 128 printable characters."


@pytest.mark.parametrize("bad", ["service.name", "service.name=" + "x" * 129, "service.name=a%0Ab", "=shop", ",,"])
def test_an_attribute_that_is_malformed_is_ignored(bad: str) -> None:
    """It may be meant for a backend only; the others count."""
    assert service(OTEL_RESOURCE_ATTRIBUTES=f"service.version=3,{bad}")[:2] == (ServiceSettings().name, "3")


def test_an_attribute_is_never_read_as_a_flag() -> None:
    """An attribute's name is free, and may be that of a flag."""
    assert service(OTEL_RESOURCE_ATTRIBUTES="OBS_SERVICE_NAME=a,OTEL_SERVICE_NAME=b")[0] == ServiceSettings().name


def test_the_source_of_a_name_is_the_environment() -> None:
    """`/ops/config` shows where a value is from; an environment that another variable names is not an explicit dev."""
    settings = Settings.from_env({"OTEL_SERVICE_NAME": "shop", RESOURCE: "deployment.environment.name=dev"})
    sources = {one.flag.name: one.source for one in settings.in_force()}
    assert (sources["OBS_SERVICE_NAME"], sources["OBS_COMMIT"]) == ("environment", "default")
    assert not settings.dev_is_explicit


# Variables without effect.

ON = {"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


def without_effect(**environ: str) -> tuple[tuple[str, str], ...]:
    return Settings.from_env(environ).without_effect


def test_one_warning_names_every_variable_that_has_no_effect() -> None:
    """With what to do, and without its value."""
    environ = {
        "OTEL_PYTHON_ID_GENERATOR": "hunter2",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT": "http://hunter2@zipkin",
        "OTEL_EXPORTER_OTLP_ENPOINT": "http://hunter2@otel",
        "OTEL_SDK_DISABLED": "1",
        RESOURCE: "team=shop,hunter2",
    }
    pytest.importorskip("opentelemetry")
    assert warnings({**ON, **environ}) == [
        "Variables of OpenTelemetry without effect: "
        "OTEL_EXPORTER_OTLP_ENPOINT (did you mean OTEL_EXPORTER_OTLP_ENDPOINT?), "
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT (export to a collector by OTLP), "
        "OTEL_PYTHON_ID_GENERATOR (unset it), OTEL_SDK_DISABLED (only true has an effect), "
        "OTEL_RESOURCE_ATTRIBUTES (1 malformed: write name=value pairs, separated by commas). "
        "See docs/opentelemetry.md."
    ]


def test_an_endpoint_without_tracing_is_named() -> None:
    """The flag that is missing is the first thing to look for if nothing arrives."""
    assert warnings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) == [
        "Variables of OpenTelemetry without effect: OTEL_EXPORTER_OTLP_ENDPOINT (set OBS_TRACING_ENABLED=true). "
        "See docs/opentelemetry.md."
    ]


def test_an_endpoint_of_log_lines_needs_no_tracing() -> None:
    """The general endpoint has an effect then; one for traces has not."""
    environ = {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    pytest.importorskip("opentelemetry")
    assert warnings(environ) == []


@pytest.mark.parametrize("value", ["console", "otlp, Console"])
def test_metrics_are_not_printed(value: str) -> None:
    """The page is the form for people."""
    expected = ("OTEL_METRICS_EXPORTER", "console prints nothing; read /metrics")
    assert without_effect(OTEL_METRICS_EXPORTER=value) == (expected,)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "None"},
        {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_PYTHON_ID_GENERATOR": "random"},
        # As the operator for Kubernetes sets them.
        {"OTEL_RESOURCE_ATTRIBUTES_POD_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME": "b", "OTEL_NODE_IP": "c"},
        {"OTEL_LOGS_EXPORTER": "", "OTEL_LOG_LEVEL": "debug", "OTEL_SDK_DISABLED": "False"},
    ],
)
def test_harmless_values_and_foreign_variables_need_no_warning(environ: dict[str, str]) -> None:
    assert without_effect(**environ) == ()


def test_everything_that_works_is_a_flag_or_is_read_by_the_sdk() -> None:
    """The table does not promise what nothing reads."""
    flags = {flag.name for flag, _ in Settings.flags()}
    others = {name for flag, _ in Settings.flags() for name in flag.otherwise if name.isupper()}
    works = {name for name, one in OTEL_VARIABLES.items() if one.effect == "works"}
    assert works - flags - others == {
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
        "OTEL_PYTHON_CONTEXT",
        "OTEL_PYTHON_HTTPX_EXCLUDED_URLS",
        "OTEL_PYTHON_REQUESTS_EXCLUDED_URLS",
        "OTEL_PYTHON_TRACER_PROVIDER",
    }
    assert {name for name in flags if name.startswith("OTEL_")} <= OTEL_VARIABLES.keys()


def test_what_has_no_effect_says_what_to_do() -> None:
    assert [name for name, one in OTEL_VARIABLES.items() if one.effect.startswith("not supp") and not one.instead] == []

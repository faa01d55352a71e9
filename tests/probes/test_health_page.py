"""docs/health.md agrees with the code."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import divan_obs_asgi as obs
from divan_obs_asgi import Settings
from divan_obs_asgi.exceptions import PROBE_REASONS
from divan_obs_asgi.probes import CanaryProbe, ConfigProbe, HeartbeatProbe
from divan_obs_asgi.probes.base import Options
from divan_obs_asgi.probes.config import JWT_SECRET_BYTES, TOKEN_CHARACTERS
from divan_obs_asgi.probes.connections.dedicated import RENEW_S
from divan_obs_asgi.probes.engine.hysteresis import HISTORY
from divan_obs_asgi.probes.engine.schedule import EXPIRY_INTERVALS, JITTER, RETRY_FRACTION
from tests.ops.asking import ask, operated
from tests.pages import Page, coded, unknown_metrics
from tests.probes.test_health_ready import patient

PAGE = Page("health.md")
# Made by a decorator or by the registry, and described in the text.
NOT_IN_THE_TABLE = {"Probe", "FunctionProbe"}


def default(flag: str) -> Any:
    return next(value for one, value in Settings.flags() if one.name == flag)


def test_the_table_of_probes_names_them_all() -> None:
    """A new probe has a row, and a removed one has not."""
    named = [re.match(r"\w+", coded(row["probe"])[0]) for row in PAGE.table("probe")]
    public = [name for name in obs.probes.__all__ if name.endswith("Probe")]
    assert sorted(match[0] for match in named if match) == sorted({*public} - NOT_IN_THE_TABLE)


@pytest.mark.parametrize("row", PAGE.table("probe"), ids=lambda row: coded(row["probe"])[0].partition("(")[0])
def test_the_table_of_probes_shows_their_defaults(row: dict[str, str]) -> None:
    """Group, weight, timeout and interval are those of the class."""
    kind: Any = getattr(obs.probes, coded(row["probe"])[0].partition("(")[0])
    interval = getattr(kind, "interval", None)
    assert row["group"] == f"`{kind.group}`"
    assert row["critical"] == ("yes" if kind.critical else "no")
    assert float(row["timeout"]) == kind.timeout
    assert float(row["interval"]) == (default("HEALTH_INTERVAL_S") if interval is None else interval)


def test_the_table_of_attributes_names_them_all() -> None:
    """What a probe can have is what `Options` declares, and `aclose`."""
    assert [coded(row["attribute"])[0] for row in PAGE.table("attribute")] == [*Options.__annotations__, "aclose()"]


def test_the_table_of_reasons_names_them_all() -> None:
    """A reason that operators may see has an explanation."""
    assert {coded(row["reason"])[0] for row in PAGE.table("reason")} == PROBE_REASONS


def test_the_table_of_flags_shows_their_defaults() -> None:
    """As the flags are declared."""
    for row in PAGE.table("flag", "default"):
        assert float(row["default"]) == default(coded(row["flag"])[0])


def test_the_openmetrics_response_has_the_documented_families() -> None:
    """These, and no other."""
    observed = operated()
    for name in ("redis", "postgres"):
        observed.obs.probes.register(patient(name))
    done = ask(observed, "/health/ready", (b"accept", b"application/openmetrics-text"))
    exposed = {family.name for family in text_string_to_metric_families(done.body.decode()) if family.type != "unknown"}
    documented = next(row["response"] for row in PAGE.table("`Accept`") if "openmetrics" in row["`Accept`"])
    assert {name for name in exposed if not name.endswith("_created")} == set(coded(documented))


def test_the_table_of_start_up_names_the_flags_that_are_checked() -> None:
    """Each flag that can be reported as invalid is explained."""
    wrong = dict.fromkeys(("REDIS_URL", "DATABASE_URL", "S3_ENDPOINT_URL", "JWT_SECRET"), "x")
    # Long enough for the settings, and not for the probe.
    tokens = {"OBS_ADMIN_TOKEN": "abcdefghijklmnop", "OBS_ADMIN_TOKEN_PREVIOUS": "ponmlkjihgfedcba"}
    settings = Settings.from_env({**wrong, **tokens, "OBS_ENV": "prod", "OBS_TRACING_ENABLED": "true"})
    rows = PAGE.table("flag", "valid if")
    documented = [flag for row in rows for flag in coded(row["flag"])]
    assert sorted(documented) == sorted(ConfigProbe(settings).wrong_flags())
    text = " ".join(row["valid if"] for row in rows)
    assert f"at least {JWT_SECRET_BYTES} bytes" in text
    assert f"at least {TOKEN_CHARACTERS} characters" in text


def test_the_documented_queries_exist() -> None:
    """`obs.probes.X` on the page is a public name."""
    assert set(re.findall(r"obs\.probes\.(\w+)", PAGE.text)) <= set(obs.probes.__all__)


def test_the_documented_bounds_follow_from_the_schedule() -> None:
    """Two checks in a row decide; the second comes after a part of the interval."""
    interval = default("HEALTH_INTERVAL_S")
    bound = interval * (1 + JITTER) * (1 + RETRY_FRACTION)
    assert f"is reported after {bound:g} s and two timeouts at most" in PAGE.flowing
    assert f"plus or minus {JITTER:.0%}".replace("%", " %") in PAGE.flowing
    assert RETRY_FRACTION == 1 / 4
    assert "is repeated after a quarter of the interval" in PAGE.flowing
    assert f"older than {EXPIRY_INTERVALS} intervals and a timeout has expired" in PAGE.flowing
    assert f"replaced after {RENEW_S:g} s (`renew_s`)" in PAGE.flowing
    assert f"(the last {HISTORY} checks)" in PAGE.flowing


def test_the_documented_metrics_exist() -> None:
    """With the labels of the catalogue."""
    assert PAGE.metrics()
    assert unknown_metrics(PAGE) == set()


def test_the_library_registers_the_documented_probes() -> None:
    """Three of the table are there without being registered."""
    registered = {HeartbeatProbe.name, ConfigProbe.name, CanaryProbe.name}
    assert set(operated().obs.probes.names()) == registered
    assert sum("Registered by the library" in row["passes if"] for row in PAGE.table("probe")) == len(registered)

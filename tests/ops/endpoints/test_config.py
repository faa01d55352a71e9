"""GET /ops/config."""

from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.settings import LogSettings, ServiceSettings
from divan_obs_asgi.testing import assert_no_secret
from tests.ops.asking import TOKEN, ask, bearer, operated, told
from tests.stacks import Observed


def test_every_flag_is_told_with_its_source() -> None:
    """The environment, the default, and what the code has set."""
    flags = told(operated({"LOG_SLOW_MS": "1000", "OBS_REDACT_KEYS": "shoeSize"}), "/ops/config")["flags"]
    assert set(flags) == {flag.name for flag, _ in obs.Settings.flags()}
    assert flags["OBS_ENV"] == {"value": "dev", "source": "default"}
    # It is the default, and somebody has set it all the same.
    assert flags["LOG_SLOW_MS"] == {"value": 1000, "source": "environment"}
    assert flags["OBS_REDACT_KEYS"] == {"value": ["shoe size"], "source": "environment"}
    assert flags["HEALTH_MIN_MIGRATION"] == {"value": None, "source": "default"}


def test_what_the_code_has_set_is_told_so() -> None:
    """Settings that are made by keyword arguments have never seen the environment."""
    sources = {
        one.flag.name: one.source
        for one in obs.Settings(service=ServiceSettings(env="staging"), logs=LogSettings(slow_ms=1000)).in_force()
    }
    assert (sources["OBS_ENV"], sources["LOG_SLOW_MS"]) == ("code", "default")


def test_a_long_list_is_told_to_its_end() -> None:
    """Which of the middlewares is the eleventh is what somebody may look for."""
    paths = ",".join(f"divan_obs_asgi.middlewares.{name}" for name in ["RequestIdMiddleware", "OpsMiddleware"] * 8)
    flags = told(operated({"OBS_MIDDLEWARE": paths}), "/ops/config")["flags"]
    assert flags["OBS_MIDDLEWARE"]["value"] == paths.split(",")


SECRETS = {flag.name for flag, _ in obs.Settings.flags() if flag.secret}


def test_no_secret_is_told() -> None:
    """Of what is secret only whether it is set; of the rest what the policy lets through."""
    secrets = {name: f"{name.lower()}=hunter2-hunter2" for name in SECRETS} | {"OBS_ADMIN_TOKEN": TOKEN}
    endpoint = "http://operator:hunter2-hunter2@collector.example.org:4317"
    done = ask(Observed({**secrets, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}), "/ops/config", bearer())
    flags = orjson.loads(done.body)["flags"]
    assert {flags[name]["value"] for name in SECRETS} == {"[set]"}
    assert b"hunter2" not in done.body
    assert TOKEN.encode() not in done.body
    assert "collector.example.org" in flags["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"]


# Both halves, each of which is looked for, have a beginning that stands nowhere else.
_HALVES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=3, max_size=15)
_HIDDEN = _HALVES.map(lambda half: f"§9{half}" * 2)


@pytest.mark.slow
@given(
    st.fixed_dictionaries(dict.fromkeys(sorted(SECRETS), _HIDDEN)),
    st.sampled_from(["{}", "redis://divan:{}@cache:6379/0", "https://s3.example.org/?token={}", "Bearer {}"]),
)
def test_no_secret_is_told_whatever_it_looks_like(values: dict[str, str], form: str) -> None:
    """Not the value of one flag that is secret, as it is or escaped or in a URL."""
    token = values["OBS_ADMIN_TOKEN"]
    secrets = {name: form.format(value) for name, value in values.items() if "TOKEN" not in name}
    secrets |= {name: f"x-key={quote(value)}" for name, value in secrets.items() if name.endswith("_HEADERS")}
    observed = Observed({**secrets, "OBS_ADMIN_TOKEN": token, "OBS_ADMIN_TOKEN_PREVIOUS": f"{token}-before"})
    done = ask(observed, "/ops/config", bearer(token))
    assert done.status == 200
    assert_no_secret([done.body], values.values())


@pytest.mark.parametrize("name", sorted(SECRETS - {"OBS_ADMIN_TOKEN"}))
def test_a_secret_that_is_not_set_is_null(name: str) -> None:
    """Whether it is there is what is looked for."""
    assert told(operated(), "/ops/config")["flags"][name]["value"] is None

"""The start-up canary: a fake token, e-mail address and position pass through every sink."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.logs import Lines
from divan_obs_asgi.probes import CanaryProbe, ProbeRegistry
from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.probes.canary import EMAIL, LATITUDE, LONGITUDE, SECRETS, TOKEN, CanarySink
from divan_obs_asgi.redaction import DEFAULT_RULES, RedactionPolicy, Rule
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed

TIGHT = RedactionPolicy()
LEAKY = RedactionPolicy(())


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application was called")


def report_of(**sinks: CanarySink) -> dict[str, Any]:
    """Return what /health/startup says of these sinks, with its status."""
    built = Observed().obs
    probes = ProbeRegistry(built.metrics, built.redaction, built.faults)
    probes.register(CanaryProbe(sinks))
    stack = obs.build_stack(nothing, dataclasses.replace(built, probes=probes))
    answer = anyio.run(converse, stack, http_scope("/health/startup"))
    return {"status": answer.status, **json.loads(answer.body)["checks"]["redaction"]}


def lines_of(policy: RedactionPolicy) -> Lines:
    return Lines("a", "b", "c", policy)


def sinks_of(policy: RedactionPolicy) -> dict[str, CanarySink]:
    return {
        "log": canaries.log_sink(lines_of(policy)),
        "metrics": canaries.metrics_sink(policy),
        "health": canaries.health_sink(policy),
    }


def test_a_service_starts_with_the_canary() -> None:
    """It is registered by the library, and its sinks are safe."""
    answer = anyio.run(converse, obs.build_stack(nothing, Observed().obs), http_scope("/health/startup"))
    assert answer.status == 200
    assert json.loads(answer.body)["checks"]["redaction"]["ok"] is True


@pytest.mark.parametrize("sink", ["log", "metrics", "health"])
def test_a_sink_that_leaks_stops_the_start(sink: str) -> None:
    """The response is a 503 that names the sink, and only that one."""
    sinks = {**sinks_of(TIGHT), sink: sinks_of(LEAKY)[sink]}
    report = report_of(**sinks)
    assert report == {"status": 503, "ok": False, "sinks": [sink]}


def test_all_sinks_that_leak_are_named() -> None:
    """One start shows everything to repair."""
    assert report_of(**sinks_of(LEAKY))["sinks"] == ["log", "metrics", "health"]


@pytest.mark.parametrize("secret", SECRETS)
def test_one_secret_is_enough(secret: str) -> None:
    """A sink that leaks positions only is not safe."""
    assert report_of(own=lambda text, fields: f"a {secret} b".encode())["sinks"] == ["own"]


def test_a_sink_that_raises_is_named() -> None:
    """It is not known to be safe."""

    def broken(text: str, fields: Mapping[str, object]) -> bytes:
        raise RuntimeError(text)

    assert report_of(own=broken) == {"status": 503, "ok": False, "sinks": ["own"]}


def test_the_sinks_are_tested_once() -> None:
    """A check every second costs nothing."""
    tried: list[str] = []

    def sink(text: str, fields: Mapping[str, object]) -> bytes:
        tried.append(text)
        return b""

    async def ask_twice() -> None:
        probe = CanaryProbe({"own": sink})
        await probe.check()
        await probe.check()

    anyio.run(ask_twice)
    assert len(tried) == 1


def test_bundles_with_one_policy_test_them_once() -> None:
    """A test takes three milliseconds, and a test suite makes hundreds of bundles."""
    tried: list[str] = []

    def sink(text: str, fields: Mapping[str, object]) -> bytes:
        tried.append(text)
        return b""

    async def ask(policy: RedactionPolicy) -> None:
        await CanaryProbe({"own": sink}, canaries.known_results(policy)).check()

    one, other = RedactionPolicy(), RedactionPolicy()
    for policy, times in ((one, 1), (one, 1), (other, 2)):
        anyio.run(ask, policy)
        assert len(tried) == times


@pytest.mark.parametrize("name", ["find_emails", "find_positions"])
def test_a_policy_without_a_rule_is_found(name: str) -> None:
    """As in a service that has replaced the rules and forgotten one."""

    def is_it(rule: Rule) -> bool:
        return getattr(getattr(rule, "find", None), "__name__", "") == name

    policy = RedactionPolicy(rule for rule in DEFAULT_RULES if not is_it(rule))
    assert report_of(**sinks_of(policy))["sinks"] == ["log", "metrics", "health"]


def test_the_canary_contains_each_secret() -> None:
    """Each one finds a sink that redacts nothing."""
    seen: list[str] = []

    def sink(text: str, fields: Mapping[str, object]) -> bytes:
        seen.append(text + json.dumps(fields))
        return b""

    anyio.run(CanaryProbe({"own": sink}).check)
    assert all(secret in seen[0] for secret in (TOKEN, EMAIL, LATITUDE, LONGITUDE))

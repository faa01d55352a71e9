"""The options that all probes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.probes import DiskProbe, FunctionProbe, HttpProbe, OtlpProbe, S3Probe, SqlProbe, TcpProbe

OPTIONS = {
    "timeout": 7.5,
    "critical": False,
    "group": "reports",
    "interval": 60.0,
    "fail_after": 5,
    "recover_after": 3,
}


async def passes() -> Mapping[str, object]:
    return {}


class Spans:
    export_fails = None


class Pool:
    async def fetchval(self, query: str) -> object:
        return query


MAKING: dict[str, Callable[..., obs.probes.Probe]] = {
    "disk": lambda **options: DiskProbe("/", min_free_percent=1, **options),
    "function": lambda **options: FunctionProbe(passes, "search", **options),
    "http": lambda **options: HttpProbe("http://127.0.0.1/", name="search", **options),
    "otlp": lambda **options: OtlpProbe(Spans(), **options),
    "s3": lambda **options: S3Probe("http://127.0.0.1/", **options),
    "sql": lambda **options: SqlProbe(Pool(), **options),
    "tcp": lambda **options: TcpProbe("127.0.0.1", 25, name="smtp", **options),
}
each_probe = pytest.mark.parametrize("make", MAKING.values(), ids=MAKING.keys())


@each_probe
def test_every_probe_takes_the_same_options(make: Callable[..., obs.probes.Probe]) -> None:
    """An option that is not given has the default of the class, also for the next instance."""
    before = options_of(make())
    assert options_of(make(**OPTIONS)) == OPTIONS
    assert options_of(make()) == before


@each_probe
def test_a_misspelled_option_is_an_error(make: Callable[..., obs.probes.Probe]) -> None:
    """At construction."""
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'timeout_s'\.$"):
        make(timeout_s=1.0)


def options_of(probe: Any) -> dict[str, object]:
    return {option: getattr(probe, option) for option in OPTIONS}

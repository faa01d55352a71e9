"""What runs: the service, its flags, its middlewares, its jobs and its probes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson

from divan_obs_asgi.console.limits import MESSAGE
from divan_obs_asgi.console.shapes import About, FlagRow, JobRow, MiddlewareRow, ProbeResult, ProbeRow, Service
from divan_obs_asgi.version import __version__

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability
    from divan_obs_asgi.probes import Result

MASK = "[set]"
# Probes beyond these are not shown.
_MOST_PROBES = 60


def service_of(obs: Observability, started: float) -> Service:
    """Return which service this is, and whether it is ready."""
    settings = obs.settings
    ready = obs.metrics.health_ready
    return {
        "name": settings.service.name,
        "env": settings.service.env,
        "version": settings.service.version,
        "commit": settings.service.commit,
        "library": __version__,
        "started": started,
        "ready": not obs.drain.active and ready._value.get() == 1.0,
        "draining": obs.drain.active,
        "prefix": settings.ops.prefix,
        "trace_url": settings.console.trace_url or "",
    }


def about(obs: Observability, jobs: dict[str, JobRow]) -> About:
    """Return the flags that differ from their defaults, the middlewares of the last stack, and the jobs."""
    stacks = obs.built_stacks.stacks
    text = obs.redaction.redact_text
    middlewares: list[MiddlewareRow] = [
        {"name": text(place.name), "why_not": None if place.why_not is None else text(place.why_not)}
        for place in (stacks[-1] if stacks else ())
    ]
    rows: list[JobRow] = [
        dict(jobs[name]) if name in jobs else {"id": name, "runs": 0, "last": None, "outcome": "", "ms": None}  # type: ignore[misc]
        for name in obs.jobs.names()
    ]
    return {"flags": _flags(obs), "middlewares": middlewares, "jobs": rows}


def _flags(obs: Observability) -> list[FlagRow]:
    defaults = {flag.name: default for flag, default in obs.settings.flags()}
    rows: list[FlagRow] = []
    for in_force in obs.settings.in_force():
        default = defaults[in_force.flag.name]
        if in_force.value == default:
            continue
        value = MASK if in_force.flag.secret else _shown(obs, in_force.value)
        rows.append(
            {"name": in_force.flag.name, "value": value, "default": "" if default is None else _shown(obs, default)}
        )
    return rows


def _shown(obs: Observability, value: object) -> str:
    """Return a value as text. That of any flag may contain a secret; a URL, for example."""
    if isinstance(value, tuple):
        return obs.redaction.redact_text(",".join(map(str, value)), limit=MESSAGE)
    redacted = obs.redaction.redact(value)
    return redacted if isinstance(redacted, str) else orjson.dumps(redacted).decode()


def probe_rows(obs: Observability, pid: int) -> list[ProbeRow]:
    """Return the probes with the changes that their last checks show, oldest first."""
    now = time.time()
    return [_probe(obs, result, now, pid) for result in obs.probes.results()[:_MOST_PROBES]]


def _probe(obs: Observability, result: Result, now: float, pid: int) -> ProbeRow:
    history: list[ProbeResult] = []
    for past in reversed(result.history):
        if not history or (history[-1]["ok"], history[-1]["reason"]) != (past.ok, past.reason):
            at, ms = round(now - past.age_s, 3), round(past.latency_s * 1e3, 3)
            history.append({"at": at, "ok": past.ok, "reason": past.reason, "ms": ms})
    is_known = result.age_s is not None
    return {
        "id": obs.redaction.redact_text(result.name),
        "group": result.group,
        "critical": result.critical,
        "ok": result.ok if is_known else None,
        "reason": result.reason if is_known else None,
        "latency_ms": round(result.latency_s * 1e3, 3) if is_known else None,
        "asked": None if result.age_s is None else round(now - result.age_s, 3),
        "since": None if result.since_s is None else round(now - result.since_s, 3),
        "history": history,
        "worker": pid,
    }


__all__ = ["about", "probe_rows", "service_of"]

"""
Microseconds that a server span costs, in process: our tracing middleware alone, beside upstream's and the frameworks'.

    python -m benchmarks.tracing --rounds 300

Variants around one Starlette app with one route: ours (`TracingMiddleware`, nothing else), contrib
(opentelemetry-instrumentation-asgi without send and receive spans), starlette (its OpenTelemetryMiddleware). Around the
same route on FastAPI: fastapi, its native telemetry without operation spans. The bare app of the same framework is
subtracted. Each is proved before it is timed: one server span a request, of the caller's trace where there is one, with
route and status.

Ratios: every span recorded; 0.1; and 0, of a deployment that records nothing and still passes traces on. overhead.py
explains the measurement. The peers' spans go to the SDK's batch processor and ours to our queue; their exporter throws
them away, and the queues are emptied between the timings.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import click
import orjson
import uvloop
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ContribMiddleware
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from starlette.middleware import Middleware
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as NativeMiddleware
from starlette.types import ASGIApp

import divan_obs_asgi as obs
from benchmarks import inprocess
from benchmarks.inprocess import ROUTE, SERVICE, Discard, Sink, Variant, application
from benchmarks.measuring import machine
from benchmarks.overhead import PACKAGES as OVERHEAD_PACKAGES
from benchmarks.overhead import Bursts, profiled, timed
from divan_obs_asgi.middlewares import TracingMiddleware

Ratio: TypeAlias = Literal["1", "0.1", "0"]
RATIOS: dict[Ratio, str] = {"1": "every span recorded", "0.1": "parentbased_traceidratio 0.1", "0": "ratio 0"}
# Microseconds that ours may add to a Starlette route.
TARGETS: dict[Ratio, float] = {"1": 31.0, "0.1": 11.0, "0": 7.0}
PACKAGES = ("fastapi", "opentelemetry-instrumentation-asgi")
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True)
class Traced:
    """A variant, and which bare app to subtract from it."""

    variant: Variant
    bare: str
    ratio: Ratio


def ours(ratio: Ratio) -> Traced:
    """Our middleware alone, from the flags that a deployment would set."""
    exporter = Discard()
    flags = {"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_SAMPLER_ARG": ratio, "OBS_SERVICE_NAME": SERVICE}
    observability = obs.Observability.from_env(flags, log_stream=Sink(), span_exporter=exporter)
    app = obs.build_stack(application(), observability, [TracingMiddleware])
    return _traced("ours", "starlette", ratio, app, exporter, observability.flush)


def contrib(ratio: Ratio) -> Traced:
    """opentelemetry-instrumentation-asgi with one span."""
    exporter = Discard()
    provider = _provider(ratio, exporter)
    tracing = Middleware(ContribMiddleware, tracer_provider=provider, exclude_spans=["send", "receive"])
    return _traced("contrib", "starlette", ratio, application(tracing), exporter, provider.force_flush)


def starlette(ratio: Ratio) -> Traced:
    """Starlette's own middleware."""
    exporter = Discard()
    provider = _provider(ratio, exporter)
    app = application(Middleware(NativeMiddleware, tracer_provider=provider))
    return _traced("starlette", "starlette", ratio, app, exporter, provider.force_flush)


def fastapi(ratio: Ratio) -> Traced:
    """FastAPI's native telemetry, its server span only."""
    exporter = Discard()
    provider = _provider(ratio, exporter)
    app = _fastapi({"tracer_provider": provider, "operation_spans": False, "metrics": False, "logs": False})
    return _traced("fastapi", "fastapi", ratio, app, exporter, provider.force_flush)


MAKERS: dict[str, Callable[[Ratio], Traced]] = {
    "ours": ours,
    "contrib": contrib,
    "starlette": starlette,
    "fastapi": fastapi,
}


def bare(name: str) -> Variant:
    """Return an app that nothing traces."""
    app = application() if name == "starlette" else _fastapi({"tracing": False, "metrics": False, "logs": False})
    return Variant(f"bare {name}", "off", app, Sink(), Discard(), flush=lambda: None, counted=lambda: 0.0)


def _fastapi(telemetry: Any) -> FastAPI:
    app = FastAPI(telemetry=telemetry)

    @app.get(ROUTE)
    async def user(user_id: str) -> dict[str, object]:
        return {"id": user_id, "name": "Ada", "online": True}

    return app


def _provider(ratio: Ratio, exporter: Discard) -> TracerProvider:
    sampler = ParentBased(TraceIdRatioBased(float(ratio)))
    provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _traced(
    name: str, framework: str, ratio: Ratio, app: ASGIApp, exporter: Discard, flush: Callable[[], object]
) -> Traced:
    mode: inprocess.Mode = "on" if ratio == "1" else "0.1" if ratio == "0.1" else "off"
    return Traced(Variant(name, mode, app, Sink(), exporter, flush, lambda: 0.0), framework, ratio)


async def verify(traced: Traced) -> None:
    """
    Send a few requests and look at the spans.

    Raises:
        Misconfigured: if one is missing, is not a server span or not the caller's child, or lacks route or status.
    """
    variant = traced.variant
    exporter = variant.exporter
    called = (b"traceparent", f"00-{CALLER}-00f067aa0ba902b7-01".encode())
    cycle, before = inprocess.KeepingCycle(called), exporter.spans
    await variant.app(cycle.scope, cycle.receive, cycle.send)
    variant.flush()
    span = exporter.last
    inprocess._check(variant, cycle.sent[0]["status"] == 200, "status 200")
    inprocess._check(variant, exporter.spans == before + 1, "one span a request")
    assert span is not None
    assert span.context is not None
    attributes = span.attributes or {}
    route = attributes.get("http.route")
    code = attributes.get("http.response.status_code", attributes.get("http.status_code"))
    same = f"{span.context.trace_id:032x}" == CALLER
    inprocess._check(variant, span.kind is SpanKind.SERVER and same, "a server span of the caller's trace")
    # Upstream knows no route of Starlette's; its span is named after the path.
    inprocess._check(variant, (route, code) == (ROUTE, 200) or variant.name == "contrib", "route and status")
    await inprocess._check_share(variant)


async def measured(names: Sequence[str], ratios: Sequence[Ratio], rounds: int, requests: int) -> dict[str, Any]:
    """Return what each variant adds to its bare app."""
    variants = [MAKERS[name](ratio) for ratio in ratios for name in names]
    for traced in variants:
        await verify(traced)
    gc.collect()
    gc.freeze()
    frameworks = ("starlette", "fastapi")
    bursts = await timed([*map(bare, frameworks), *(traced.variant for traced in variants)], rounds, requests)
    floor = dict(zip(frameworks, bursts, strict=False))
    rows = [
        _row(traced.variant.name, traced.ratio, took_us, floor[traced.bare])
        for traced, took_us in zip(variants, bursts[len(frameworks) :], strict=True)
    ]
    about = machine(list(dict.fromkeys((*OVERHEAD_PACKAGES, *PACKAGES))))
    return {
        "machine": about,
        "rounds": rounds,
        "requests": requests,
        "bare": {name: statistics.median(took_us) for name, took_us in floor.items()},
        "results": rows,
    }


def _row(name: str, ratio: Ratio, bursts: Bursts, without: Bursts) -> dict[str, Any]:
    added = statistics.median(took - bare_us for took, bare_us in zip(bursts, without, strict=True))
    target = TARGETS[ratio] if name == "ours" else None
    return {
        "name": name,
        "ratio": ratio,
        "total_us": statistics.median(bursts),
        "added_us": added,
        "target_us": target,
        "reached": None if target is None else added <= target,
    }


def report(result: dict[str, Any]) -> str:
    """Return the result as a table for people."""
    about = result["machine"]
    lines = [
        f"{about['python']}, {about['cores']} cores ({about['machine']}), load {about['load']}; "
        f"medians over {result['rounds']} rounds of {result['requests']} requests",
        ", ".join(f"{name} {version}" for name, version in about["packages"].items()),
        "bare: " + ", ".join(f"{name} {took_us:.1f} µs" for name, took_us in result["bare"].items()),
        "",
        f"{'µs per request':30} {'variant':10} {'total':>7} {'added':>7} {'times ours':>11}",
    ]
    added = {(row["name"], row["ratio"]): row["added_us"] for row in result["results"]}
    for row in result["results"]:
        own = added.get(("ours", row["ratio"]))
        times = f"{row['added_us'] / own:11.1f}" if own else f"{'':11}"
        target = "" if row["target_us"] is None else f"  target {row['target_us']:.0f}: "
        if target:
            target += "reached" if row["reached"] else "NOT REACHED"
        lines.append(
            f"{RATIOS[row['ratio']]:30} {row['name']:10} {row['total_us']:7.1f} {row['added_us']:7.1f} {times}{target}"
        )
    return "\n".join(lines)


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=300, show_default=True, type=click.IntRange(1))
@click.option("--requests", default=200, show_default=True, type=click.IntRange(1, 500), help="Per round and variant.")
@click.option("--only", multiple=True, type=click.Choice(list(MAKERS)), help="These variants, beside the bare apps.")
@click.option("--ratio", "ratios", multiple=True, type=click.Choice(get_args(Ratio)), help="These ratios.")
@click.option("--profile", type=click.Choice(list(MAKERS)), help="Print where this one spends its time instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    rounds: int, requests: int, only: Sequence[str], ratios: Sequence[Ratio], profile: str | None, as_json: bool
) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    ratios = ratios or tuple(RATIOS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if profile:
            for ratio in ratios:
                variant = MAKERS[profile](ratio).variant
                click.echo(runner.run(profiled(variant, requests, verify=False)) + "\n")
            return
        result = runner.run(measured(only or tuple(MAKERS), ratios, rounds, requests))
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2) if as_json else report(result))


if __name__ == "__main__":
    main()

"""The result as a table for a terminal, and as Markdown for the documents."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import heading
from benchmarks.served.figures import Verdict, verdicts

_HEADS = (
    *("server", "variant", "tracing", "spans", "requests/s", "of bare", "CPU µs", "added", "by CPU"),
    *("p50 ms", "p99", "p99.9"),
    *("pause ms", "gc 0/1/2", "garbage", "RSS MB", "arrived"),
)
_LEFT = 4


def cells(one: dict[str, Any]) -> list[str]:
    """Return the texts of one row."""
    gc = "/".join(f"{count:.0f}" for count in one["collections"])
    bare = one["variant"] == "bare"
    return [
        *(one["server"], one["variant"], "" if bare else one["mode"], one["spans"]),
        *(
            f"{one['rate']:.0f}",
            f"{one['share']:.2f}",
            f"{one['cpu_us']:.0f}",
            "" if bare else f"{one['added_us']:.0f}",
            f"{one['cpu_share']:.2f}",
        ),
        *(f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}", f"{one['p999_ms']:.1f}", f"{one['pause_ms']:.0f}", gc),
        f"{one['garbage']:.1f}",
        "" if one["rss_mb"] is None else f"{one['rss_mb']:.0f}",
        "" if one["arrived"] is None else f"{one['arrived']:.0%}",
    ]


def about(result: dict[str, Any]) -> list[str]:
    """Return the lines above the table: the machine, the versions, and what else ran."""
    rounds = (
        f"{result['client']} with {result['connections']} connections on another core; "
        f"medians over {result['rounds']} rounds of {result['seconds']:.0f} s; "
        f"other processes used {result['others']:.0%} of the machine"
    )
    return heading(result["machine"], rounds)


def verdict_line(verdict: Verdict) -> str:
    """Return one target as a sentence."""
    case = verdict.case
    where = f"{case.server}, tracing {case.mode}, spans {case.spans}"
    found = (
        f"throughput {verdict.found:.2f} of bare, target at least {verdict.target:.2f}"
        if verdict.what == "throughput"
        else f"p99 {verdict.found:.1f} times that of bare, target at most {verdict.target:.1f}"
    )
    return f"{where}: {found}: {'met' if verdict.met else 'MISSED'}"


def text(result: dict[str, Any]) -> str:
    """Return the result for a terminal."""
    table = [list(_HEADS), *map(cells, result["rows"])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number < _LEFT else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    return "\n".join([*about(result), "", *lines, "", *map(verdict_line, verdicts(result["rows"]))])


def markdown(result: dict[str, Any]) -> str:
    """Return the result as Markdown: the machine, the table, the targets."""
    lines = [
        " ".join(line + "." for line in about(result)),
        "",
        "| " + " | ".join(_HEADS) + " |",
        "|" + "---|" * _LEFT + "--:|" * (len(_HEADS) - _LEFT),
        *("| " + " | ".join(cells(one)) + " |" for one in result["rows"]),
        "",
        *("- " + verdict_line(verdict) for verdict in verdicts(result["rows"])),
    ]
    return "\n".join(lines)


def summary(result: dict[str, Any]) -> str:
    """Return the small table of the README: share of bare throughput behind the first server, spans discarded."""
    server = result["rows"][0]["server"]
    shares = {(one["variant"], one["mode"], one["spans"]): one for one in result["rows"] if one["server"] == server}
    columns = (("on", "discarded"), ("on", "otlp"), ("0.1", "discarded"), ("off", ""))
    names = {
        "assembled": "asgi-correlation-id, opentelemetry-instrumentation-asgi, starlette_exporter, structlog",
        "leanest": "asgi-correlation-id, Starlette's own tracing middleware, prometheus-fastapi-instrumentator, "
        "structlog",
        "ours": "**divan-obs-asgi, everything on**",
    }
    lines = [
        "| share of the bare application's requests a second, with | every span | every span, exported | 10 % sampled "
        "| tracing off |",
        "|---|--:|--:|--:|--:|",
    ]
    for variant, name in names.items():
        figures = [shares.get((variant, *column)) for column in columns]
        if any(figures):
            shown = [f"{one['share']:.2f}" if one else "" for one in figures]
            bold = [f"**{cell}**" if cell and variant == "ours" else cell for cell in shown]
            lines.append(f"| {name} | " + " | ".join(bold) + " |")
    found = result["machine"]
    lines += ["", f"{server}, {found['cores']} cores, load {found['load']}, {found['python']}."]
    return "\n".join(lines)


__all__ = ["about", "cells", "markdown", "summary", "text", "verdict_line"]

"""What is served: a variant under a server, in a mode of tracing, with or without a collector of spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SERVERS = ("uvicorn", "granian")
VARIANTS = ("bare", "ours", "assembled", "leanest")
MODES = ("on", "0.1", "off")
DISCARDED, LIVE = "discarded", "otlp"


@dataclass(frozen=True)
class Case:
    """
    One server process to be measured.

    Attributes:
        variant: `bare`, ours, one of the peers, or a name of `benchmarks.pieces`.
        spans: `discarded` in the process, or sent to a collector by `otlp`; empty if none are recorded.
    """

    server: str
    variant: str
    mode: str
    spans: str = ""

    def bare(self) -> Case:
        """Return what this case is compared with."""
        return Case(self.server, "bare", "off")


def cases(servers: Sequence[str], variants: Sequence[str], modes: Sequence[str]) -> list[Case]:
    """Return all cases; `bare` is always among them, once for each server."""
    found = []
    for server in servers:
        found.append(Case(server, "bare", "off"))
        for variant in variants:
            for mode in modes if variant != "bare" else ():
                kinds = (DISCARDED, LIVE) if mode != "off" else ("",)
                found += [Case(server, variant, mode, spans) for spans in kinds]
    return found


__all__ = ["DISCARDED", "LIVE", "MODES", "SERVERS", "VARIANTS", "Case", "cases"]

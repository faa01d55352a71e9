"""Exports with several sets of parameters."""

from __future__ import annotations

from pathlib import Path

from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.parameters import Parameters

CHOICES = {
    "default": Parameters(),
    "acme": Parameters("acme", "shop", 99.5, 99.0, 0.3, trace_url="https://traces.example/${__value.raw}"),
    "strange job": Parameters(job='9 a "b" \\ {c} $1 ${d} é'),
    "no letters": Parameters(job="$$$"),
    "long": Parameters(namespace="a_" * 50, job="On." * 50),
}


def write(parameters: Parameters, folder: Path) -> None:
    """Write every file of an export into a folder."""
    for name, text in exported(parameters).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

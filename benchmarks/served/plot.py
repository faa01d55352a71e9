"""One picture: throughput as a share of the bare application's, and p99, as bars (SVG)."""

from __future__ import annotations

from html import escape
from typing import Any

from benchmarks.served.figures import TARGETS

_WIDTH, _LABEL, _BAR, _ROW, _NUMBER = 760, 240, 380, 20, 130
_STYLE = """
  text { font: 13px sans-serif; fill: #24292f }
  .head { font-weight: bold }
  .ours { fill: #0969da } .assembled { fill: #8c959f } .leanest { fill: #afb8c1 } .bare { fill: #57606a }
  .target { stroke: #cf222e; stroke-width: 2 } .axis { stroke: #8c959f }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .ours { fill: #4493f8 } .assembled { fill: #656c76 } .leanest { fill: #9198a1 }
    .bare { fill: #c9d1d9 } .target { stroke: #ff7b72 }
  }
"""


def svg(result: dict[str, Any]) -> str:
    """Return the picture; a red line is a target."""
    parts: list[str] = []
    y, server = 24, ""
    targets = {(target.mode, target.spans): target.share for target in TARGETS}
    for one in result["rows"]:
        if one["server"] != server:
            server = one["server"]
            y += 12
            parts.append(f'<text class="head" x="0" y="{y}">{escape(server)}: requests a second, share of bare</text>')
            y += 10
        name = " ".join(filter(None, [one["variant"], one["mode"] if one["variant"] != "bare" else "", one["spans"]]))
        middle = y + _ROW - 6
        parts.append(f'<text x="8" y="{middle}">{escape(name)}</text>')
        width = _BAR * min(one["share"], 1.2)
        parts.append(
            f'<rect class="{escape(one["variant"])}" x="{_LABEL}" y="{y + 3}" width="{width:.0f}" height="{_ROW - 6}"/>'
        )
        target = targets.get((one["mode"], one["spans"])) if one["variant"] == "ours" else None
        if target is not None:
            x = _LABEL + _BAR * target
            parts.append(f'<line class="target" x1="{x:.0f}" x2="{x:.0f}" y1="{y}" y2="{y + _ROW}"/>')
        figure = f"{one['share']:.2f}, p99 {one['p99_ms']:.1f} ms"
        parts.append(f'<text x="{_WIDTH - _NUMBER}" y="{middle}">{figure}</text>')
        y += _ROW
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 12}" role="img">\n'
        f"<title>Throughput of a served application, as a share of the bare one</title>\n"
        f"<style>{_STYLE}</style>\n{body}\n</svg>\n"
    )


__all__ = ["svg"]

"""Write the tables of flags and of metrics into README.md: `python tools/tables.py`."""

from __future__ import annotations

import re
from pathlib import Path

from divan_obs_asgi import Settings
from divan_obs_asgi.metrics import FAMILIES, NAMESPACE
from divan_obs_asgi.metrics.listing import as_markdown
from divan_obs_asgi.settings import DEFAULT_MIDDLEWARE

README = Path(__file__).resolve().parents[1] / "README.md"


def flags() -> str:
    """Return the flags as a Markdown table, in the order of their declaration."""
    rows = [f"| `{flag.name}` | {shown(default)} | {flag.doc} |\n" for flag, default in Settings.flags()]
    return "".join(["| flag | default | what it does |\n", "|------|---------|--------------|\n", *rows])


def shown(default: object) -> str:
    if default is None:
        return ""
    if default == DEFAULT_MIDDLEWARE:
        return "all of them"
    if isinstance(default, tuple):
        return " ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def written_into(text: str) -> str:
    """Return `text` with the present tables, each between its two marks."""
    for name, table in {"flags": flags(), "metrics": as_markdown(FAMILIES, NAMESPACE)}.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        text = re.sub(f"{begin}.*{end}", lambda _, whole=f"{begin}{table}{end}": whole, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    README.write_text(written_into(README.read_text()))

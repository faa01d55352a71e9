"""Write the table of flags into README.md: `python tools/flags_table.py`."""

from __future__ import annotations

import re
from pathlib import Path

from divan_obs_asgi import Settings
from divan_obs_asgi.settings import DEFAULT_MIDDLEWARE

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- flags: begin -->", "<!-- flags: end -->"


def table() -> str:
    """Return the flags as a Markdown table, in the order of their declaration."""
    rows = [f"| `{flag.name}` | {shown(default)} | {flag.doc} |" for flag, default in Settings.flags()]
    return "\n".join(["| flag | default | what it does |", "|------|---------|--------------|", *rows])


def shown(default: object) -> str:
    if default is None:
        return ""
    if default == DEFAULT_MIDDLEWARE:
        return "all of them"
    if isinstance(default, tuple):
        return " ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def written_into(text: str) -> str:
    """Return `text` with the present table between its two marks."""
    pattern = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{BEGIN}\n{table()}\n{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(written_into(README.read_text()))

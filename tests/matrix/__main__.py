"""Write the table of deviations into docs/servers.md: `python -m tests.matrix`."""

from __future__ import annotations

import re

from tests.matrix.deviations import BEGIN, DOCUMENT, END, as_markdown

if __name__ == "__main__":
    text = DOCUMENT.read_text()
    written = re.sub(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", lambda _: as_markdown(), text, flags=re.DOTALL)
    DOCUMENT.write_text(written)

"""Link folders of the checkout into the current directory: `python tools/link.py benchmarks examples`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

for name in sys.argv[1:]:
    link = Path(name)
    link.unlink(missing_ok=True)
    link.symlink_to(ROOT / name, target_is_directory=True)

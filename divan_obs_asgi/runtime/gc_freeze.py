"""Takes what was made at start-up out of the garbage collector's work."""

from __future__ import annotations

import gc
import os

# The process that has frozen. A forked worker freezes once more, for itself.
_frozen_in: int | None = None


def freeze_once() -> None:
    """Collect the garbage of the start-up, and move everything else to the permanent generation; once per process."""
    global _frozen_in
    if _frozen_in == os.getpid():
        return
    _frozen_in = os.getpid()
    gc.collect()
    gc.freeze()


__all__ = ["freeze_once"]

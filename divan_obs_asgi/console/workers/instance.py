"""One id for all workers of one start of the service."""

from __future__ import annotations

import os
import re
import secrets
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from divan_obs_asgi.metrics.multiprocess import locks

_ID = re.compile(rb"[0-9a-f]{8}")


class Instance:
    """
    The id in a file that each living worker has locked.

    A worker that starts while no other one lives writes a new id. So a page learns that the service has restarted, and
    not that another worker has answered.

    Attributes:
        id: letters and digits; of this worker alone if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.id = secrets.token_hex(4)
        self._release: Callable[[], object] = bool
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            self._release = weakref.finalize(self, os.close, descriptor)
            self._share(descriptor)

    def _share(self, descriptor: int) -> None:
        if locks.try_lock(descriptor):
            os.pwrite(descriptor, self.id.encode(), 0)
        # Waits while another worker writes.
        locks.share(descriptor)
        known = os.pread(descriptor, 8, 0)
        if _ID.fullmatch(known):
            self.id = known.decode()


__all__ = ["Instance"]

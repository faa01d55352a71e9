"""
`tests.socketio_ext.served` with the same arguments, without libraries that it has no use for.

`import socketio` brings those of its clients and managers along, which are more than half of what the start takes.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

UNUSED = ["aiohttp", "requests", "websocket"]

if __name__ == "__main__":
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys([*UNUSED, *([] if "SOCKETIO_REDIS_URL" in os.environ else ["redis"])]))
    runpy.run_module("tests.socketio_ext.served", run_name="__main__", alter_sys=True)

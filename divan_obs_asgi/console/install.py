"""Gives a bundle its console, once."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from divan_obs_asgi.console.feed import COMPONENT
from divan_obs_asgi.console.store import Console

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


def installed(obs: Observability) -> Console:
    """Return the console of a bundle; the first call makes it, and begins to feed it."""

    def make() -> Console:
        console = Console(obs)
        obs.background.add(COMPONENT, console.run, later=True)
        console.timing.start()
        obs.background.when_started(COMPONENT, console.timing.start)
        weakref.finalize(obs, console.timing.stop).atexit = False
        shared = obs.settings.metrics.multiproc_dir
        if shared:
            # It needs the system's file locks; without them `Workers` has refused the directory.
            from divan_obs_asgi.console.workers.peers import RingPeers

            peers = console.peers = RingPeers(console, Path(shared), obs.settings.metrics.namespace)
            obs.background.add("console_ring", peers.run, later=True)
        return console

    return obs.observers.attach(COMPONENT, make)


__all__ = ["installed"]

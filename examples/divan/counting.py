"""What Divan counts of its own events, for the parts that cause them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from divan_obs_asgi.metrics import Domain


async def domain_of(request: Request) -> Domain:
    """Return the counters of the application's domain: a line at each hook."""
    domain: Domain = request.app.state.domain
    return domain


Counts = Annotated[Domain, Depends(domain_of)]

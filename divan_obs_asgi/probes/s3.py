"""Whether the object store answers."""

from __future__ import annotations

import ssl

from divan_obs_asgi.probes.base import READY, Group
from divan_obs_asgi.probes.http import HttpProbe

# Whoever answers with one of these is there and well: the request is not signed, so that S3 refuses it by 403, and
# what it names may be no bucket, or one that lives elsewhere.
_ANSWERS = range(200, 500)


class S3Probe(HttpProbe):
    """
    Readiness: the S3 endpoint answers HTTP, be it with a refusal; no credentials are sent, and none are checked.

    Args:
        url: the endpoint, or a bucket's own; `observability.settings.s3_url`.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "s3",
        tls: ssl.SSLContext | None = None,
        timeout: float = 1.0,
        critical: bool = True,
        group: Group = READY,
        interval: float | None = 10.0,
    ) -> None:
        super().__init__(
            url,
            name=name,
            method="HEAD",
            accept=_ANSWERS,
            tls=tls,
            timeout=timeout,
            critical=critical,
            group=group,
            interval=interval,
        )


__all__ = ["S3Probe"]

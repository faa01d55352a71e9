"""Whether the object store answers."""

from __future__ import annotations

import ssl
from typing import Unpack

from divan_obs_asgi.probes.base import Options
from divan_obs_asgi.probes.http import HttpProbe

# Whoever answers with one of these is there and well: the request is not signed, so that S3 refuses it by 403, and
# what it names may be no bucket, or one that lives elsewhere.
_ANSWERS = range(200, 500)


class S3Probe(HttpProbe):
    """
    Readiness: the S3 endpoint answers HTTP, be it with a refusal; no credentials are sent, and none are checked.

    Args:
        url: the endpoint, or a bucket's own; `observability.settings.service.s3_url`.
    """

    interval = 10.0

    def __init__(
        self,
        url: str,
        *,
        name: str = "s3",
        tls: ssl.SSLContext | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(url, name=name, method="HEAD", accept=_ANSWERS, tls=tls, **options)


__all__ = ["S3Probe"]

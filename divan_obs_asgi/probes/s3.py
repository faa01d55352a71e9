"""Probe: the object store responds."""

from __future__ import annotations

import ssl
from typing import Unpack

from divan_obs_asgi.probes.base import Options
from divan_obs_asgi.probes.http import HttpProbe

# Any of these statuses shows that the store works. The request is not signed, so S3 refuses it with 403. The URL may
# also name no bucket (404), or a bucket in another region (301).
_ACCEPTED = range(200, 500)


class S3Probe(HttpProbe):
    """
    Readiness: the S3 endpoint answers HTTP, even if it refuses the request. No credentials are sent or checked.

    Args:
        url: the endpoint, or the URL of a bucket; `observability.settings.service.s3_url`.
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
        super().__init__(url, name=name, method="HEAD", accept=_ACCEPTED, tls=tls, **options)


__all__ = ["S3Probe"]

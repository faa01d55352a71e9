"""Decides who may use the guarded endpoints."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import math
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

import anyio

from divan_obs_asgi.connection.headers import values
from divan_obs_asgi.ops.audit import Audit, client_address
from divan_obs_asgi.ops.rate_limit import RateLimit
from divan_obs_asgi.ops.responses import RequestRefused
from divan_obs_asgi.types import Authorize, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.internal_errors import InternalErrors
    from divan_obs_asgi.settings import Settings

# Seconds that an authorization service may take; the operator waits for it.
AUTHORIZE_TIMEOUT_S = 5.0
# A client with IPv6 can use any address of its /64 (RFC 6177).
_IPV6_CLIENT = 64
# A 401 names the scheme that it expects (RFC 9110, section 11.6.1).
_CHALLENGE = {"www-authenticate": 'Bearer realm="ops"'}
_TOKEN_MISSING = "Send the admin token as 'Authorization: Bearer'."
PUBLIC = "everybody"
# A header can have 64 kB. A token that is longer than this, and than our own, is wrong; it is not hashed.
_MAX_TOKEN = 1024


class Guard:
    """
    Lets in a request with the admin token, from an allowed network, that the application allows as well.

    The right token always passes, whatever was sent from its address before: behind an ingress or a service mesh all
    clients have one address. Only wrong tokens are counted, limited and audited. A request without a bearer token,
    or with two Authorization headers, is refused and not counted.

    The address is the one in the scope. The server knows its proxies and decides whether to believe a header about it
    (uvicorn's `--forwarded-allow-ips`).

    Args:
        authorize: the application's condition beside the token; it can refuse a request and cannot replace the token.
        clock: seconds, monotonic.

    Attributes:
        audit: the audit log.
    """

    def __init__(
        self,
        settings: Settings,
        faults: InternalErrors,
        authorize: Authorize | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.audit = Audit(clock)
        self._public = settings.metrics.public
        self._networks = tuple(ip_network(network) for network in settings.ops.networks)
        self._faults = faults
        self._authorize = authorize
        self._wrong_tokens = RateLimit(settings.ops.max_failures, clock)
        flags = {
            "OBS_ADMIN_TOKEN": settings.ops.admin_token,
            "OBS_ADMIN_TOKEN_PREVIOUS": settings.ops.admin_token_previous,
        }
        # Code can pass an empty token; with it, `Bearer` alone would be valid.
        tokens = {flag: _bytes(token) for flag, token in flags.items() if token}
        self._digests = {flag: _digest(token) for flag, token in tokens.items()}
        self._max_token = max(_MAX_TOKEN, *map(len, tokens.values())) if tokens else _MAX_TOKEN

    async def admit(self, scope: Scope, path: str, *, changes: bool) -> str:
        """
        Return why a request is let in: the name of the flag that contains its token, or "everybody".

        Args:
            path: the template, for the audit log.
            changes: whether the request changes something; then it always needs the token.

        Raises:
            RequestRefused: 401, 403 or 429.
        """
        try:
            return await self._admit(scope, changes=changes)
        except _WrongToken as refused:
            self.audit.refused(scope, path, refused.status)
            raise
        except RequestRefused as refused:
            if changes:
                self.audit.refused(scope, path, refused.status)
            raise

    def why_no_change(self, scope: Scope) -> str:
        """Return why a request that was let in may not change anything; empty if it may. Counts and logs nothing."""
        if not self._digests:
            return "OBS_ADMIN_TOKEN is not set."
        token = _bearer_token(scope)
        return "" if token is not None and self._flag_of(token) is not None else "Only with the admin token."

    async def _admit(self, scope: Scope, *, changes: bool) -> str:
        address = client_address(scope)
        self._check_network(address)
        by = PUBLIC if self._public and not changes else self._check_token(scope, address)
        if self._authorize is not None and not await self._is_authorized(self._authorize, scope):
            raise RequestRefused(403, "The application does not allow it.")
        return by

    def _check_network(self, address: IPv4Address | IPv6Address | None) -> None:
        if self._networks and not any(address is not None and address in network for network in self._networks):
            raise RequestRefused(403, "This address is not in OBS_OPS_NETWORKS.")

    def _check_token(self, scope: Scope, address: IPv4Address | IPv6Address | None) -> str:
        """Return the flag that contains the token of a request; refuse a missing or wrong token."""
        if not self._digests:
            raise RequestRefused(403, "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'.")
        token = _bearer_token(scope)
        if token is None:
            raise RequestRefused(401, _TOKEN_MISSING, _CHALLENGE)
        flag = self._flag_of(token)
        if flag is None:
            raise self._wrong(client_key(address))
        return flag

    def _flag_of(self, token: bytes) -> str | None:
        if len(token) > self._max_token:
            return None
        digest = _digest(token)
        # All are compared, also after a match: neither the duration nor the length reveals anything.
        matching = [flag for flag, expected in self._digests.items() if hmac.compare_digest(digest, expected)]
        return matching[0] if matching else None

    def _wrong(self, client: str) -> RequestRefused:
        """Count a wrong token; return the refusal."""
        wait_s = self._wrong_tokens.wait_s(client)
        if wait_s > 0:
            headers = {"retry-after": str(math.ceil(wait_s))}
            return _WrongToken(429, "Too many wrong tokens from this address; wait.", headers)
        self._wrong_tokens.add(client)
        return _WrongToken(401, _TOKEN_MISSING, _CHALLENGE)

    async def _is_authorized(self, authorize: Authorize, scope: Scope) -> bool:
        try:
            with anyio.fail_after(AUTHORIZE_TIMEOUT_S):
                # A copy, so that it cannot change the request.
                verdict = authorize(dict(scope))
                # `is True`: nothing else that it may return by mistake is a permission.
                return (await verdict if inspect.isawaitable(verdict) else verdict) is True
        except Exception as error:
            self._faults.report("authorize", error)
            return False


class _WrongToken(RequestRefused):
    """A bearer token that does not match: a guess, or a client with an old token."""


def _bearer_token(scope: Scope) -> bytes | None:
    """Return the bearer token of a request; None if it has none, or more than one Authorization header."""
    # Bytes, as they came: decoding and stripping would accept other spellings of a token.
    credentials = values(scope["headers"], b"authorization")
    if len(credentials) != 1:
        return None  # A proxy may have checked the other one.
    scheme, _, token = credentials[0].partition(b" ")
    return token.strip(b" ") or None if scheme.lower() == b"bearer" else None


def client_key(address: IPv4Address | IPv6Address | None) -> str:
    """Return what a client is counted under: its IPv4 address, or the /64 of its IPv6 address."""
    if address is None:
        return ""
    if address.version == 4:
        return str(address)
    return str(ip_network((address, _IPV6_CLIENT), strict=False))


def _bytes(token: str) -> bytes:
    # Python decodes environment variables with surrogateescape; this restores the bytes.
    return token.encode("utf-8", "surrogateescape")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


__all__ = ["PUBLIC", "Guard", "client_key"]

"""Who may use the guarded endpoints."""

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
from divan_obs_asgi.ops.responses import Refused
from divan_obs_asgi.types import Authorize, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.internal_errors import InternalErrors
    from divan_obs_asgi.settings import Settings

# What an authorization service may take to answer; the operator waits for it.
PATIENCE_S = 5.0
# A client with IPv6 has a whole /64 to choose its addresses from (RFC 6177).
_IPV6_CLIENT = 64
# RFC 9110, section 11.6.1: a 401 says which scheme it wants.
_CHALLENGE = {"www-authenticate": 'Bearer realm="ops"'}
_SEND_IT = "Send the admin token as 'Authorization: Bearer'."
PUBLIC = "everybody"
# A header may have 64 kB. What is longer than this, and than our own tokens, is wrong without a look at all of it.
_LONGEST = 1024


class Guard:
    """
    Lets in who carries the admin token, comes from an allowed network, and is let in by the application too.

    The right token always passes, whatever others have sent from its address: behind an ingress or a mesh everybody
    has the same one. Only wrong tokens are counted, limited and audited. A request without a token, or with something
    that is not one bearer token (another scheme, two Authorization headers), is refused and counts against nobody.

    The address is the one that the server gives in the scope. What a header says of it is for the server to judge,
    who knows its proxies (uvicorn's `--forwarded-allow-ips`).

    Args:
        authorize: the application's own condition, beside the token; it can refuse, and cannot let anybody in.
        clock: seconds, monotonic.

    Attributes:
        audit: where uses and refusals are written.
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
        self._failures = RateLimit(settings.ops.max_failures, clock)
        flags = {
            "OBS_ADMIN_TOKEN": settings.ops.admin_token,
            "OBS_ADMIN_TOKEN_PREVIOUS": settings.ops.admin_token_previous,
        }
        # An empty one, given in code, is none: `Bearer` alone would carry it.
        tokens = {flag: _bytes(token) for flag, token in flags.items() if token}
        self._digests = {flag: _digest(token) for flag, token in tokens.items()}
        self._longest = max(_LONGEST, *map(len, tokens.values())) if tokens else _LONGEST

    async def admit(self, scope: Scope, path: str, *, changes: bool) -> str:
        """
        Return by what a request was let in: the flag that holds its token, or "everybody".

        Args:
            path: the template, for the audit log.
            changes: whether it changes something; then the token is needed wherever the service runs.

        Raises:
            Refused: 401, 403 or 429.
        """
        try:
            return await self._admitted(scope, changes=changes)
        except _WrongToken as refused:
            self.audit.refused(scope, path, refused.status)
            raise
        except Refused as refused:
            if changes:
                self.audit.refused(scope, path, refused.status)
            raise

    async def _admitted(self, scope: Scope, *, changes: bool) -> str:
        address = client_address(scope)
        self._refuse_strange_networks(address)
        by = PUBLIC if self._public and not changes else self._holder(scope, address)
        if self._authorize is not None and not await self._is_authorized(self._authorize, scope):
            raise Refused(403, "The application does not allow it.")
        return by

    def _refuse_strange_networks(self, address: IPv4Address | IPv6Address | None) -> None:
        if self._networks and not any(address is not None and address in network for network in self._networks):
            raise Refused(403, "This address is in none of OBS_OPS_NETWORKS.")

    def _holder(self, scope: Scope, address: IPv4Address | IPv6Address | None) -> str:
        """Return the flag that holds the token of a request; refuse one that has none, or a wrong one."""
        if not self._digests:
            raise Refused(403, "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'.")
        given = _bearer_token(scope)
        if given is None:
            raise Refused(401, _SEND_IT, _CHALLENGE)
        found = self._flag_of(given)
        if found is None:
            raise self._wrong(counted_as(address))
        return found

    def _flag_of(self, given: bytes) -> str | None:
        if len(given) > self._longest:
            return None
        digest = _digest(given)
        # All of them, also where the first one fits: how long it takes tells nothing, nor does the length.
        fitting = [flag for flag, expected in self._digests.items() if hmac.compare_digest(digest, expected)]
        return fitting[0] if fitting else None

    def _wrong(self, client: str) -> Refused:
        """Count a wrong token of an address; return the refusal."""
        wait_s = self._failures.wait_s(client)
        if wait_s > 0:
            told = {"retry-after": str(math.ceil(wait_s))}
            return _WrongToken(429, "Too many wrong tokens from this address; wait.", told)
        self._failures.add(client)
        return _WrongToken(401, _SEND_IT, _CHALLENGE)

    async def _is_authorized(self, authorize: Authorize, scope: Scope) -> bool:
        try:
            with anyio.fail_after(PATIENCE_S):
                # A copy: it may leave marks, and change nothing.
                verdict = authorize(dict(scope))
                # `is`: whatever else it returns by mistake is no permission.
                return (await verdict if inspect.isawaitable(verdict) else verdict) is True
        except Exception as error:
            self._faults.report("authorize", error)
            return False


class _WrongToken(Refused):
    """A bearer token that is not ours: a guess, or a client that has an old one."""


def _bearer_token(scope: Scope) -> bytes | None:
    """Return the one bearer token of a request; None where it has none, or something else."""
    # The bytes as they came: text would have to be decoded, and stripped of what is a space in some language.
    credentials = values(scope["headers"], b"authorization")
    if len(credentials) != 1:
        return None  # Of two, a proxy may have checked the other one.
    scheme, _, given = credentials[0].partition(b" ")
    return given.strip(b" ") or None if scheme.lower() == b"bearer" else None


def counted_as(address: IPv4Address | IPv6Address | None) -> str:
    """Return the client whose address this is: all addresses of an IPv6 network are one client's."""
    if address is None:
        return ""
    if address.version == 4:
        return str(address)
    return str(ip_network((address, _IPV6_CLIENT), strict=False))


def _bytes(token: str) -> bytes:
    # How Python reads an environment variable of bytes that are no text, and back.
    return token.encode("utf-8", "surrogateescape")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


__all__ = ["PUBLIC", "Guard", "counted_as"]

"""Who may use the guarded endpoints."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import math
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

import anyio

from divan_obs_asgi.headers import values
from divan_obs_asgi.ops.answers import Refused
from divan_obs_asgi.ops.failures import Failures
from divan_obs_asgi.types import Authorize, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.faults import Faults
    from divan_obs_asgi.settings import Settings

# What an authorization service may take to answer; the operator waits for it.
PATIENCE_S = 5.0
# A client with IPv6 has a whole /64 to choose its addresses from (RFC 6177).
_IPV6_CLIENT = 64
# RFC 9110, section 11.6.1: a 401 says which scheme it wants.
_CHALLENGE = {"www-authenticate": 'Bearer realm="ops"'}
PUBLIC = "everybody"


class Guard:
    """
    Lets in who carries the admin token, comes from an allowed network, and is let in by the application too.

    The address is the one that the server gives in the scope. What a header says of it is for the server to judge,
    who knows its proxies (uvicorn's `--forwarded-allow-ips`).

    Args:
        authorize: the application's own condition, beside the token; it can refuse, and cannot let anybody in.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        settings: Settings,
        faults: Faults,
        authorize: Authorize | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._public = settings.metrics_public
        self._networks = tuple(ip_network(network) for network in settings.ops_networks)
        self._faults = faults
        self._authorize = authorize
        self._failures = Failures(settings.ops_max_failures, clock)
        tokens = {
            "OBS_ADMIN_TOKEN": settings.admin_token,
            "OBS_ADMIN_TOKEN_PREVIOUS": settings.admin_token_previous,
        }
        # An empty one, given in code, is none: `Bearer` alone would carry it.
        self._digests = {flag: _digest(_bytes(token)) for flag, token in tokens.items() if token}

    async def admit(self, scope: Scope, *, changes: bool) -> str:
        """
        Return by what a request was let in: the flag that holds its token, or "everybody".

        Args:
            changes: whether it changes something; then the token is needed wherever the service runs.

        Raises:
            Refused: 401, 403 or 429.
        """
        address = client_address(scope)
        self._refuse_strange_networks(address)
        client = _counted_as(address)
        self._refuse_the_impatient(client)
        by = PUBLIC if self._public and not changes else self._holder(scope, client)
        if self._authorize is not None and not await self._is_authorized(self._authorize, scope):
            raise Refused(403, "The application does not allow it.")
        return by

    def _refuse_strange_networks(self, address: IPv4Address | IPv6Address | None) -> None:
        if self._networks and not any(address is not None and address in network for network in self._networks):
            raise Refused(403, "This address is in none of OBS_OPS_NETWORKS.")

    def _refuse_the_impatient(self, client: str) -> None:
        wait_s = self._failures.wait_s(client)
        if wait_s > 0:
            # Also with the right token: otherwise whoever guesses could go on guessing.
            raise Refused(429, "Too many failures from this address; wait.", {"retry-after": str(math.ceil(wait_s))})

    def _holder(self, scope: Scope, client: str) -> str:
        """Return the flag that holds the token of a request; refuse one that has none, or a wrong one."""
        if not self._digests:
            raise Refused(403, "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'.")
        # The bytes as they came: text would have to be decoded, and stripped of what is a space in some language.
        credentials = values(scope["headers"], b"authorization")
        # Of two, a proxy may have checked the other one.
        found = self._flag_of(credentials[0]) if len(credentials) == 1 else None
        if found is None:
            if credentials:  # Who sends none does not guess.
                self._failures.add(client)
            raise Refused(401, "Send the admin token as 'Authorization: Bearer'.", _CHALLENGE)
        return found

    def _flag_of(self, credentials: bytes) -> str | None:
        scheme, _, given = credentials.partition(b" ")
        digest = _digest(given.strip(b" "))
        # All of them, also where the first one fits: how long it takes tells nothing, nor does the length.
        fitting = [flag for flag, expected in self._digests.items() if hmac.compare_digest(digest, expected)]
        return fitting[0] if fitting and scheme.lower() == b"bearer" else None

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


def client_address(scope: Scope) -> IPv4Address | IPv6Address | None:
    """Return the address that the server gives, None where it gives none (a Unix socket)."""
    client = scope.get("client")
    try:
        address = ip_address(str(client[0]).partition("%")[0]) if client else None
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _counted_as(address: IPv4Address | IPv6Address | None) -> str:
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


__all__ = ["PUBLIC", "Guard", "client_address"]

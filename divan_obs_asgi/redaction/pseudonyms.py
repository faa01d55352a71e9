"""Pseudonyms of user ids and IP addresses: they join lines but identify nobody."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from typing import Literal, TypeAlias, get_args

from divan_obs_asgi.redaction.keys import KeyRule, phrases

UserIdPolicy: TypeAlias = Literal["drop", "hash", "keep"]
IpPolicy: TypeAlias = Literal["drop", "hash", "truncate", "keep"]
USER_ID_POLICIES: tuple[str, ...] = get_args(UserIdPolicy)
IP_POLICIES: tuple[str, ...] = get_args(IpPolicy)

USER_ID = KeyRule("user_id", last=phrases("user id, userid, uid, enduser id"))
IP = KeyRule(
    "ip",
    last=phrases(
        """
        ip, ip address, ipaddress, ip addr, remote addr, remote address, client address, peer address, x forwarded for
        client host, clientip, remoteip, peer addr, client socket address
        """
    ),
)
_HASHED = re.compile(r"hash:[0-9a-f]{16}")


class Pseudonyms:
    """
    Replaces user ids and IP addresses.

    Args:
        hash_key: the key of the HMAC; required for "hash".

    Raises:
        ValueError: for an unknown policy, and for "hash" without a key.
    """

    def __init__(self, user_id: UserIdPolicy, ip: IpPolicy, hash_key: str | None) -> None:
        for what, policy, known in (("user_id", user_id, USER_ID_POLICIES), ("ip", ip, IP_POLICIES)):
            if policy not in known:
                raise ValueError(f"{what} is {policy!r}; expected one of {', '.join(known)}.")
            if policy == "hash" and not hash_key:
                raise ValueError(f"{what} is 'hash' and hash_key is missing: anybody could hash all possible ids.")
        self._policies: dict[str, str] = {USER_ID.name: user_id, IP.name: ip}
        self._hash_key = (hash_key or "").encode("utf-8", "surrogateescape")

    def rules(self) -> list[KeyRule]:
        """Return the rules for keys whose values are not kept."""
        return [rule for rule in (USER_ID, IP) if self._policies[rule.name] != "keep"]

    def replacement(self, rule: str, value: object) -> str | None:
        """Return the replacement for `value`, or None if it is dropped."""
        policy = self._policies[rule]
        if policy == "drop" or not isinstance(value, (str, int)):
            return None
        text = str(value)
        if policy == "truncate":
            return _network(text)
        return text if _HASHED.fullmatch(text) else self.hashed(text)

    def hashed(self, text: str) -> str:
        """Return the keyed hash of `text`: the same for the same text and key, and useless without the key."""
        digest = hmac.new(self._hash_key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        return f"hash:{digest[:16]}"


def _network(text: str) -> str | None:
    """Return the /24 of an IPv4 address or the /48 of an IPv6 address, which identify a site but not a person."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    prefix = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, prefix), strict=False).network_address)


__all__ = ["IP_POLICIES", "USER_ID_POLICIES", "IpPolicy", "Pseudonyms", "UserIdPolicy"]

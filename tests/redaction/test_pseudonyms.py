"""User ids and addresses: dropped, or replaced so that lines can be joined and nobody is identified."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.pseudonyms import IpPolicy, UserIdPolicy
from divan_obs_asgi.settings import Settings

KEY = "a-hash-key-of-32-characters-1234"
USER_KEYS = ("user_id", "userId", "USER_ID", "uid", "enduser.id", "acting_user_id")
IP_KEYS = ("ip", "client_ip", "clientIp", "remote_addr", "X-Forwarded-For", "client.address", "ip_address")


def policy_of(user_id: UserIdPolicy = "drop", ip: IpPolicy = "drop", key: str = KEY) -> RedactionPolicy:
    return RedactionPolicy(user_id=user_id, ip=ip, hash_key=key)


def hashed(text: str, key: str = KEY) -> str:
    return "hash:" + hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


@pytest.mark.parametrize("key", USER_KEYS)
def test_a_user_id_is_dropped_by_default(key: str) -> None:
    """By default nobody can be identified."""
    assert RedactionPolicy().redact({key: 4711, "n": 1}) == {key: "[redacted:user_id]", "n": 1}


@pytest.mark.parametrize("key", IP_KEYS)
def test_an_address_is_dropped_by_default(key: str) -> None:
    """It is personal data too."""
    assert RedactionPolicy().redact({key: "192.0.2.7"}) == {key: "[redacted:ip]"}


@pytest.mark.parametrize(
    "key", ["user", "user_count", "user_id_type", "zip", "ip_version", "uid_source", "tooltip", "guid"]
)
def test_other_keys_are_neither(key: str) -> None:
    """A tooltip has no address."""
    assert RedactionPolicy().redact({key: "plain"}) == {key: "plain"}


def test_a_user_id_can_be_kept() -> None:
    """Where a review allows it."""
    assert policy_of(user_id="keep").redact({"user_id": 4711}) == {"user_id": 4711}


def test_an_address_can_be_kept() -> None:
    """Where a review allows it."""
    assert policy_of(ip="keep").redact({"client_ip": "2001:db8::1"}) == {"client_ip": "2001:db8::1"}


def test_an_address_that_is_kept_is_still_no_place_for_other_secrets() -> None:
    """What is kept by its key is still looked at."""
    result = policy_of(user_id="keep").redact({"user_id": "ada@mine.example"})
    assert result == {"user_id": "[redacted:email]"}


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        (" 192.0.2.77 ", "192.0.2.0"),
        ("::ffff:192.0.2.77", "::"),
        ("fe80::1%eth0", "fe80::"),
        ("192.0.2.0", "192.0.2.0"),
        ("192.0.2.77, 198.51.100.1", "[redacted:ip]"),
        ("192.0.2.300", "[redacted:ip]"),
        ("ada's laptop", "[redacted:ip]"),
        ("192.0.2.77:5123", "[redacted:ip]"),
    ],
)
def test_an_address_can_be_shortened_to_its_network(address: str, result: str) -> None:
    """The /24 or the /48 is a site; a value that is not an address is dropped."""
    assert policy_of(ip="truncate").redact({"client_ip": address}) == {"client_ip": result}


@given(st.ip_addresses().map(str))
def test_a_network_is_its_own_network(address: str) -> None:
    """A second sink changes nothing more."""
    policy = policy_of(ip="truncate")
    once = policy.redact({"client_ip": address})
    assert policy.redact(once) == once


@given(st.ip_addresses(v=4).map(str))
def test_a_network_does_not_show_the_host(address: str) -> None:
    """256 hosts, and all of them the same."""
    result = policy_of(ip="truncate").redact_field("ip", address)
    assert result == address.rpartition(".")[0] + ".0"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.integers())
def test_a_hash_joins_lines(user_id: str | int) -> None:
    """The same user is the same hash, in every process that has the key, as number and as text."""
    first, second = policy_of(user_id="hash"), policy_of(user_id="hash")
    result = first.redact({"user_id": user_id})
    assert result == second.redact({"user_id": str(user_id)}) == {"user_id": hashed(str(user_id))}
    assert first.redact(result) == result


def test_different_users_have_different_hashes() -> None:
    """Lines of two users are not joined."""
    policy = policy_of(user_id="hash")
    assert len({str(policy.redact_field("user_id", number)) for number in range(1000)}) == 1000


def test_a_hash_needs_its_key() -> None:
    """Who has the lines and not the key cannot try all users."""
    one, other = policy_of(user_id="hash", key=KEY), policy_of(user_id="hash", key=KEY[::-1])
    assert one.redact_field("user_id", 1) != other.redact_field("user_id", 1)
    assert hashlib.sha256(b"1").hexdigest()[:16] not in str(one.redact_field("user_id", 1))


def test_an_address_can_be_hashed() -> None:
    """As user ids are."""
    assert policy_of(ip="hash").redact({"client_ip": "192.0.2.7"}) == {"client_ip": hashed("192.0.2.7")}


@pytest.mark.parametrize("value", [["4711"], {"id": 4711}, b"4711", 47.11, object()])
def test_a_value_that_is_not_an_id_is_dropped(value: object) -> None:
    """A list of ids, bytes and objects have no hash that would join anything."""
    assert policy_of(user_id="hash").redact_field("user_id", value) == "[redacted:user_id]"


@pytest.mark.parametrize("value", [None, True, False, ""])
def test_a_missing_value_stays_missing(value: object) -> None:
    """The absence of a user is not a secret."""
    assert policy_of(user_id="hash").redact_field("user_id", value) == value


def test_a_hash_without_a_key_is_refused() -> None:
    """At start-up, and not with the first user."""
    with pytest.raises(ValueError, match="user_id is 'hash' and hash_key is missing"):
        RedactionPolicy(user_id="hash")
    with pytest.raises(ValueError, match="ip is 'hash' and hash_key is missing"):
        RedactionPolicy(ip="hash", hash_key="")


def test_an_unknown_policy_is_refused() -> None:
    """A typo does not mean "keep"."""
    with pytest.raises(ValueError, match="ip is 'truncated'; expected one of drop, hash, truncate, keep"):
        RedactionPolicy(ip="truncated")  # type: ignore[arg-type]


def test_the_flags_decide() -> None:
    """OBS_REDACT_USER_ID, OBS_REDACT_IP and OBS_REDACT_HASH_KEY."""
    flags = {"OBS_REDACT_USER_ID": "hash", "OBS_REDACT_IP": "truncate", "OBS_REDACT_HASH_KEY": KEY}
    policy = RedactionPolicy.from_settings(Settings.from_env(flags).redaction)
    result = policy.redact({"user_id": 7, "client_ip": "192.0.2.7"})
    assert result == {"user_id": hashed("7"), "client_ip": "192.0.2.0"}


def test_a_short_hash_key_is_refused() -> None:
    """It could be guessed; the message names the flag and not the key."""
    with pytest.raises(ImproperlyConfigured, match="OBS_REDACT_HASH_KEY has fewer than 16 characters") as raised:
        Settings.from_env({"OBS_REDACT_USER_ID": "hash", "OBS_REDACT_HASH_KEY": "mine7"})
    assert "mine7" not in str(raised.value)

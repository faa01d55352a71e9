"""Which keys hide their values: by whole words, by the flags, and by a service's own rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.redaction import DEFAULT_RULES, KEEP, KeyRule, Limits, RedactionPolicy, Rule, TextRule, TokenShape
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.testing import assert_no_secret

POLICY = RedactionPolicy()
HIDDEN = {
    "credential": """
        password PASSWORD Password passwd pwd user_password userPassword user-password user.password password_2
        token access_token accessToken ACCESS_TOKEN X-Auth-Token x_api_key apiKey APIKey api-key secret client_secret
        clientSecret SECRET_KEY aws.secret.access.key private_key authorization Proxy-Authorization credentials otp
        csrf_token xsrfToken jwt PGPASSWORD csrftoken db_pass pin auth connection_string signature
    """,
    "cookie": "cookie Cookie Set-Cookie cookies session sessionid session_id sessionId PHPSESSID sid",
    "body": "body message_body messageBody request.body content text raw_content",
    "file_key": "file_key s3_key s3Key object_key signed_url signedUrl presigned_url",
    "email": "email e-mail E-Mail userEmail user_email emails emailAddress mail",
    "phone": "phone phone_number phoneNumber telephone mobile msisdn tel",
    "person_name": "first_name firstName lastName full_name FULL_NAME surname familyName cardholder_name",
    "position": "lat lon lng latitude longitude userLat user_lat coordinates coords geo gps geo_point location.lat",
    "payment": "card_number cardNumber credit_card iban ssn",
}
WORDS = """
    latency_ms latency platform plate flat relation translation author authority author_id authored tokenizer tokenize
    tokens_used max_tokens total_tokens token_count token_type keyboard key keys monkey primary_key name username
    user_name display_name file_name hostname status route method path version id message_id order_id body_type
    body_size content_type content_length Content-Type text_length context textual contention password_length
    has_password is_token_valid password_expired email_verified email_count has_email secretary
    passenger passport_office compass bypass passed pinned spin opinion sidebar inside side authoring geometry geography
    longest along belong lonely slat cookie_policy cookies_enabled session_timeout session_duration emailed phonetic
    microphone headphones smartphone_model card_type cards postcard discard tell hotel motel public_key
"""


@pytest.mark.parametrize(("rule", "key"), [(rule, key) for rule, keys in HIDDEN.items() for key in keys.split()])
def test_a_key_of_these_words_hides_its_value(rule: str, key: str) -> None:
    """In every way of writing words as one name, and in every shape of value."""
    marker = f"[redacted:{rule}]"
    assert POLICY.redact({key: "plain7"}) == {key: marker}
    assert POLICY.redact({"a": [{key: {"b": ["plain7"]}}]}) == {"a": [{key: marker}]}
    assert POLICY.redact_field(key, 1234567) == marker


@pytest.mark.parametrize("key", WORDS.split())
def test_a_key_that_only_looks_sensitive_is_kept(key: str) -> None:
    """Letters inside another word do not match; a key that describes a secret does not hold it."""
    assert POLICY.redact({key: "plain7"}) == {key: "plain7"}


@pytest.mark.parametrize("value", [None, True, False, ""])
def test_whether_there_is_a_secret_is_kept(value: object) -> None:
    """That a password is missing explains an error, and gives nothing away."""
    assert POLICY.redact({"password": value}) == {"password": value}


def test_a_key_that_holds_a_secret_itself_is_hidden() -> None:
    """Data used as keys."""
    assert_no_secret(POLICY.redact({"ada@mine.example": 1}), ["ada@mine.example"])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_no_key_is_an_error(key: str) -> None:
    """Whatever data is used as a key."""
    POLICY.redact_field(key, "plain7")


@pytest.mark.parametrize("size", [255, 256, 257, 100_000])
def test_a_long_key_is_read_at_its_end(size: int) -> None:
    """Its last words say what it is."""
    assert POLICY.redact_field("a" * size + "_password", "plain7") == "[redacted:credential]"


@pytest.mark.slow
def test_the_policy_remembers_a_bounded_number_of_keys() -> None:
    """Data used as keys does not fill the memory, and is judged all the same."""
    policy = RedactionPolicy()
    for number in range(10_000):
        policy.redact_field(f"{number}_x", 1)
    assert policy.redact_field("x_password", "plain7") == "[redacted:credential]"
    assert policy.redact_field("x_plain", "plain7") == "plain7"


# --- flags


def flagged(**flags: str) -> RedactionPolicy:
    return RedactionPolicy.from_settings(Settings.from_env(flags).redaction)


@pytest.mark.parametrize("key", ["shoe_size", "shoeSize", "SHOE-SIZE", "shoe.size", "user_shoe_size", "shoe_size_2"])
def test_a_flag_adds_a_key(key: str) -> None:
    """OBS_REDACT_KEYS takes words, however they are written."""
    for written in ("shoe_size", "shoeSize", "Shoe-Size", " shoe_size , other "):
        policy = flagged(OBS_REDACT_KEYS=written)
        assert policy.redact({key: 43}) == {key: "[redacted:key]"}
        assert_no_secret(policy.redact_text(f"with {key}=plain7 and"), ["plain7"])
    assert POLICY.redact({key: 43}) == {key: 43}


@pytest.mark.parametrize("key", ["shoe", "shoelace_size", "horseshoe_size", "size"])
def test_a_flags_key_is_whole_words(key: str) -> None:
    """A horseshoe is not a shoe."""
    assert flagged(OBS_REDACT_KEYS="shoe_size").redact({key: 43}) == {key: 43}


def test_a_flag_allows_a_key() -> None:
    """OBS_REDACT_ALLOW_KEYS keeps the values of exactly this key; other keys keep their rule."""
    policy = flagged(OBS_REDACT_ALLOW_KEYS="body,pushToken")
    value = {"body": "plain7", "push_token": "plain7", "message_body": "plain7", "token": "plain7"}
    assert policy.redact(value) == {
        "body": "plain7",
        "push_token": "plain7",
        "message_body": "[redacted:body]",
        "token": "[redacted:credential]",
    }
    assert policy.redact_text("body=plain7 token=plain7") == "body=plain7 token=[redacted:credential]"


def test_an_allowed_key_still_hides_what_gives_itself_away() -> None:
    """It is allowed to have its name, not to have an address in it."""
    assert flagged(OBS_REDACT_ALLOW_KEYS="body").redact({"body": "ask ada@mine.example"}) == {
        "body": "ask [redacted:email]"
    }


@pytest.mark.parametrize("flag", ["OBS_REDACT_KEYS", "OBS_REDACT_ALLOW_KEYS"])
@pytest.mark.parametrize("value", ["a b c d", "---", "7", "ok,!"])
def test_a_key_that_cannot_be_is_refused(flag: str, value: str) -> None:
    """At start-up, with the flag's name."""
    with pytest.raises(ImproperlyConfigured, match=f"{flag} is .*; expected keys of one to three words"):
        Settings.from_env({flag: value})


# --- a service's own rules


def having(*rules: Rule) -> RedactionPolicy:
    return RedactionPolicy(DEFAULT_RULES + rules)


def test_an_own_key_rule() -> None:
    """Words anywhere, at the end, as the whole key, and the exceptions."""
    rule = KeyRule(
        "badge",
        words=frozenset({"badge"}),
        last=frozenset({"door code"}),
        exact=frozenset({"floor"}),
        unless=frozenset({"badge colour"}),
    )
    value = dict.fromkeys(
        ["badgeNumber", "main_door_code", "floor", "floor_plan", "badge_colour", "door_codes"], "plain7"
    )
    assert having(rule).redact(value) == {
        "badgeNumber": "[redacted:badge]",
        "main_door_code": "[redacted:badge]",
        "floor": "[redacted:badge]",
        "floor_plan": "plain7",
        "badge_colour": "plain7",
        "door_codes": "plain7",
    }
    assert having(rule).redact_text("door_code=9876 ok") == "door_code=[redacted:badge] ok"


@pytest.mark.parametrize("phrase", ["Door Code", "door  code", "doorCode", "", "one two three four", "door_code", "  "])
def test_a_key_rule_that_can_never_match_is_refused(phrase: str) -> None:
    """With the phrase that is wrong."""
    with pytest.raises(ValueError, match="expected one to three lower-case words"):
        KeyRule("badge", words=frozenset({phrase}))


def test_an_own_pattern() -> None:
    """Wherever it stands, in whatever value."""
    policy = having(TextRule.matching("badge", r"\bB-\d{4}\b"))
    assert policy.redact_text("no B-1234 here") == "no [redacted:badge] here"
    assert policy.redact({"a": ["B-1234", "B-12345"]}) == {"a": ["[redacted:badge]", "B-12345"]}
    assert policy.redact_text("é B-1234 é") == "é [redacted:badge] é"


def test_an_own_token() -> None:
    """A prefix and the text after it; the prefix must begin a word."""
    policy = having(TokenShape("mine_token", ("mine_",), r"[a-z0-9]{24,}"))
    token = "mine_" + "a1b2" * 7
    assert policy.redact_text(f"({token})") == "([redacted:mine_token])"
    assert policy.redact_text(f"deter{token}") == f"deter{token}"
    assert policy.redact_text("mine_a1b2") == "mine_a1b2"


@pytest.mark.parametrize("prefixes", [(), ("",), ("mïne_",)])
def test_a_token_without_a_prefix_is_refused(prefixes: tuple[str, ...]) -> None:
    """Each text would have to be searched for everything."""
    with pytest.raises(ValueError, match="expected ASCII text"):
        TokenShape("mine", prefixes, "x")


def test_an_own_function() -> None:
    """It gets each key with its value, and returns a replacement or KEEP."""

    def plates(key: str, value: object) -> object:
        return "[plate]" if key == "plate" else KEEP

    policy = having(plates)
    assert policy.redact({"plate": "B-AD 1", "cars": [{"plate": "B-AD 2", "n": 1}], "password": "plain7"}) == {
        "plate": "[plate]",
        "cars": [{"plate": "[plate]", "n": 1}],
        "password": "[redacted:credential]",
    }


def test_the_result_of_an_own_function_is_redacted_too() -> None:
    """A mistake in a rule does not leak."""
    policy = having(lambda key, value: {"seen": f"by ada@mine.example: {key}"} if key == "x" else KEEP)
    assert policy.redact({"x": 1}) == {"x": {"seen": "by [redacted:email]: x"}}


def test_an_own_function_that_raises_hides_the_value() -> None:
    """Fail closed, and go on."""

    def broken(key: str, value: object) -> object:
        raise RuntimeError(f"plain7 {value}")

    assert having(broken).redact({"a": "plain7"}) == {"a": "[redacted:rule]"}


def test_the_first_own_function_that_cares_decides() -> None:
    """In the order in which they were added."""
    policy = having(lambda key, value: 1 if key == "a" else KEEP, lambda key, value: 2)
    assert policy.redact({"a": 0, "b": 0}) == {"a": 1, "b": 2}


def test_rules_can_be_replaced() -> None:
    """A policy of one's own rules has no others."""
    policy = RedactionPolicy([KeyRule("badge", words=frozenset({"badge"}))])
    assert policy.redact({"badge": "plain7", "password": "plain7"}) == {
        "badge": "[redacted:badge]",
        "password": "plain7",
    }


def test_a_policy_without_rules_still_makes_strict_json() -> None:
    """And still has its limits."""
    assert RedactionPolicy([]).redact({"a": float("nan"), "b": list(range(20))}) == {
        "a": "nan",
        "b": [*range(10), "[cut:10 more]"],
    }


def test_a_variant_of_a_policy_keeps_its_other_options() -> None:
    """`having` changes what it is given and nothing else."""
    policy = RedactionPolicy(keys=["shoe colour"], allow_keys=["body"]).having(limits=Limits(items=2))
    value = {"shoe_colour": 1, "body": "x"}
    assert policy.redact(value) == {"shoe_colour": "[redacted:key]", "body": "x"}
    assert policy.redact([1, 2, 3]) == [1, 2, "[cut:1 more]"]


def test_each_redaction_is_counted_by_its_rule() -> None:
    """A team sees what its service tries to log."""
    counted: list[str] = []
    policy = RedactionPolicy(count=counted.append)
    policy.redact({"password": "plain7", "note": "ada@mine.example and bob@mine.example", "n": 1})
    assert sorted(counted) == ["credential", "email", "email"]

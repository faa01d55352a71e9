# ruff: noqa: E501, RUF001 - a list of examples.
"""The sets of rules for a country: keys of its languages, national ids, and phone numbers."""

from __future__ import annotations

import re

import pytest

from divan_obs_asgi import ImproperlyConfigured, Settings
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.locales import LOCALES
from tests.pages import Page
from tests.redaction.corpus import of_held_out_makers, of_learned_makers
from tests.redaction.score import scores

EVERY = RedactionPolicy(locales=LOCALES)
NONE = RedactionPolicy(locales=())
NEW = ("position_notation", "locale_national_id", "locale_phone", "locale_key")
# Examples that issuers and encyclopedias publish, each with valid check digits.
PUBLISHED = {
    "ar": "cuit 20-12345678-6", "at": "SVNR 1237 010180", "au": "TFN 123 456 782", "be": "85.07.30-033.28", "br": "529.982.247-25",
    "ca": "SIN 130 692 544", "ch": "756.9217.0769.85", "cl": "12.345.678-5", "cz": "736028/5163", "de": "Steuer-ID 86 095 742 719",
    "dk": "CPR 211062-5629", "es": "12345678Z", "fi": "131052-308T", "fr": "2 55 08 14 168 025 38", "gb": "AB 12 34 56 C", "ie": "PPS 1234567T",
    "in": "2341 2341 2346", "it": "RSSMRA85T10A562S", "mx": "HEGG560427MVZRRL04", "nl": "BSN 111222333", "no": "01010750160",
    "pl": "44051401359", "pt": "NIF 123456789", "ro": "CNP 1800101221144", "se": "811228-9874", "tr": "10000000146", "us": "123-45-6789",
}  # fmt: skip


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


@pytest.mark.parametrize("locale", LOCALES)
def test_a_national_id_with_valid_check_digits_is_redacted(locale: str) -> None:
    """Each locale has a published example, and no id is found while its locale is off."""
    text = f"id {PUBLISHED[locale]} seen"
    assert "[redacted:national_id]" in RedactionPolicy(locales=[locale]).redact_text(text)
    assert NONE.redact_text(text) == text


# The others have no check digit.
@pytest.mark.parametrize("locale", sorted(set(LOCALES) - {"dk", "gb", "us", "in"}))
def test_a_national_id_with_a_wrong_check_digit_stays(locale: str) -> None:
    """A number of an order has the same form. One digit is changed."""
    policy = RedactionPolicy(locales=[locale])
    published = PUBLISHED[locale]
    at = max(index for index, char in enumerate(published[:-2]) if char.isdigit())
    wrong = published[:at] + str((int(published[at]) + 1) % 10) + published[at + 1 :]
    assert policy.redact_text(f"id {wrong} seen") == f"id {wrong} seen"


@pytest.mark.parametrize(
    "text", ["000-12-3456", "666-45-6789", "912-45-6789", "123-00-6789", "123-45-0000", "078-05-1120"]
)
def test_a_social_security_number_out_of_its_ranges_stays(text: str) -> None:
    assert EVERY.redact_text(f"ref {text}") == f"ref {text}"


def test_aadhaar_has_its_check_digit() -> None:
    assert EVERY.redact_text("aadhaar 2341 2341 2345") == "aadhaar 2341 2341 2345"


@pytest.mark.parametrize("text", ["order 10000000146", "took 10000000146 ns", "offset 10000000146", "10000000147"])
def test_a_word_or_a_unit_speaks_for_another_number(text: str) -> None:
    assert RedactionPolicy().redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("gsm: 0532 123 45 67", "gsm: [redacted:phone]"),
        ("telefon numarası 0532 123 45 67 kayıtlı", "telefon numarası [redacted:phone] kayıtlı"),
        ("0532 123 45 67 numaralı telefon", "[redacted:phone] numaralı telefon"),
        ("şifre: gizli123", "şifre: [redacted:credential]"),
        ("parola=gizli123 ok", "parola=[redacted:credential] ok"),
        ("TC kimlik no: 100 000 001 46", "TC kimlik no: [redacted:national_id]"),
        ("dogum_tarihi: 12 Mart 1985 ok", "dogum_tarihi: [redacted:birth_date] ok"),
        ("adres: Moda Cad. No: 5, Kadıköy", "adres: [redacted:postal_address]"),
        ("sifre_uzunlugu=12", "sifre_uzunlugu=12"),
        ("call took 5321234567 ns", "call took 5321234567 ns"),
        ("ip adresi: 10.0.0.1", "ip adresi: 10.0.0.1"),
    ],
)
def test_turkish_is_on_by_default(text: str, redacted: str) -> None:
    policy = RedactionPolicy.from_settings(Settings.from_env({}).redaction)
    assert policy.redact_text(text) == redacted
    assert policy.redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "passwort=geheim77",
        "contraseña: hola123",
        "mot_de_passe: azerty99",
        "senha: abc999",
        "hasło: tajne12",
        "lösenord: hemligt9",
    ],
)
def test_keys_of_other_languages_are_found(text: str) -> None:
    assert EVERY.redact_text(text).endswith("[redacted:credential]")


def test_fields_have_the_same_keys() -> None:
    """Numbers too, and an address of a machine stays."""
    assert EVERY.redact({"telefone": 11987654321, "cpf": "x", "geburtsdatum": "1985-03-12", "user": 10000000146}) == {
        "telefone": "[redacted:phone]",
        "cpf": "[redacted:national_id]",
        "geburtsdatum": "[redacted:birth_date]",
        "user": "[redacted:national_id]",
    }
    assert EVERY.redact({"adres": "10.0.0.1:80", "ip_adresi": "1.2.3.4"}) == {
        "adres": "10.0.0.1:80",
        "ip_adresi": "1.2.3.4",
    }


def test_an_unknown_locale_is_an_error_with_the_list() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"OBS_REDACT_LOCALES.*some of ar, at, au, .*, tr, us"):
        Settings.from_env({"OBS_REDACT_LOCALES": "tr,xx"})
    with pytest.raises(ValueError, match="'xx' is unknown; expected some of ar, at"):
        RedactionPolicy(locales=["xx"])


def test_an_empty_flag_turns_all_locales_off() -> None:
    """The rules are those of a policy without locales, so they cost nothing."""
    policy = RedactionPolicy.from_settings(Settings.from_env({"OBS_REDACT_LOCALES": ""}).redaction)
    text = "gsm 0532 123 45 67, sifre: gizli123, 10000000146"
    assert policy.redact_text(text) == text
    assert len(policy._texts._rules._finders) == len(NONE._texts._rules._finders)


def test_the_documentation_has_every_locale() -> None:
    table = Page("redaction.md").text.partition("| locale | country |")[2].partition("<!--")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(LOCALES)


@pytest.mark.parametrize("kind", NEW)
def test_each_kind_is_found_on_all_makers(kind: str) -> None:
    """Also on those that no rule was written for."""
    for makers in (of_learned_makers(), of_held_out_makers()):
        (score,) = scores({kind: makers[kind]}).values()
        assert score.recall >= 0.98
        assert score.false_positive_rate <= 0.005


@pytest.mark.parametrize("kind", NEW)
def test_a_redacted_case_stays_as_it_is(kind: str) -> None:
    for case in of_held_out_makers()[kind]:
        once = EVERY.redact_text(str(case.value))
        assert EVERY.redact_text(once) == once

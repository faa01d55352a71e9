# ruff: noqa: E501 - a pattern is one line.
"""The sets of rules for a country: its languages' keys, its national ids, and its phone numbers beside a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from divan_obs_asgi.redaction import national_ids as ids
from divan_obs_asgi.redaction.beside import Named, NamedNumbers, NationalIds, Shape
from divan_obs_asgi.redaction.keys import PHONE, KeyRule, phrases
from divan_obs_asgi.redaction.languages import LANGUAGES, MORE_PHONE_WORDS, NATIONAL_ID, PHONE_WORDS, Words
from divan_obs_asgi.redaction.rules import TextRule

DEFAULT_LOCALES = ("tr",)


@dataclass(frozen=True, slots=True)
class Id:
    """
    A national id.

    Attributes:
        title: its name for the documentation.
        shape: a pattern for the id in a text.
        valid: checks the id without its separators.
        words: words that name it, in lower case. If there are any, one of them has to be beside the id.
        bare: a narrower pattern for the id without such a word; by default `shape` if there are no words.
    """

    title: str
    shape: str
    valid: ids.Check
    words: str = ""
    bare: str = ""


@dataclass(frozen=True, slots=True)
class Locale:
    """
    The rules for one country.

    Attributes:
        country: its name.
        languages: names of sets of keys in `LANGUAGES`.
        phone: a pattern for the digits of a national phone number.
        ids: its national ids.
    """

    country: str
    languages: str
    phone: str
    ids: tuple[Id, ...] = ()


_ELEVEN = r"[0-9]{11}"
_NIF = Id("NIF", r"[0-9]{9}", ids.portuguese_nif, "nif contribuinte")
_DATE_FIRST = r"[0-9]{2}[01235678][0-9][0-3][0-9]"

LOCALES: MappingProxyType[str, Locale] = MappingProxyType(
    {
        "ar": Locale(
            "Argentina", "es", r"0?[1-9][0-9]{9}",
            (Id("CUIT", r"[0-9]{2}-?[0-9]{8}-?[0-9]", ids.cuit, "cuit cuil", r"[0-9]{2}-[0-9]{8}-[0-9]"),
             Id("DNI", r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}", ids.always, "dni")),
        ),
        "at": Locale(
            "Austria", "de", r"0[1-9][0-9]{6,11}",
            (Id("SVNR", r"[0-9]{4}[ -]?[0-9]{6}", ids.svnr, "svnr sv-nummer sv-nr sozialversicherungsnummer"),),
        ),
        "au": Locale(
            "Australia", "en", r"0[23478][0-9]{8}",
            (Id("TFN", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", ids.tfn, "tfn tax_file"),),
        ),
        "be": Locale(
            "Belgium", "nl fr", r"0[1-9][0-9]{7,8}",
            (Id("national register number", r"[0-9]{2}\.?[0-9]{2}\.?[0-9]{2}[ -]?[0-9]{3}\.?[0-9]{2}", ids.rijksregister,
                "rijksregisternummer rijksregister nrn niss insz registre_national",
                r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"),),
        ),
        "br": Locale(
            "Brazil", "pt", r"0?[1-9][0-9]9?[2-9][0-9]{7}",
            (Id("CPF", r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}", ids.cpf, "cpf",
                r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}|[0-9]{9}-[0-9]{2}|[0-9]{11}"),
             Id("CNPJ", r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}/?[0-9]{4}-?[0-9]{2}", ids.cnpj, "cnpj",
                r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}")),
        ),
        "ca": Locale(
            "Canada", "en fr", r"1?[2-9][0-9]{2}[2-9][0-9]{6}",
            (Id("SIN", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", ids.sin, "sin nas social_insurance assurance_sociale"),),
        ),
        "ch": Locale(
            "Switzerland", "de fr it", r"0[1-9][0-9]{8}",
            (Id("AHV number", r"756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}", ids.ahv),),
        ),
        "cl": Locale(
            "Chile", "es", r"9?[2-9][0-9]{7,8}",
            (Id("RUT", r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-?[0-9Kk]", ids.rut, "rut run",
                r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]"),),
        ),
        "cz": Locale(
            "Czechia", "cz", r"[2-79][0-9]{8}",
            (Id("birth number", r"[0-9]{6}/?[0-9]{4}", ids.rodne_cislo, "rodne_cislo rc", _DATE_FIRST + r"/[0-9]{4}"),),
        ),
        "de": Locale(
            "Germany", "de", r"0[1-9][0-9]{6,11}",
            (Id("tax id", r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", ids.steuer_id,
                "steuer-id steuerid steuer_id idnr steueridentifikationsnummer identifikationsnummer tin"),),
        ),
        "dk": Locale(
            "Denmark", "no", r"[2-9][0-9]{7}", (Id("CPR number", r"[0-9]{6}-?[0-9]{4}", ids.cpr, "cpr cpr-nr cpr-nummer"),)
        ),
        "es": Locale(
            "Spain", "es", r"[6-9][0-9]{8}",
            (Id("DNI", r"[0-9]{8}[ -]?[A-HJ-NP-TV-Z]", ids.dni), Id("NIE", r"[XYZ][ -]?[0-9]{7}[ -]?[A-HJ-NP-TV-Z]", ids.nie)),
        ),
        "fi": Locale(
            "Finland", "fi se", r"0[1-9][0-9]{5,9}",
            (Id("personal identity code", r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]", ids.hetu),),
        ),
        "fr": Locale(
            "France", "fr", r"0[1-9][0-9]{8}",
            (Id("NIR", r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", ids.nir),),
        ),
        "gb": Locale(
            "United Kingdom", "en", r"0[1-37-9][0-9]{8,9}",
            (Id("NINO", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[A-D]", ids.nino),
             Id("NHS number", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", ids.nhs, "nhs")),
        ),
        "ie": Locale(
            "Ireland", "en", r"0[1-9][0-9]{6,8}", (Id("PPS number", r"[0-9]{7}[A-W][A-I]?", ids.pps, "pps ppsn pps_number"),)
        ),
        "in": Locale(
            "India", "en", r"0?[6-9][0-9]{9}",
            (Id("Aadhaar", r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", ids.aadhaar, "aadhaar aadhar adhaar uidai uid",
                r"[2-9][0-9]{3} [0-9]{4} [0-9]{4}|[2-9][0-9]{3}-[0-9]{4}-[0-9]{4}"),
             Id("PAN", r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", ids.always, "pan pan_card pan_number income_tax")),
        ),
        "it": Locale(
            "Italy", "it", r"3[0-9]{8,9}|0[0-9]{6,10}",
            (Id("codice fiscale",
                r"[A-Z]{6}[0-9L-NP-V]{2}[A-EHLMPRST][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z]", ids.codice_fiscale),),
        ),
        "mx": Locale(
            "Mexico", "es", r"(?:0?1)?[1-9][0-9]{9}",
            (Id("CURP", r"[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]", ids.curp),
             Id("RFC", r"[A-Z&]{3,4}[0-9]{6}[A-Z0-9]{3}", ids.always, "rfc")),
        ),
        "nl": Locale(
            "Netherlands", "nl", r"0[1-9][0-9]{8}",
            (Id("BSN", r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}|[0-9]{4}\.[0-9]{2}\.[0-9]{3}", ids.bsn,
                "bsn burgerservicenummer sofinummer sofi"),),
        ),
        "no": Locale(
            "Norway", "no", r"[2-9][0-9]{7}", (Id("birth number", r"[0-7][0-9][0-5][0-9]{3} ?[0-9]{5}", ids.fodselsnummer),)
        ),
        "pl": Locale("Poland", "pl", r"[1-9][0-9]{8}", (Id("PESEL", _ELEVEN, ids.pesel),)),
        "pt": Locale("Portugal", "pt", r"[29][0-9]{8}", (_NIF,)),
        "ro": Locale("Romania", "ro", r"0[237][0-9]{8}", (Id("CNP", r"[1-9][0-9]{12}", ids.cnp, "cnp cod_numeric"),)),
        "se": Locale(
            "Sweden", "se", r"0[1-9][0-9]{6,9}",
            (Id("personal identity number", r"(?:19|20)?[0-9]{6}[-+]?[0-9]{4}", ids.personnummer,
                "personnummer personnr pnr samordningsnummer", r"(?:19|20)?[0-9]{6}[-+][0-9]{4}|(?:19|20)[0-9]{10}"),),
        ),
        "tr": Locale(
            "Turkey", "tr", r"0?[2-58][0-9]{9}",
            (Id("TC kimlik", r"[1-9][0-9]{10}|[1-9][0-9]{2} [0-9]{3} [0-9]{3} [0-9]{2}", ids.tckn,
                "tckn kimlik tc t.c tc_kimlik nufus", r"[1-9][0-9]{10}"),
             Id("tax number", r"[0-9]{10}", ids.vkn, "vkn vergi")),
        ),
        "us": Locale(
            "United States", "en", r"1?[2-9][0-9]{2}[2-9][0-9]{6}",
            (Id("SSN", r"[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}", ids.ssn, "ssn social_security social ss",
                r"[0-9]{3}-[0-9]{2}-[0-9]{4}"),),
        ),
    }
)  # fmt: skip


@lru_cache(maxsize=64)
def locale_rules(names: tuple[str, ...]) -> tuple[KeyRule | TextRule, ...]:
    """
    Return the rules of some locales; none for none.

    Raises:
        ValueError: for an unknown locale.
    """
    unknown = sorted(set(names) - set(LOCALES))
    if unknown:
        raise ValueError(f"The locale {unknown[0]!r} is unknown; expected some of {', '.join(LOCALES)}.")
    if not names:
        return ()
    chosen = [LOCALES[name] for name in sorted(set(names))]
    languages = list(dict.fromkeys(["en", *(each for locale in chosen for each in locale.languages.split())]))
    phone_words = " ".join([PHONE_WORDS, *_more_words(languages)])
    named = [Named(PHONE, frozenset(phone_words.split()), "|".join(locale.phone for locale in chosen))]
    bare: list[Shape] = []
    for each in (each for locale in chosen for each in locale.ids):
        if each.words:
            named.append(Named(NATIONAL_ID, frozenset(each.words.split()), each.shape, each.valid))
        if not each.words or each.bare:
            bare.append(Shape(each.bare or each.shape, each.valid))
    texts: list[NationalIds | NamedNumbers] = (
        [NationalIds(tuple(bare)), NamedNumbers(tuple(named))] if bare else [NamedNumbers(tuple(named))]
    )
    return (*_key_rules(languages), *(TextRule(rule.find, rule.sign) for rule in texts))


def _more_words(languages: Iterable[str]) -> Iterable[str]:
    for language in languages:
        yield MORE_PHONE_WORDS.get(language, "")
        # Single words that are a key of a phone: `telefon`.
        known = _phrases(LANGUAGES[language], PHONE)
        yield " ".join(phrase for phrase in sorted(known[0] | known[1]) if " " not in phrase)


def _phrases(words: Words, rule: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the phrases that match anywhere, at the end of a key, and those that prevent a match."""
    every = phrases(words.get(rule, ""))
    anywhere = frozenset(phrase[1:] for phrase in every if phrase[0] == "!")
    unless = frozenset(phrase[1:] for phrase in every if phrase[0] == "?")
    return anywhere, frozenset(phrase for phrase in every if phrase[0] not in "!?"), unless


def _key_rules(languages: Iterable[str]) -> list[KeyRule]:
    rules = []
    for language in languages:
        for name in LANGUAGES[language]:
            anywhere, last, unless = _phrases(LANGUAGES[language], name)
            rules.append(KeyRule(name, words=anywhere, last=last, unless=unless))
    return rules


__all__ = ["DEFAULT_LOCALES", "LOCALES", "Locale", "locale_rules"]

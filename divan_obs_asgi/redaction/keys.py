"""Decides by the words of a key, not by its letters, whether its value may leave the process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from divan_obs_asgi.redaction.letters import LOOK_ALIKES, plain
from divan_obs_asgi.redaction.scripts import ABOUT, STAND_INS, with_stand_ins

# `userLat`, `user_lat`, `X-User-Lat` and `user.lat` are the same words, and `latency` is not `lat`.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
_MAX_KEY = 256
# A longer key is data. Its last words count.
_MAX_WORDS = 16
_LONGEST_PHRASE = 3


def words(text: str) -> frozenset[str]:
    """Return the words of `text`, which are separated by blanks."""
    return frozenset(text.split())


def phrases(text: str) -> frozenset[str]:
    """Return the phrases of `text`, which are separated by commas or line ends."""
    return frozenset(phrase.strip() for phrase in re.split(r"[,\n]", text) if phrase.strip())


# A key that ends or begins with such a word describes a secret but does not hold it: `token_type`, `email_verified`,
# `content_length`, `geo_country`, `is_token_valid`, `max_tokens`.
_ABOUT = words(
    """
    age alg algorithm at attempts backend banner bytes callback changed chars city class config consent continent
    count counter country created disabled domain duration elapsed enabled encoding endpoint error errors exp
    expiration expired expires expiry failed failures field fields file format handler header headers hint
    history helper hits host index interval invalid issuer kind latency len length level lifetime limit manager max
    method metric middleware migration min misses missing mode model module ms name names ok opted optional
    owner param parser path policy port precision prefix present provider quality quota rate ratio regex
    region reject rejected required requirements reset retries rotated rotation route router rule rules schema
    scope scopes score sec seconds sent server service size source stats status store strategy strength
    subscribed success suffix table template timeout timestamp timezone total ttl type types unit updated uri
    url usage used valid validation validator verified version window zone zoneinfo
    """
)
_ASKS = words(
    """
    allow allowed can count enable enabled has hide is max min needs no num require requires show use
    """
)
# Words that are often joined to others without a separator: `PGPASSWORD`, `csrftoken`, `clientsecret`.
GLUED_WORDS = (
    "password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "accesskey", "privatekey", "secretkey",
    "credential", "credentials", "authorization", "sessionid", "sessid", "cookie", "cookies",
)  # fmt: skip
_GLUED = re.compile(rf"(?:{'|'.join(GLUED_WORDS)})\Z")


@dataclass(frozen=True, slots=True)
class KeyRule:
    """
    Redacts the value of any key with these words.

    Attributes:
        name: the name in the marker and in the metric.
        words: phrases that match anywhere in a key: "api key" matches `xApiKeyPlain`.
        last: phrases that match only at the end of a key: "body" matches `message_body` but not `body_type`.
        exact: phrases that match only the whole key: "text".
        unless: phrases that prevent a match.
        glued: whether a word that ends in the name of a credential matches: `pgpassword`.
        strict: whether a key matches even if it seems to describe the value only: `shoe_size` for "shoe size".

    Phrases are in lower case with one space between the words. A key that describes a secret but does not hold it
    (`password_length`, `has_email`) does not match, unless it is listed in `exact` or ends in at least two words of
    `last` (`signed_url`).

    Raises:
        ValueError: for an invalid phrase.
    """

    name: str
    words: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    glued: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        for phrase in self.words | self.last | self.exact | self.unless:
            words = split_words(phrase)
            if not words or phrase != " ".join(words) or len(words) > _LONGEST_PHRASE:
                raise ValueError(
                    f"KeyRule {self.name!r} has {phrase!r}; expected one to three lower-case words with a space "
                    "between: 'api key'."
                )

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether the rule matches a key of these words (lower case, without numbers at the end)."""
        whole = " ".join(words)
        if whole in self.exact:
            return True
        if self.strict and not self.words.isdisjoint(_runs(tuple(words))):
            return True
        if not words or (len(words) > 1 and words[0] in _ASKS) or not self.unless.isdisjoint(_runs(tuple(words))):
            return False
        if not self.last.isdisjoint(" ".join(words[-size:]) for size in range(2, _LONGEST_PHRASE + 1)):
            return True
        if is_about(words):
            return False
        if words[-1] in self.last:
            return True
        return not self.words.isdisjoint(_runs(tuple(words))) or (self.glued and any(map(_GLUED.search, words)))


class KeyIndex:
    """The key rules of one policy, with a cache of results."""

    # Keys come from code, and there are few. A larger number means that data is used as keys.
    _MEMORY = 4096

    def __init__(self, rules: Iterable[KeyRule], allowed: Iterable[str] = ()) -> None:
        self._rules = tuple(rules)
        self._allowed = {meaningful_words(key) for key in allowed}
        self._known: dict[str, str | None] = {}

    def rule_for(self, key: str) -> str | None:
        """Return the name of the rule that redacts the value of `key`, or None."""
        try:
            return self._known[key]
        except KeyError:
            pass
        words = meaningful_words(_as_read(key))
        name = None
        # A key that was a secret itself is a marker now, and a marker does not name a secret.
        allowed = words in self._allowed or (not key.isascii() and meaningful_words(key) in self._allowed)
        if not allowed and not key.startswith("[redacted:"):
            name = self._name_of(words) or self._name_of(_in_any_case(key))
        if len(self._known) < self._MEMORY and len(key) <= _MAX_KEY:
            self._known[key] = name
        return name

    def _name_of(self, words: Sequence[str]) -> str | None:
        return next((rule.name for rule in self._rules if rule.matches(words)), None) if words else None


def _in_any_case(key: str) -> tuple[str, ...]:
    """Return the words of a key regardless of capitals, if the last word is a credential: `x-PaSsWoRd`."""
    words = meaningful_words(_as_read(key).lower())
    return words if words and words[-1] in GLUED_WORDS else ()


def _as_read(key: str) -> str:
    """Return a key as a person reads it: without look-alikes, invisible characters and escapes."""
    key = plain(key[-_MAX_KEY:])
    return key if key.isascii() else with_stand_ins(key).translate(LOOK_ALIKES)


def split_words(key: str) -> tuple[str, ...]:
    """Return the words of a key in lower case."""
    return tuple(word.lower() for word in _WORDS.findall(key[-_MAX_KEY:])[-_MAX_WORDS:])


def meaningful_words(key: str) -> tuple[str, ...]:
    """Return the words of a key without the numbers at its end: `password_2` is a password."""
    words = split_words(key)
    while words and words[-1].isdecimal():
        words = words[:-1]
    return words


def is_about(words: Sequence[str]) -> bool:
    """Return whether the key describes a secret (`password_length`) but does not hold it."""
    return len(words) > 1 and words[-1] in _ABOUT


# Cached, because all rules need the runs of one key, one after the other.
@lru_cache(maxsize=64)
def _runs(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        " ".join(words[start : start + size])
        for size in range(1, _LONGEST_PHRASE + 1)
        for start in range(len(words) - size + 1)
    )


CREDENTIAL = "credential"
COOKIE = "cookie"
BODY = "body"
FILE_KEY = "file_key"
EMAIL = "email"
PHONE = "phone"
PERSON = "person_name"
POSITION = "position"
PAYMENT = "payment"

KEY_RULES: tuple[KeyRule, ...] = (
    KeyRule(
        COOKIE,
        words=phrases("cookie, cookies, session id, sessionid, session key, session token, phpsessid, jsessionid"),
        last=phrases(
            "sid, sessid, user session, login session, auth session, http session, web session, browser session"
        ),
        exact=phrases("session"),
    ),
    KeyRule(
        CREDENTIAL,
        words=phrases(
            """
            password, passwords, passwd, passphrase, passcode, pwd, secret, secrets, token, jwt, apikey, api key
            access key, private key, secret key, signing key, encryption key, decryption key, master key
            auth key, account key, shared key, ssh key, host key, authkey, authorization, credential
            credentials, creds, csrf, xsrf, otp, totp, signature, x amz signature, connection string, auth code
            verification code, security code, access code, access tokens, api tokens, refresh tokens
            auth tokens, bearer tokens, device tokens, push tokens, user tokens, pass word, pass phrase
            pass code, recovery code, recovery codes, backup code, backup codes, mfa code, pin code
            subscription key, license key, licence key, api keys, psk, pswd, psw, bindpw, rootpw, seed phrase
            passwort, kennwort, motdepasse, mot de passe, contrasena, senha, wachtwoord
            webhook secret, client secret, googleaccessid, awsaccesskeyid, key pair id, hdnts, hdnea
            """
        ),
        last=phrases("pass, pw, pin, sig, auth, bearer, dsn, assertion, authorization code, userpass, hmac, nonce"),
        exact=phrases("api key, token, password, secret, cvv, cvc, basic auth, proxy authorization, auth header"),
        unless=phrases(
            """
            public key, token bucket, csp nonce
            """
        ),
        glued=True,
    ),
    KeyRule(
        BODY,
        last=phrases("body, content, contents, message text, chat text, chat message, msg text, message content"),
        exact=phrases("text, message body, caption, comment text, post text, plaintext"),
    ),
    KeyRule(
        FILE_KEY,
        words=phrases(
            """
            file key, s 3 key, object key, storage key, blob key, upload key, media key, attachment key, document key
            image key, avatar key, photo key, video key, bucket key, filekey, presigned, presigned url
            """
        ),
        exact=phrases("signed url, presigned url, pre signed url, sas url, upload url, download url, s 3 key"),
        last=phrases("signed url, presigned url, s 3 key"),
    ),
    KeyRule(
        EMAIL,
        words=phrases("email, emails, e mail, mail address, mailaddress, emailaddress, mailto"),
        last=phrases("mail, useremail"),
    ),
    KeyRule(
        PHONE,
        words=phrases("phone, phones, phonenumber, telephone, msisdn, mobile number, mobilenumber, fax number"),
        last=phrases("tel, fax, whatsapp"),
        exact=phrases("mobile"),
        unless=phrases("phone model, phone os"),
    ),
    KeyRule(
        PERSON,
        exact=phrases(
            """
            first name, last name, full name, given name, family name, middle name, maiden name, birth name, real name
            legal name, firstname, lastname, fullname, givenname, familyname, fname, lname, surname, forename
            """
        ),
        last=phrases(
            """
            first name, last name, full name, given name, family name, middle name, maiden name, real name, legal name
            firstname, lastname, fullname, surname, forename, given names, patient name, customer name, cardholder name
            holder name, cardholder, person name
            """
        ),
    ),
    KeyRule(
        POSITION,
        words=phrases(
            """
            lat, lon, lng, latitude, longitude, coordinates, coordinate, coords, latlng, latlon, lnglat, lonlat
            geolocation, geohash, gps, mlat, mlon, geo point, geo location, geopoint, position exact, lat lng, long lat
            """
        ),
        last=phrases(
            """
            geo, plus code, pluscode, open location code, h 3 index, h 3 cell, h 3 id, s 2 cell, s 2 token
            mgrs, maidenhead, what 3 words, w 3 w, ewkb, wkb, ewkt, wkt, geo hash, geojson, geo json, quadkey
            """
        ),
    ),
    KeyRule(
        PAYMENT,
        words=phrases("card number, cardnumber, credit card, creditcard, debit card, card no, account number, ssn"),
        last=phrases("iban, passport number, social security number, cvv, cvc"),
        exact=phrases("pan, iban"),
    ),
    # In other scripts than Latin. `JX_PASSWORD` is a password: only there does the stand-in say what a key is about.
    *(KeyRule(name, words=frozenset({word}), unless=frozenset({ABOUT})) for name, word in STAND_INS.items()),
)

__all__ = ["GLUED_WORDS", "KEY_RULES", "KeyIndex", "KeyRule", "meaningful_words", "phrases", "split_words"]

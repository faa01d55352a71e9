# ruff: noqa: E501 - a pattern is one line.
"""Secrets in statements, calls and sentences: SQL, configuration files, command lines, dumps of PHP, stack traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from divan_obs_asgi.redaction.placeholders import is_placeholder
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_QUOTED = r"(?:'(?P<single>[^'\n]{1,256})'|\"(?P<double>[^\"\n]{1,256})\")"
_OTHER = r"(?:'[^'\n]{0,256}'|\"[^\"\n]{0,256}\")"
# A word with a letter and a digit: where nothing else separates it from a sentence.
_WORD = r"(?P<word>(?=[^\s]{0,256}\d)(?=[^\s]{0,256}[A-Za-z])[^\s\"',;()<>\[\]{}$?:=/]{6,256})"
_NOUN = r"(?:password|passwd|passphrase|passcode|api key|(?:access|api|auth|refresh|reset) token)"
_BECAME = r"(?:is|was|are|has been|have been|became|set|changed|reset|updated)(?: (?:now|set|changed|reset|updated|to|as|from)){0,3}"
# The end of a name, and what may stand between it and an operator.
_KEY = r"(?:password|passwd|passphrase|secret|_token|api_?key)"
_CLOSED = r"[\"'`\])]{0,3} ?"
# A word that is a value in prose, a placeholder, or the name of an algorithm.
_NO_SECRET = re.compile(
    rb"(?:[*x]+|\$\{?\w+\}?|%s|:\w+|\?|<\w+>|\[redacted:\w+\]|(?:is|must|and|cannot|should)(?:\s.*)?|field"
    rb"|(?i:sha|md|aes|scram|hmac|bcrypt|argon|base|pbkdf|scrypt|utf|v)[-_]?\d{1,4})\Z",
    re.DOTALL,
)


@dataclass(frozen=True)
class Statement:
    """
    A statement that holds a secret.

    Attributes:
        sign: an RE2 pattern that matches wherever `pattern` may.
        pattern: a pattern whose last group is the secret.
    """

    sign: str
    pattern: str

    @cached_property
    def compiled(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern.encode(), re.MULTILINE)

    def find(self, view: View) -> Iterator[Found]:
        """Yield the secrets of such statements."""
        for match in self.compiled.finditer(view.raw):
            if not view.takes():
                yield match.start(), len(view.raw), UNREAD
                return
            name = match.lastgroup
            assert name is not None
            if _NO_SECRET.match(match[name]) is None and (
                name != "word" or not is_placeholder(view.raw, *match.span(name))
            ):
                yield match.start(name), match.end(name), "credential"


STATEMENTS = (
    # CREATE USER ... PASSWORD '...', IDENTIFIED BY '...', PASSWORD('...'), `with password "..."`
    Statement(
        r"(?i)(?:password|\bby)[ (]\(? ?['\"]",
        r"(?i:(?<![\w-])(?:password|identified(?: with \w{1,32})? by))(?: \(? ?|\( ?)" + _QUOTED,
    ),
    # SET PASSWORD FOR 'ada'@'%' = '...'
    Statement(
        r"(?i)\bset password for ",
        r"(?i:\bset password for) [^\s=]{1,256} ?= ?(?i:password\()?" + _QUOTED,
    ),
    # setPassword("..."), withToken("..."), check_password('...', hashed)
    Statement(
        r"(?i)(?:password|passphrase|secret|token|api_?key)(?:_?hash)?\(b?['\"]",
        r"(?i:(?:set|with|update|change|check|compare|confirm|encrypt|hash|reset|validate|verify)_?(?:user_?)?"
        r"(?:password|passphrase|secret|token|api_?key)(?:_?hash)?)\(b?" + _QUOTED,
    ),
    # The password is what such a function takes second.
    Statement(
        r"(?i)(?:check|verify)_?password_?hash\(",
        rf"(?i:(?:check|verify)_?password_?hash)\((?:{_OTHER}|[\w.]{{1,64}}), ?" + _QUOTED,
    ),
    # Comparisons, of SQL and of programs.
    Statement(
        rf"(?i){_KEY}{_CLOSED}(?:[!<~]=|<>|!==|~|(?:not )?(?:i?like|in)\b)\s*[\[({{]?\s*['\"]",
        rf"(?i:{_KEY}){_CLOSED}(?:[!<~]=|<>|!==|~|(?i:(?:not )?i?like)) ?" + _QUOTED,
    ),
    Statement(
        rf"(?i){_KEY}{_CLOSED}(?:not )?in ?[\[({{]",
        rf"(?i:{_KEY}){_CLOSED}(?i:(?:not )?in) ?(?:\(|\[|\{{) ?(?P<listed>['\"][^\])}}\n]{{1,1024}})",
    ),
    Statement(
        rf"(?i)['\"] ?[!=]==? ?[\w.]*{_KEY}",
        _QUOTED + rf" ?[!=]==? ?(?:[\w]{{1,32}}\.){{0,4}}\w{{0,32}}(?i:{_KEY})\b",
    ),
    # ["password":protected]=> string(12) "..."
    Statement(
        r"\]=>\s+string\(",
        r"\[\"[\w ]{0,64}(?i:password|passwd|passphrase|secret|token|api_?key)\"(?::[\w\"\\:]{1,64})?\]=>\s{1,16}string\(\d{1,6}\) "
        + _QUOTED,
    ),
    # variable "db_password" { default = "..." }
    Statement(
        r"variable \"",
        r"variable \"\w{0,64}(?:password|secret|token|api_key)\" \{\s{0,8}(?:\w{1,32}\s{0,8}= [\w\"]{1,64}\s{1,8}){0,4}default\s{0,8}= "
        + _QUOTED,
    ),
    Statement(r"jdbc:oracle|sqlplus ", r"(?:jdbc:oracle:\w{1,8}:|sqlplus )\w{1,64}/(?P<oracle>[^@\s\"']{1,256})@"),
    Statement(r"rman ", r"(?<![\w-])rman (?:target )?\w{1,64}/(?P<rman>[^@\s\"']{1,256})"),
    # PostgreSQL's password file.
    Statement(
        r":(?:5432|6432):[^:\s]+:[^:\s]+:\S",
        r"(?<![^\s\"'])[\w.*-]{1,128}:(?:5432|6432):[^:\s]{1,64}:[^:\s]{1,64}:(?P<pgpass>[^\s\"']{1,256})",
    ),
    Statement(
        r"--(?:user|userpass|auth|creds|credentials?)[ =]['\"]?[^\s:]+:",
        r"(?<![\w-])--(?:user|userpass|auth|creds|credentials?)[ =]['\"]?[^\s:\"']{1,64}:" + _WORD,
    ),
    Statement(
        r" login [^\n]* -p",
        r"(?:docker|podman|helm|buildah|skopeo)(?: registry)? login [^\n]{0,128}? -p[ =]?(?P<login>[^\s\"'-][^\s\"']{0,255})",
    ),
    Statement(r"ldap\w+ [^\n]*-w", r"(?<![\w-])ldap\w{2,12}(?: [^\n]{0,128}?)? -w ?(?P<ldap>[^\s\"'-][^\s\"']{0,255})"),
    Statement(
        r"https? [^\n]*(?:--auth|-a)[ =]",
        r"(?<![\w-])https? (?:[^\n]{0,64}? )?(?:--auth|-a)[ =](?P<httpie>[^\s\"':]{1,64}:[^\s\"']{1,256})",
    ),
    Statement(r"login \S+\s+password ", r"(?:^|\s)login [^\s]{1,64}\s{1,8}password (?P<netrc>[^\s]{1,256})"),
    Statement(
        r"(?i)(?:requirepass|masterauth|primaryauth)\"? ",
        r"(?<![\w-])(?i:requirepass|masterauth|primaryauth)\"? [\"']?(?P<redis>[^\s\"']{1,256})",
    ),
    Statement(r"SecureString ", r"ConvertTo-SecureString (?:-String )?" + _QUOTED),
    Statement(r"/webhookb2/", r"\.office\.com/webhookb2/(?P<teams>[^\s\"'<>]{16,512})"),
    Statement(r"(?i)x-functions-key", r"(?i:x-functions-key): ?(?P<functions>[^\s\"',]{8,256})"),
    # Calls with a user and a password by position, as PHP's stack traces have them.
    Statement(
        r"connect\(['\"]|__construct\(['\"]|new (?:PDO|mysqli)\(|getConnection\(['\"]",
        r"(?:\bmysqli?_p?connect|\b(?:mysqli|PDO)->__construct|\bnew (?:PDO|mysqli)|\bDriverManager\.getConnection)"
        rf"\({_OTHER}, ?{_OTHER}, ?" + _QUOTED,
    ),
    Statement(
        r"bind(?:_s)?\([^\n]*, ?['\"]",
        rf"\b(?:ldap_)?(?:simple_)?bind(?:_s)?\([^'\"\n]{{0,64}}{_OTHER}, ?" + _QUOTED,
    ),
    Statement(
        r"(?i)(?:log_?in|sign_?in|authenticate|credentials|basic_?auth)\(['\"]",
        r"(?<![\w$])(?:log_?[iI]n|sign_?[iI]n|authenticate|setCredentials|basic_?[aA]uth|withBasicAuth|(?:HTTP)?(?:Basic|Digest)Auth)"
        rf"\({_OTHER}, ?" + _QUOTED,
    ),
    # Sentences.
    Statement(
        rf"(?i)(?:(?:with|using|new|old|and|by) (?:the )?{_NOUN}|(?:bad|wrong|invalid|incorrect) (?:{_NOUN}|token)(?: provided:)?) ",
        rf"(?i:\b(?:(?:with|using|new|old|and|by) (?:the )?{_NOUN}|(?:bad|wrong|invalid|incorrect) (?:{_NOUN}|token)(?: provided:)?)) [\"']?"
        + _WORD + r"(?=[\s,;.\"']|\Z)",
    ),
    Statement(
        rf"(?i){_NOUN} {_BECAME}",
        rf"(?i:(?<![\w-]){_NOUN}) {_BECAME}:? [\"']?" + _WORD + r"(?=[\s,;.\"']|\Z)",
    ),
    Statement(
        rf"(?i){_NOUN} (?:was )?changed from \S+ to ",
        rf"(?i:(?<![\w-]){_NOUN} (?:was )?changed from) [^\s]{{1,256}} to [\"']?" + _WORD + r"(?=[\s,;.\"']|\Z)",
    ),
    Statement(
        r"(?i)(?:password|passphrase|pin) \S+ (?:re|acc|is|does|did|failed)",
        r"(?i:(?<![\w-])(?:password|passphrase|pin)) " + _WORD
        + r"(?= (?:rejected|refused|accepted|is (?:wrong|weak|not|too|incorrect)|does not|did not|failed)\b)",
    ),
    Statement(r"(?i)(?:secret|api key) ['\"]", r"(?i:(?<![\w-])(?:secret|api key)) " + _QUOTED),
    Statement(
        r"(?i)(?:password|passphrase|pin) for \S+: ",
        r"(?i:(?<![\w-])(?:password|passphrase|pin)) for [^\s:]{1,128}(?::[^\s:]{1,128})?: (?P<word>[^\s\"']{1,256})(?=\s{0,4}(?:$|\Z))",
    ),
    Statement(
        r" is not (?:a|the) (?:valid|correct|right) (?:password|passphrase|pin)\b",
        r"(?<![^\s\"'])" + _WORD + r" is not (?:a|the) (?:valid|correct|right) (?:password|passphrase|pin)\b",
    ),
    Statement(r"chpasswd", r"(?<![^\s\"'])(?P<chpasswd>[^\s:\"']{1,64}:[^\s\"']{1,256})[\"']? ?\| ?(?:sudo )?chpasswd"),
    Statement(
        r"(?i)\becho [^\n]*\| ?(?:sudo )?(?:passwd --stdin|sudo -S|kinit|[\w-]+ [^\n]*--password-stdin)",
        r"\becho (?:-\w{1,2} )?(?P<quoted>[\"'])?(?P<echoed>(?(quoted)[^\"'\n]|[^\s\"'|]){1,256})[\"']? ?\| ?(?:sudo )?"
        r"(?:passwd --stdin|sudo -S|kinit\b|[\w-]{1,32} [^\n|]{0,128}?--password-stdin)",
    ),
)  # fmt: skip

__all__ = ["STATEMENTS", "Statement"]

# ruff: noqa: E501 - a pattern is one line.
"""Secrets in statements and calls: SQL, configuration files, command lines, dumps of PHP and connection strings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.redaction.view import UNREAD, Found, View

_QUOTED = r"(?:'(?P<{0}>[^'\n]{{1,256}})'|\"(?P<{0}2>[^\"\n]{{1,256}})\")"
# Each has a literal part that the sign finds.
_SHAPES = (
    # CREATE USER ... PASSWORD '...', IDENTIFIED BY '...', PASSWORD('...'), `with password "..."`
    r"(?i:(?<![\w-])(?:password|identified(?: with \w{1,32})? by))(?: \(? ?|\( ?)" + _QUOTED.format("sql"),
    # setPassword("..."), withToken("...")
    r"(?:[sS]et|[wW]ith|[uU]pdate|[cC]hange)(?:Password|Passphrase|Secret|Token|ApiKey)\(" + _QUOTED.format("call"),
    # ["password":protected]=> string(12) "..."
    r"\[\"[\w ]{0,64}(?i:password|passwd|passphrase|secret|token|api_?key)\"(?::[\w\"\\:]{1,64})?\]=>\s{1,16}string\(\d{1,6}\) "
    + _QUOTED.format("php"),
    # variable "db_password" { default = "..." }
    r"variable \"\w{0,64}(?:password|secret|token|api_key)\" \{\s{0,8}(?:\w{1,32}\s{0,8}= [\w\"]{1,64}\s{1,8}){0,4}default\s{0,8}= "
    + _QUOTED.format("hcl"),
    r"(?:jdbc:oracle:\w{1,8}:|sqlplus )\w{1,64}/(?P<oracle>[^@\s\"']{1,256})@",
    r"(?:docker|podman|helm|buildah|skopeo)(?: registry)? login [^\n]{0,128}? -p[ =]?(?P<login>[^\s\"'-][^\s\"']{0,255})",
    r"(?<![\w-])ldap\w{2,12} [^\n]{0,128}? -w ?(?P<ldap>[^\s\"'-][^\s\"']{0,255})",
    r"(?<![\w-])https? (?:[^\n]{0,64}? )?(?:--auth|-a)[ =](?P<httpie>[^\s\"':]{1,64}:[^\s\"']{1,256})",
    r"(?:^|\s)login [^\s]{1,64}\s{1,8}password (?P<netrc>[^\s]{1,256})",
    r"(?<![\w-])(?:requirepass|masterauth) (?P<redis>[^\s\"']{1,256})",
    r"ConvertTo-SecureString (?:-String )?" + _QUOTED.format("powershell"),
    r"\.office\.com/webhookb2/(?P<teams>[^\s\"'<>]{16,512})",
    r"(?i:x-functions-key): ?(?P<functions>[^\s\"',]{8,256})",
)
_FIND = re.compile("|".join(_SHAPES).encode(), re.MULTILINE)
STATEMENTS_SIGN = (
    r"(?i)(?:password|\bby)[ (]\(? ?['\"]|(?:password|passphrase|secret|token|apikey)\(['\"]|\]=>\s+string\("
    r"|variable \"|jdbc:oracle|sqlplus |login |ldap\w+ |--auth|https? [^\n]*-a[ =]|requirepass |masterauth |SecureString |/webhookb2/"
    r"|x-functions-key"
)
# A word that is a value in prose or a placeholder.
_NO_SECRET = re.compile(
    rb"(?:[*x]+|\$\{?\w+\}?|%s|:\w+|\?|<\w+>|\[redacted:\w+\]|(?:is|must|and|cannot|should)(?:\s.*)?|field)\Z",
    re.DOTALL,
)


def find_statements(view: View) -> Iterator[Found]:
    """Yield the secrets of statements."""
    for match in _FIND.finditer(view.raw):
        if not view.takes():
            yield match.start(), len(view.raw), UNREAD
            return
        name = match.lastgroup
        assert name is not None
        if _NO_SECRET.match(match[name]) is None:
            yield match.start(name), match.end(name), "credential"


__all__ = ["STATEMENTS_SIGN", "find_statements"]

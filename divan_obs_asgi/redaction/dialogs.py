# ruff: noqa: E501 - a pattern is one line.
"""Credentials in the commands of protocols: Redis, SMTP, IMAP, POP3, FTP and IRC."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.redaction.placeholders import SECRET_LOOK, is_placeholder
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_LINE = r"(?:\r?\n|(?:\\{1,7}r)?\\{1,7}n)"
_END = r"(?=[\"']?(?:\\{1,7}r)?(?:\\{1,7}n)?[\"']?[ \t]{0,4}\r?(?:$|\Z))"
_MECHANISM = r"(?:PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|NTLM|GSSAPI|XOAUTH2|OAUTHBEARER|ANONYMOUS|EXTERNAL|SCRAM-SHA-(?:1|256)(?:-PLUS)?)"
# The names of groups whose value must look like a secret, because the words before it are those of a sentence as well,
# begin with "w".
_SHAPES = (
    # Redis: as MONITOR and SLOWLOG write it.
    # And as a list of Python or JSON.
    r"(?i:\"AUTH2?\"(?:,? \"[^\"\n]{0,256}\")?),? \"(?P<monitor>[^\"\n]{1,1024})\"",
    r"(?i:'AUTH2?'(?:, b?'[^'\n]{0,256}')?), b?'(?P<listed>[^'\n]{1,1024})'",
    # Redis: in its protocol (RESP).
    rf"(?i:AUTH2?){_LINE}(?:\$\d{{1,6}}{_LINE}(?P<user>[^\r\n\\]{{0,256}}){_LINE}(?=\$))?\$\d{{1,6}}{_LINE}(?P<resp>[^\r\n\\]{{1,1024}})",
    r"(?i:\bHELLO [23] AUTH) [^\s]{1,256} (?P<hello>[^\s\"']{1,1024})",
    r"\bAUTH2 [^\s]{1,256} (?P<migrate>[^\s\"']{1,1024})",
    r"\bAUTH (?P<waits>[^\s\"']{4,1024})(?= KEYS\b)",
    # Redis: a user, or none.
    rf"(?<![\w-])(?:AUTH|auth(?= default )) default (?P<default>[^\s\"']{{1,1024}}){_END}",
    rf"(?<![\w-])AUTH (?!{_MECHANISM}\b)(?!(?:took|in|after|request|from|for|by|via|with|using|to|on|at|is|was|error|code|step|phase|try|attempt) )"
    rf"(?:[\w.@-]{{1,64}} )?(?P<wauth>[^\s\"']{{4,1024}}){_END}",
    # redis-cli after CONFIG GET.
    rf"\"(?:requirepass|masterauth|primaryauth)\"{_LINE}\s{{0,8}}2\) \"(?P<config>[^\"\n]{{1,1024}})\"",
    # SMTP: RFC 4954; the answer to "Password:".
    rf"(?<![\w-])AUTH {_MECHANISM} (?!{_MECHANISM}\b)(?P<smtp>[A-Za-z0-9+/]{{6,4096}}={{0,2}}){_END}",
    rf"334 UGFzc3dvcmQ6[\"']?{_LINE}(?:[^\r\n]{{0,48}}?[:>] ?)?[\"']?(?P<answer>[A-Za-z0-9+/]{{4,4096}}={{0,2}})(?=[\s\"'\\]|\Z)",
    # IMAP: RFC 9051, section 6.2.3.
    rf"\b[A-Za-z]{{0,8}}\d{{1,8}} (?i:LOGIN) (?:\"[^\"\n]{{1,256}}\"|[^\s\"]{{1,256}}) \"?(?P<wimap>[^\s\"]{{1,1024}}){_END}",
    # POP3 and FTP.
    rf"(?:(?:C:|>{{1,3}}|<-|->|sent|send:) ?['\"]?|USER [^\s]{{1,128}}(?:{_LINE}[^\w\n]{{0,8}}|\s))PASS (?P<pass>[^\s\"'\\]{{1,1024}}){_END}",
    # IRC.
    rf"(?i:\bNickServ :?(?:IDENTIFY|REGISTER|GHOST|SET PASSWORD)|\bMSG NickServ IDENTIFY)(?: [^\s]{{1,64}})? (?P<irc>[^\s\"']{{1,256}}){_END}",
    rf"(?:^|[>:] ?)OPER [^\s]{{1,64}} (?P<woper>[^\s\"']{{1,256}}){_END}",
)
_FIND = re.compile("|".join(_SHAPES).encode(), re.MULTILINE)
# ACL SETUSER ada on >password <removed #digest
# The same in a file of them: user ada on >password
_ACL = re.compile(rb"(?:\"?ACL\"? \"?SETUSER\"?|\buser [^\s]{1,128} (?:on|off)) [^\n]{1,2048}", re.IGNORECASE)
_PASSWORDS = re.compile(rb"(?<=[\s\"])[<>#!](?P<value>[^\s\"']{1,1024})")

DIALOGS_SIGN = (
    r"\bAUTH2?(?:\"?[ ]|\\*\r?\n|\\+[rn])|(?i:[\"']auth2?[\"'],? )|(?i:auth2?(?:\r?\n|\\+r?\\*n?)\$)|(?i:\bhello [23] auth )|\bauth default |UGFzc3dvcmQ6"
    r"|\d (?i:LOGIN) |\bPASS |(?i:nickserv)|\bOPER |(?i:\bacl\"? \"?setuser)|(?i:\buser \S+ (?:on|off) [^\n]*[<>#])|\"(?:requirepass|masterauth|primaryauth)\"\s"
)


def find_dialogs(view: View) -> Iterator[Found]:
    """Yield the credentials of such commands."""
    raw = view.raw
    for match in _FIND.finditer(raw):
        if not view.takes():
            yield match.start(), len(raw), UNREAD
            return
        name = match.lastgroup
        assert name is not None
        place = match.span(name)
        if not is_placeholder(raw, *place) and (name[0] != "w" or _looks_secret(match[name])):
            yield *place, "credential"
    for command in _ACL.finditer(raw):
        if not view.takes():
            yield command.start(), len(raw), UNREAD
            return
        for password in _PASSWORDS.finditer(raw, *command.span()):
            if not is_placeholder(raw, *password.span("value")):
                yield *password.span("value"), "credential"


def _looks_secret(value: bytes) -> bool:
    """Return whether a word has a digit and a letter, or other signs: `took 12` is none."""
    return SECRET_LOOK.match(value) is not None and _LETTER.search(value) is not None


_LETTER = re.compile(rb"[A-Za-z]")

__all__ = ["DIALOGS_SIGN", "find_dialogs"]

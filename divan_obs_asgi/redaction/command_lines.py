# ruff: noqa: E501 - a pattern is one line.
"""Credentials in short options and by position in command lines: `curl -u ada:...`, `net use Z: \\\\srv\\share ...`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.redaction.placeholders import is_placeholder
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_VALUE = rb"(?P<quote>\\{0,7}['\"])?(?P<value>(?(quote)[^'\"\\]|[^\s'\"])+)"
# A value by position: neither an option nor a path of Windows.
_WORD = rb"(?P<quote>\\{0,7}['\"])?(?P<value>(?(quote)[^'\"\\]|[^\s'\"/\\*-])(?(quote)[^'\"\\]|[^\s'\"])*)"
# Also as a list of arguments: ['--user', 'ada:...'].
_THEN = rb"(?:\\{0,7}['\"],\s?|[ \t=:]{0,4})"
_START = rb"(?<![^\s'\"])"
_LAST = rb"\\{0,7}['\"]?\s{0,8}(?:\Z|[|&;>)]|\s/)"
_SHARE = rb"(?:[A-Za-z]:|\*|devicename) {1,4}"


def _option(option: bytes, *, then: bytes = _THEN) -> re.Pattern[bytes]:
    return re.compile(_START + option + then + _VALUE)


# For each group of programs, with a digit at the end or not: the options, and the name for the marker.
_OPTIONS: tuple[tuple[str, tuple[tuple[re.Pattern[bytes], str], ...]], ...] = (
    (
        "curl",
        (
            (_option(rb"(?:-[uU]|--(?:proxy-)?user)"), "credential"),
            (_option(rb"--oauth2-bearer"), "bearer"),
            (_option(rb"(?:-b|--cookie)"), "cookie"),
        ),
    ),
    ("redis-cli|valkey-cli", ((_option(rb"(?:-a|--pass)(?=[\s='\"])"), "credential"),)),
    ("sshpass", ((_option(rb"-p"), "credential"),)),
    (
        "mysql(?:dump|admin)?|mariadb(?:-dump|-admin)?",
        ((_option(rb"-p(?=[^\s])", then=b""), "credential"), (re.compile(rb"\spassword\s" + _WORD + _LAST), "credential")),
    ),
    ("plink|pscp|psftp|putty", ((_option(rb"-pw(?=\s)"), "credential"),)),
    ("psexec|winrs|rdesktop|cqlsh|useradd|usermod|mongo(?:sh|dump|restore|export|import)?", ((_option(rb"-p(?=[\s:='\"])"), "credential"),)),
    ("schtasks", ((_option(rb"/[rR]?[pP](?=\s)"), "credential"),)),
    ("snmp(?:walk|get|set|getnext|bulkwalk|bulkget|table)", ((_option(rb"-c(?=\s)"), "credential"),)),
    ("sqlcmd|bcp|osql|isql|unzip|zip|mosquitto_(?:pub|sub|rr)", ((_option(rb"-P"), "credential"),)),
    ("[wx]freerdp", ((_option(rb"/(?:p|gp):", then=b""), "credential"),)),
    ("7z[ar]?|unrar|rar", ((_option(rb"-h?p(?=[^\s'\"])", then=b""), "credential"),)),
    ("openssl", ((_option(rb"-(?:k|K)(?=\s)"), "credential"), (_option(rb"-pass(?:in|out)?\s(?=pass:)pass:", then=b""), "credential"))),
    ("keytool|jarsigner", ((_option(rb"-(?:src|dest|new|new_)?(?:store|key)?pass(?:wd)?(?=\s)"), "credential"),)),
    ("dsadd|dsmod", ((_option(rb"-pwd(?=\s)"), "credential"),)),
    (
        "smbclient|rpcclient",
        (
            (_option(rb"(?:-U|--user)[ =]?['\"]?[^\s%'\"]{1,128}%", then=b""), "credential"),
            (re.compile(rb"\s(?://|\\\\)[^\s]{1,256}\s" + _WORD + _LAST), "credential"),
        ),
    ),
    ("rclone", ((re.compile(rb"(?<=\s)(?:pass|client_secret|token|obscure) " + _WORD), "credential"),)),
    ("az", ((re.compile(rb"\slogin\s[^\n]{0,256}?-p[ =]" + _VALUE), "credential"),)),
    ("vault", ((re.compile(rb"\slogin " + _WORD + _LAST), "credential"),)),
    ("htpasswd", ((re.compile(rb"\s-[a-zA-Z]{0,8}b[a-zA-Z]{0,8}(?:\s[^\s-][^\s]{0,255}){1,2}?\s" + _WORD + _LAST), "credential"),)),
    (
        "net",
        (
            # net use [Z:] \\server\share [options] password [options]
            (re.compile(rb"\suse {1,4}(?:" + _SHARE + rb")?['\"]?(?:\\\\|https?://|//)[^\s]{1,256} {1,4}(?:/[^\s]{1,128} {1,4}){0,8}" + _WORD + _LAST, re.IGNORECASE), "credential"),
            (re.compile(rb"\suser {1,4}(?:/[^\s]{1,128} {1,4}){0,4}['\"]?[\w.@$\\-]{1,128}['\"]? {1,4}" + _WORD + _LAST, re.IGNORECASE), "credential"),
        ),
    ),
)  # fmt: skip
_PROGRAMS = "|".join(programs for programs, _ in _OPTIONS)
_COMMAND = re.compile(
    rf"(?<![\w.-])(?P<program>{_PROGRAMS})(?:1|32|64)?(?:\.exe)?(?:\\{{0,7}}['\"],)?"
    r"(?P<rest>[ \t][^\r\n]{0,2048})".encode(),
    re.IGNORECASE,
)
_BY_PROGRAM = tuple((re.compile(programs.encode(), re.IGNORECASE), options) for programs, options in _OPTIONS)

COMMANDS_SIGN = (
    rf"(?i)\b(?:{_PROGRAMS})(?:1|32|64)?(?:\.exe)?(?:\\*['\"],)?[ \t][^\r\n]*[-/]|\bvault(?:\.exe)? login |\brclone "
    r"|\bnet1?(?:\.exe)? +user? +"
)


def find_options(view: View) -> Iterator[Found]:
    """Return the values of such options and arguments."""
    for command in _COMMAND.finditer(view.raw):
        if not view.takes():
            yield command.start("rest"), len(view.raw), UNREAD
            return
        for programs, options in _BY_PROGRAM:
            if not programs.fullmatch(command["program"]):
                continue
            for option, name in options:
                for match in option.finditer(view.raw, *command.span("rest")):
                    if (
                        b"[redacted:" not in match["value"]
                        and (name != "cookie" or b"=" in match["value"])
                        and not is_placeholder(view.raw, *match.span("value"))
                    ):
                        yield *match.span("value"), name
            break


__all__ = ["COMMANDS_SIGN", "find_options"]

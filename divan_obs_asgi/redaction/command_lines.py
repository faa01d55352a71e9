"""Credentials in short options of command lines: `curl -u ada:...`, `redis-cli -a ...`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.redaction.view import UNREAD, Found, View

_COMMAND = re.compile(
    rb"\b(?P<program>curl|redis-cli|sshpass|mysql(?:dump|admin)?)(?:\.exe)?(?:\\{0,7}['\"],)?"
    rb"(?P<rest>[ \t][^\r\n]{0,2048})"
)
_VALUE = rb"(?P<quote>\\{0,7}['\"])?(?P<value>(?(quote)[^'\"\\]|[^\s'\"])+)"
# Also as a list of arguments: ['--user', 'ada:...'].
_THEN = rb"(?:\\{0,7}['\"],\s?|[ \t=]{0,4})"
_START = rb"(?<![^\s'\"])"
_OPTIONS = {
    b"curl": [
        (re.compile(_START + rb"(?:-[uU]|--(?:proxy-)?user)" + _THEN + _VALUE), "credential"),
        (re.compile(_START + rb"--oauth2-bearer" + _THEN + _VALUE), "bearer"),
        (re.compile(_START + rb"(?:-b|--cookie)" + _THEN + _VALUE), "cookie"),
    ],
    b"redis-cli": [(re.compile(_START + rb"(?:-a|--pass)(?=[\s='\"])" + _THEN + _VALUE), "credential")],
    b"sshpass": [(re.compile(_START + rb"-p" + _THEN + _VALUE), "credential")],
    b"mysql": [(re.compile(_START + rb"-p(?=[^\s])" + _VALUE), "credential")],
}

COMMANDS_SIGN = r"\b(?:curl|redis-cli|sshpass|mysql(?:dump|admin)?)(?:\.exe)?(?:\\*['\"],)?[ \t][^\r\n]*-"


def find_options(view: View) -> Iterator[Found]:
    """Return the values of such options."""
    for command in _COMMAND.finditer(view.raw):
        if not view.takes():
            yield command.start("rest"), len(view.raw), UNREAD
            return
        program = b"mysql" if command["program"].startswith(b"mysql") else command["program"]
        for option, name in _OPTIONS[program]:
            for match in option.finditer(view.raw, *command.span("rest")):
                if b"[redacted:" not in match["value"] and (name != "cookie" or b"=" in match["value"]):
                    yield *match.span("value"), name


__all__ = ["COMMANDS_SIGN", "find_options"]

"""Disguised letters: look-alikes, unnecessary escapes, and invisible characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from divan_obs_asgi.redaction.scripts import ESCAPES_SIGN, decoded_keys

# Unicode's confusables (UTS #39) of letters in English words, in Cyrillic, Greek and Armenian.
_CONFUSABLE: Final = {
    "A": "\u0410\u0391",
    "B": "\u0412\u0392",
    "C": "\u0421",
    "D": "\u0110",
    "E": "\u0415\u0395",
    "G": "\u050c",
    "H": "\u041d\u0397",
    "I": "\u0406\u0399",
    "J": "\u0408",
    "K": "\u041a\u039a",
    "M": "\u041c\u039c",
    "N": "\u039d",
    "L": "\u0141",
    "O": "\u041e\u039f\xd8",
    "P": "\u0420\u03a1",
    "S": "\u0405",
    "T": "\u0422\u03a4",
    "X": "\u0425\u03a7",
    "Y": "\u0423\u03a5",
    "Z": "\u0396",
    "a": "\u1d00\u0430\u03b1",
    "b": "\u0299\u0432",
    "c": "\u1d04\u0441",
    "d": "\u1d05\u0501\u0111",
    "e": "\u1d07\u0435\u03b5",
    "f": "\ua730",
    "g": "\u0262\u0581",
    "h": "\u029c\u04bb\u043d\u0570",
    "i": "\u026a\u0456\u0457\u03b9\u0131",
    "j": "\u1d0a\u0458\u0575",
    "k": "\u1d0b\u043a\u03ba",
    "l": "\u029f\u04cf\u0142",
    "m": "\u1d0d\u043c",
    "n": "\u0274\u043f\u03b7\u0578",
    "o": "\u1d0f\u043e\u03bf\u0585\xf8",
    "p": "\u1d18\u0440\u03c1",
    "q": "\u051b",
    "r": "\u0280",
    "s": "\ua731\u0455\xdf",
    "t": "\u1d1b\u0442\u03c4",
    "u": "\u1d1c\u03c5\u057d",
    "v": "\u1d20\u0475\u03bd",
    "w": "\u1d21\u051d\u03c9",
    "x": "\u0445\u03c7",
    "y": "\u028f\u0443\u03b3",
}
# Separators of key and value, and their look-alikes. Curly quotes count as a quote that neither JSON nor Python uses,
# so that those inside a quoted value do not end it.
_SEPARATORS: Final = {
    ":": "\uff1a\ufe55\ua789\u2236\u02d0",
    "`": "\u201c\u201d\u201e\u201f\xab\xbb",
    "=": "\uff1d\ufe66\u2192\u21d2\u27f6\u21e8\u279c\u2794\u27f9",
}
_COMPATIBLE = (
    range(0xA0, 0x250), range(0x1D00, 0x1DC0), range(0x1E00, 0x1F00), range(0x2070, 0x20A0), range(0x2100, 0x2190),
    range(0x2460, 0x2500), range(0xFF01, 0xFF5F), range(0x1D400, 0x1D800), range(0x1F100, 0x1F1AD),
)  # fmt: skip


def _look_alikes() -> dict[int, str]:
    table: dict[int, str] = {}
    for code in (code for codes in _COMPATIBLE for code in codes):
        # The base letter without accent, width and font: U+00E9, U+FF50, U+1D429, U+24DF.
        base = unicodedata.normalize("NFKD", chr(code)).strip("()")[:1]
        if "!" <= base <= "~":
            table[code] = base
    for first in (0x1F150, 0x1F170):  # Negative circled and squared letters, which Unicode does not decompose.
        table |= {first + number: chr(ord("A") + number) for number in range(26)}
    return table | {ord(char): letter for letter, chars in (_CONFUSABLE | _SEPARATORS).items() for char in chars}


LOOK_ALIKES: Final = _look_alikes()
"""For `str.translate`: the ASCII character for each look-alike."""

# All of Unicode's category Cf (format) except the signs of Arabic numbers, which are visible; Hangul fillers, tags, the
# grapheme joiner, and variation selectors other than those of emoji.
_UNSEEN = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROLS = "\x7f-\x9f\u2028\u2029"
# Combining accents are visible. A letter with one counts as that letter.
_ACCENTS = "\u0300-\u036f"
UNSEEN: Final = re.compile(f"[{_UNSEEN}{_CONTROLS}{_ACCENTS}]")
# Joiners are legitimate between two letters of Arabic, Persian or an Indic script, and between two parts of an emoji.
_JOINED = (
    "\u0590-\u10ff\u1700-\u1cff\u2190-\u2bff\u3297\u3299"
    "\ua800-\uabff\ufe0f\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001f000-\U0001faff"
)
_DECEIVING = re.compile(f"(?:(?<=[{_JOINED}])[\u200c\u200d](?=[{_JOINED}]))|(?P<unseen>[{_UNSEEN}{_CONTROLS}])")
# Terminal commands (ECMA-48), and control characters other than blanks and line ends.
_COMMANDS = re.compile(r"\x1b\[[0-9;?]{0,32}[ -/]?[@-~]|[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
# RFC 3986, section 2.3: an encoded letter means the letter. The same holds for escapes of JSON, Python and HTML. An
# escape inside another escape is not decoded.
_ESCAPED = re.compile(
    r"(?<!%)(?<!%[0-9A-Fa-f])%(4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9Aa])"
    r"|(?<!\\)\\(?:u00|x)(2[27]|3[aAc-eC-E]|4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9Aa])"
    r"|(?<!&)&#(?:0{0,4}(34|39|58|6[0-25-9]|[789][0-9]|1[01][0-9]|12[0-2])"
    r"|[xX]0{0,4}(2[27]|3[aAc-eC-E]|4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9Aa]));"
    r"|&(quot|apos|lt|gt);"
)
# A list or an object of JSON or Python that is encoded in a URL or a form. It is read as what it is.
_STRUCTURE = re.compile(r"%(?:22|27)(?:%20|\+){0,2}%2[Cc]|%(?:22|27)%3[aA]|%7[bB]|%5[bB](?:%22|%5[bB])")
_STRUCTURE_ESCAPE = re.compile(r"(?<!%)%(2[0278Bb9CcDdFf]|3[aA]|5[bBCcdD]|7[bBdD])|\+(?=%|\d)")
# Characters between a key and its value, or around them.
_MARKS = "\"':=<>"
_NAMED: Final = {"quot": '"', "apos": "'", "lt": "<", "gt": ">"}

DISGUISE_SIGN: Final = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|&(?:#[0-9xX]|quot;|apos;|[lg]t;)|(?:\\u00|\\x)(?:2[27]|3[aAc-eC-E])"
    r"|%2[27](?:%20|\+){0,2}%(?:2[Cc]|3[aA])"
    rf"|(?:%|\\u00|\\x)(?:4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9Aa])|{ESCAPES_SIGN}"
)
"""An RE2 pattern for everything that `plain` may change in an ASCII text."""


def plain(text: str) -> str:
    """Return `text` without invisible characters and with decoded letters; the same object if nothing changes."""
    if not text.isascii() and UNSEEN.search(text):
        text = UNSEEN.sub("", text)
    if not text.isprintable() and _COMMANDS.search(text):
        text = _COMMANDS.sub("", text)
    if ("%22" in text or "%27" in text) and _STRUCTURE.search(text):
        text = _STRUCTURE_ESCAPE.sub(_character, text)
    if "%" in text or "\\" in text or "&" in text:
        if _ESCAPED.search(text):
            text = _ESCAPED.sub(_letter, text)
        text = decoded_keys(text)
    return text


def visible(text: str) -> str:
    """
    Return `text` with U+FFFD for each character that is invisible or changes the order of visible text.

    A joiner inside a word or an emoji stays.
    """
    return _DECEIVING.sub(lambda match: match[0] if match["unseen"] is None else "\ufffd", text)


def _character(match: re.Match[str]) -> str:
    return " " if match[0] == "+" else chr(int(match[1], 16))


def _letter(match: re.Match[str]) -> str:
    if match[5]:
        return _NAMED[match[5]]
    code = match[1] or match[2] or match[4]
    letter = chr(int(code, 16)) if code else chr(int(match[3]))
    return letter if letter.isalpha() or letter in _MARKS else match[0]


__all__ = ["DISGUISE_SIGN", "LOOK_ALIKES", "UNSEEN", "plain", "visible"]

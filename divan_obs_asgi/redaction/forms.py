"""Named values in forms and elements: multipart bodies, `<input name="password" value="...">`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from divan_obs_asgi.redaction.keys import KeyIndex
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_LINE = rb"(?:\r?\n|(?:\\r)?\\n)"
# RFC 7578: the header of a part has its name; a blank line separates header and value.
_PART = re.compile(
    rb"form-data;\s{0,4}+(?:filename\*?=[^;\r\n\\]{0,128}+;\s{0,4}+)?+name=\\{0,7}+[\"']?+(?P<key>[^\"'\\\r\n;]{1,64}+)"
    rb"\\{0,7}+[\"']?+(?:;[^\r\n\\]{0,256}+)?+(?:" + _LINE + rb"[a-z-]{1,64}+:[^\r\n\\]{0,256}+){0,4}+" + _LINE + _LINE,
    re.IGNORECASE,
)
_END_OF_PART = re.compile(_LINE + rb"--")
_TAG = re.compile(rb"<(?:[a-z][\w.-]{0,32}:)?(?P<tag>[a-z][\w.-]{0,64})(?:\s[^<>]{0,512})?>?", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    rb"\s(?P<name>name|key|id|type|value)\s?=\s?(?P<quote>\\{0,7}[\"'])?(?P<value>(?(quote)[^\"'\\]*|[^\s\"'\\<>=`]+))",
    re.IGNORECASE,
)
# The content may be in an element of its own: <param name="password"><value>...</value></param>.
_CONTENT = re.compile(rb"\s{0,16}(?:<[A-Za-z][\w:.-]{0,32}>\s{0,16})?(?:<!\[CDATA\[)?(?P<value>[^<\]]*[^<\]\s])")
# <key>password</key><string>...</string>
_ELEMENTS = re.compile(
    rb"<(?:[a-z][\w.-]{0,32}:)?(?:key|name|field|param|id)>\s{0,16}(?P<key>[\w .$-]{1,64}?)\s{0,16}</[^<>]{1,64}>"
    rb"\s{0,32}<[a-z][^<>]{0,64}>\s{0,16}(?:<!\[CDATA\[)?(?P<value>[^<\]]*[^<\]\s])",
    re.IGNORECASE,
)

FORM_SIGN = r"(?i)form-data;|<[a-z][\w.:-]*\s[^<>]*=|<!\[CDATA\[|</(?:\w+:)?(?:key|name|field|param|id)>"


class FormRule:
    """Finds values in forms and elements by their names, with the same index that redacts fields."""

    sign = FORM_SIGN

    def __init__(self, index: KeyIndex) -> None:
        self._index = index

    def find(self, view: View) -> Iterator[Found]:
        """Return the values of sensitive names."""
        at = 0
        while (match := _PART.search(view.raw, at)) is not None:
            at = match.end()
            if not view.takes():
                yield at, len(view.raw), UNREAD
                return
            name = self._index.rule_for(match["key"].decode())
            if name is not None:
                end = _END_OF_PART.search(view.raw, at)
                stop = len(view.raw) if end is None else end.start()
                if stop > at and not view.raw.startswith(b"[redacted:", at):
                    yield at, stop, name
                at = stop
        for match in _ELEMENTS.finditer(view.raw):
            if not view.takes():
                yield match.start(), len(view.raw), UNREAD
                return
            name = self._index.rule_for(match["key"].decode())
            if name is not None and not match["value"].startswith(b"[redacted:"):
                yield *match.span("value"), name
        for tag in _TAG.finditer(view.raw):
            if not view.takes():
                yield tag.start(), len(view.raw), UNREAD
                return
            yield from self._find_in_tag(view.raw, tag)

    def _find_in_tag(self, raw: bytes, tag: re.Match[bytes]) -> Iterator[Found]:
        attributes = {found["name"].lower(): found for found in _ATTRIBUTE.finditer(raw, tag.end("tag"), tag.end())}
        content = self._first(attributes, b"name", b"key") or self._index.rule_for(tag["tag"].decode())
        name = content or self._first(attributes, b"id", b"type")
        value = attributes.get(b"value") or (_CONTENT.match(raw, tag.end()) if content else None)
        if name and value is not None and value["value"] and not value["value"].startswith(b"[redacted:"):
            yield *value.span("value"), name

    def _first(self, attributes: Mapping[bytes, re.Match[bytes]], *names: bytes) -> str | None:
        keys = (attributes[name]["value"].decode() for name in names if name in attributes)
        return next(filter(None, map(self._index.rule_for, keys)), None)


__all__ = ["FormRule"]

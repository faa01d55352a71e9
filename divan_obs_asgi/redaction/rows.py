"""Values by the position of their column: SQL's `(name, password) VALUES ('ada', '...')`, COPY, CSV and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from divan_obs_asgi.redaction.keys import KeyIndex
from divan_obs_asgi.redaction.placeholders import is_whole_placeholder
from divan_obs_asgi.redaction.view import SEPARATOR, UNREAD, Found, View

# A list of columns ends; a list of values begins.
_ROWS = re.compile(
    rb"\)\s{0,16}(?:(?:overriding|output)\s[^()\n]{1,64}\s)?(?:values?|row|=)\s{0,16}(?:row)?(?=\()", re.IGNORECASE
)
_NEXT_ROW = re.compile(rb"\s{0,16},\s{0,32}(?:row)?(?=\()", re.IGNORECASE)
_LONGEST_COLUMNS = 4096
_COLUMN = re.compile(rb"\s{0,32}\\{0,7}[\"`\[]?(?P<name>[A-Za-z_][\w.$ -]{0,127})\\{0,7}[\"`\]]?\s{0,32}")
_PIECE = re.compile(
    rb"'(?:[^'\\]|\\.|'')*+'?|\\{1,7}\"[^\"]*+\"?|\"(?:[^\"\\]|\\.|\"\")*+\"?|[(),]|[^'\"(),\\]++|\\", re.DOTALL
)
# A text with the prefix of its kind: N'...', E'...', _utf8'...'.
_TEXT = re.compile(rb"(?:[A-Za-z]|_\w{1,16}\s?)?(?P<quote>\\{0,7}['\"])(?P<text>.*?)\\{0,7}['\"]?\Z", re.DOTALL)
# What a statement has in place of a value, and calls without a text in them.
_NO_VALUE = re.compile(
    rb"\?\d{0,5}|\*|\$\d{1,5}|[:@]\w{1,64}|%\(?\w{0,64}\)?s|\{\w{0,64}\}|(?i:null|default|true|false|[\w.]{1,64}\((?:[^'\"]|gen_salt\('\w{1,8}')*\)?)|[-+]?\d"
)

_COPY = re.compile(
    rb"\bcopy\s[^\n()]{1,256}\((?P<columns>[^()\n]{1,4096})\)\s[^\n]{0,128}?\bstdin\b[^\n]*\n", re.IGNORECASE
)
# Words in the first line of a table.
_TITLES = (
    "passw(?:or)?d|passwort|parola|sifre|pwd|secret|token|key|cookie|credentials?|pin|otp|e-?mail|phone|gsm|tel|iban|ssn"
    "|lat(?:itude)?|lon(?:gitude)?|lng|cvv|cvc"
)
_TITLE = re.compile(rf"(?:{_TITLES})(?=[\w \"'`]{{0,64}}(?:[,;|\t\r\n]))".encode(), re.IGNORECASE)
_LONGEST_LINE = 4096
_NAME = re.compile(rb"(?P<quote>[\"'`]?)(?P<name>[A-Za-z_][\w.$-]{0,63})(?P=quote)")
_RULER = re.compile(rb"[-+|=: \t]*\r?")
_CELLS = {
    delimiter: re.compile(rb"(?:\s*\"(?:[^\"]|\"\")*+\"?[^%b]*+|[^%b]*+)(?:%b|\Z)" % ((re.escape(delimiter),) * 3))
    for delimiter in (b",", b";", b"\t", b"|")
}
# psql's expanded display.
_RECORD = re.compile(rb"-\[ RECORD \d{1,9} \][-+]*\r?\n")
_FIELD = re.compile(rb"(?P<name>[A-Za-z_][\w.$-]{0,63}) *\| (?P<value>[^\r\n]+)[\r\n]{0,2}")
_SHORTEST_WORD = 4
_HAS_DIGIT = re.compile(rb"[^\n]*\d")

ROWS_SIGN = (
    rf"(?i)\)\s*(?:values?|row|=)\s*(?:row)?\(|\)\s+(?:overriding|output)\s[^()\n]*\svalues|\bcopy\s[^\n]*\bstdin\b"
    r"|-\[ RECORD \d"
    rf"|(?:{_TITLES})[\w\"'`]*[ \r]*(?:[,;|\t][^\n]*)?\n"
)


class RowRule:
    """Finds values by the name of their column, with the same index that redacts fields."""

    sign = ROWS_SIGN

    def __init__(self, index: KeyIndex) -> None:
        self._index = index

    def find(self, view: View) -> Iterator[Found]:
        """Return the values in sensitive columns."""
        yield from self._of_statements(view)
        yield from self._of_copies(view)
        yield from self._of_tables(view)
        yield from self._of_records(view)

    def _sensitive(self, names: list[bytes]) -> dict[int, str]:
        """Return the rule of each sensitive column; nothing if one of them is not a name."""
        found: dict[int, str] = {}
        for number, name in enumerate(names):
            match = _COLUMN.fullmatch(name)
            if match is None:
                return {}
            rule = self._index.rule_for(match["name"].decode())
            if rule is not None:
                found[number] = rule
        return found

    def _of_statements(self, view: View) -> Iterator[Found]:
        raw, done = view.raw, 0
        while (match := _ROWS.search(raw, done)) is not None:
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            first = raw.rfind(b"(", max(done, match.start() - _LONGEST_COLUMNS), match.start())
            columns = self._sensitive(raw[first + 1 : match.start()].split(b",")) if first >= 0 else {}
            done = match.end()
            following: re.Match[bytes] | None = match
            while columns and following is not None:
                done = following.end()
                items, done = _items(raw, done)
                if view.takes(len(items), SEPARATOR) < len(items):
                    yield following.start(), len(raw), UNREAD
                    return
                for number, rule in columns.items():
                    place = _value(raw, *items[number]) if number < len(items) else None
                    # A word without quotes is a variable in `(name, password) = (a, b)`.
                    if place is not None and (b"=" not in match[0] or raw[place[0] - 1] in b"'\""):
                        yield *place, rule
                following = _NEXT_ROW.match(raw, done)

    def _of_copies(self, view: View) -> Iterator[Found]:
        raw, done = view.raw, 0
        while (match := _COPY.search(raw, done)) is not None:
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            done = match.end()
            names = match["columns"].split(b",")
            columns = self._sensitive(names)
            if columns:
                found, done = _of_lines(view, done, b"\t", len(names), columns)
                yield from found

    def _of_tables(self, view: View) -> Iterator[Found]:
        raw, done = view.raw, 0
        while (match := _TITLE.search(raw, done)) is not None:
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            begin = raw.rfind(b"\n", max(0, done - 1, match.start() - _LONGEST_LINE), match.start()) + 1
            end = raw.find(b"\n", match.end(), match.end() + _LONGEST_LINE)
            if end < 0:
                done = match.end()
                continue
            done = end
            header = raw[begin:end].strip(b" \t\r")
            delimiter = next((char for char in _CELLS if char in header), b"")
            if not delimiter:
                continue
            # Titles are the first line: `| token | string |` below a line of a table is one of its rows.
            if (
                delimiter == b"|"
                and b"|" in raw[raw.rfind(b"\n", max(0, begin - _LONGEST_LINE), max(0, begin - 1)) + 1 : begin]
            ):
                continue
            names = header.strip(b"|").split(delimiter)
            if delimiter in b"|\t":
                names = [name.strip() for name in names]
            if len(names) > 1 and all(map(_NAME.fullmatch, names)):
                columns = self._sensitive([name.strip(b"\"'`") for name in names])
                if columns:
                    found, done = _of_lines(view, end + 1, delimiter, len(names), columns)
                    yield from found

    def _of_records(self, view: View) -> Iterator[Found]:
        raw = view.raw
        for record in _RECORD.finditer(raw):
            field = _FIELD.match(raw, record.end())
            while field is not None:
                if not view.takes():
                    yield field.start(), len(raw), UNREAD
                    return
                rule = self._index.rule_for(field["name"].decode())
                if rule is not None and not is_whole_placeholder(raw, *field.span("value")):
                    yield *field.span("value"), rule
                field = _FIELD.match(raw, field.end())


def _items(raw: bytes, begin: int) -> tuple[list[tuple[int, int]], int]:
    """Return the places of the items in the brackets that open at `begin`, and the position after them."""
    items: list[tuple[int, int]] = []
    depth, start = 0, begin + 1
    for piece in _PIECE.finditer(raw, begin):
        char = piece[0]
        if char == b"(":
            depth += 1
        elif char == b")":
            depth -= 1
            if not depth:
                items.append((start, piece.start()))
                return items, piece.end()
        elif char == b"," and depth == 1:
            items.append((start, piece.start()))
            start = piece.end()
    items.append((start, len(raw)))
    return items, len(raw)


def _value(raw: bytes, begin: int, end: int) -> tuple[int, int] | None:
    """Return the place of the text or the word in an item; None if it is no value."""
    item = raw[begin:end]
    begin += len(item) - len(item.lstrip())
    item = item.strip()
    end = begin + len(item)
    if not item or _NO_VALUE.fullmatch(item) or is_whole_placeholder(raw, begin, end):
        return None
    text = _TEXT.match(item)
    if text is None:
        return begin, end
    begin, end = begin + text.start("text"), begin + text.end("text")
    return (begin, end) if begin < end and not is_whole_placeholder(raw, begin, end) else None


def _of_lines(
    view: View, begin: int, delimiter: bytes, count: int, columns: Mapping[int, str]
) -> tuple[list[Found], int]:
    """Return the values of these columns in the lines that have as many cells, and the position after the lines."""
    raw, found = view.raw, list[Found]()
    while begin < len(raw):
        end = raw.find(b"\n", begin)
        end = len(raw) if end < 0 else end
        if end > begin and not _RULER.fullmatch(raw, begin, end):
            if not view.takes():
                return [*found, (begin, len(raw), UNREAD)], len(raw)
            first = begin + 1 if delimiter == b"|" and raw[begin : begin + 1] == b"|" else begin
            last = end - 1 if raw[end - 1] == 13 else end
            if delimiter == b"|" and raw[last - 1 : last] == b"|":
                last -= 1
            cells = [cell.span() for cell in _CELLS[delimiter].finditer(raw, first, last)]
            # Behind the last delimiter is an empty cell, behind any other last cell as well.
            if len(cells) > 1 and cells[-1][0] == cells[-1][1] and raw[last - 1 : last] != delimiter:
                cells.pop()
            if len(cells) != count:
                break
            for number, rule in columns.items():
                start, stop = cells[number]
                place = _value(raw, start, stop - (raw[stop - 1 : stop] == delimiter))
                if place is not None and _may_be_secret(raw[slice(*place)]):
                    found.append((*place, rule))
        begin = end + 1
    return found, min(begin, len(raw))


def _may_be_secret(cell: bytes) -> bool:
    return len(cell) >= _SHORTEST_WORD or _HAS_DIGIT.match(cell) is not None


__all__ = ["RowRule"]

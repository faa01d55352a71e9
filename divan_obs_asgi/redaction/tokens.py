"""Keys and tokens that are recognised by the prefix of their issuer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from divan_obs_asgi.redaction.patterns import any_of
from divan_obs_asgi.redaction.view import UNREAD, Found, View

# Every token has a run of at least this many letters, digits, "_" and "-". Few other texts in logs have one.
_RUN = 20
_RUN_BYTES = bytes(97 if (chr(code).isalnum() and code < 128) or code in b"_-" else 32 for code in range(256))
_SIGN = b"a" * _RUN
# The cost of a run within a budget, in addition to two for each of its characters.
_RUN_COST = 64
# Maximum part of a prefix before the first long run: `SG.`, `xoxe.xox`.
_BEFORE = 8
_LONGEST_BEFORE = 96
_LETTERS_AND_DIGITS = frozenset(code for code in range(128) if chr(code).isalnum())
# After the first character: no letter or digit may precede it, except for the end of an escape. The first lookbehind
# decides for most letters.
_BEGINNING = r"(?<![G-Zg-moqsu-z].)(?:(?<![A-Za-z0-9].)|(?<=\\[nrt].)|(?<=%[0-9A-Fa-f][0-9A-Fa-f].))"
# Lookbehinds, which RE2 does not support.
_LOOKS = re.compile(r"\(\?<[=!](?:\\.|[^()\\])*\)")
# A token begins where no letter or digit precedes it; escapes such as %3D, %20 and \n may precede it.
# The rest of a shape that begins with a run and continues after it: `[\w-]{10,}\.`. Whether it continues is checked
# once for all tokens that may begin in the run.
_RUN_FIRST = re.compile(r"\[\\w-\]\{(?P<least>\d+),\}(?P<after>.+)")
# Any other pattern reads at most this many characters, because it may be tried at each prefix. A longer token ends with
# the word.
_LONGEST_REST = 512
_GOES_ON = re.compile(rb"[\w.~+/%=-]*+")
_END_OF_RUN = re.compile(rb"[\w-]*+")
# Few other texts contain a prefix of this length.
_LONG_PREFIX = 5
# The end of a pattern, if its last character has to be one of these.
_LAST_CHARACTER = re.compile(r"(?<!\\)(?P<chars>\[(?:\\.|[^\]\\])+\]|\\[dw])(?:\{[1-9][0-9,]*\}|\+)?\Z")
_GROUP = re.compile(r"\([^()]*\)")
_FIRST_RUN = re.compile(r"(?P<chars>\[[^\]]+\]|\\w)\{(?P<least>\d+)[^}]*\}(?P<after>.*)")
_ESCAPED = re.compile(rb"%[0-9A-Fa-f]{2}|\\[nrt]|\\u[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True)
class TokenShape:
    """
    The tokens of one issuer.

    Attributes:
        name: the name in the marker.
        prefixes: possible literal beginnings.
        rest: a pattern for the text after the prefix.
        before: a pattern for text before the prefix that belongs to the token; by default there is none, and no letter
            or digit may precede the prefix.

    Raises:
        ValueError: if there is no prefix to search for.
    """

    name: str
    prefixes: tuple[str, ...]
    rest: str
    before: str = ""

    def __post_init__(self) -> None:
        if not self.prefixes or not all(prefix and prefix.isascii() for prefix in self.prefixes):
            raise ValueError(f"TokenShape {self.name!r} has the prefixes {self.prefixes!r}; expected ASCII text.")


class _Rest:
    """
    Matches the text after a prefix, and reads no run twice.

    A pattern that begins with a run and continues after it would read the run again for each prefix in it, and fail
    each time.
    """

    __slots__ = ("_after", "_least", "_whole")

    def __init__(self, pattern: str) -> None:
        run_first = _RUN_FIRST.fullmatch(pattern)
        self._whole = re.compile(pattern.encode())
        self._after = None if run_first is None else re.compile(run_first["after"].encode())
        self._least = 0 if run_first is None else int(run_first["least"])

    def end(self, raw: bytes, start: int, memory: _Memory) -> int:
        """Return the end of the token whose rest begins at `start`; 0 if there is none."""
        if self._after is None:
            match = self._whole.match(raw, start, start + _LONGEST_REST)
            if match is None:
                return 0
            if match.end() < start + _LONGEST_REST:
                return match.end()
            longer = _GOES_ON.match(raw, match.end())
            assert longer is not None
            return longer.end()
        run_end, end = memory.get(self, (0, 0))
        if start > run_end:
            run = _END_OF_RUN.match(raw, start)
            assert run is not None
            run_end = run.end()
            after = self._after.match(raw, run_end)
            end = 0 if after is None else after.end()
            memory[self] = run_end, end
        return end if run_end - start >= self._least else 0


# For each rest, the end of the last run that was read, and the end of its token.
_Memory: TypeAlias = dict[_Rest, tuple[int, int]]
_Compiled: TypeAlias = tuple[str, bytes, _Rest, re.Pattern[bytes] | None]


def _shape(name: str, prefixes: str, rest: str, before: str = "") -> TokenShape:
    return TokenShape(name, tuple(prefixes.split()), rest, before)


# Sources: the issuers' own documentation of their formats, and of their secret scanning.
TOKEN_SHAPES: tuple[TokenShape, ...] = (
    # RFC 7519: three parts of base64url, the first of which begins with {" in base64; RFC 7516 has five.
    _shape("jwt", "eyJ", r"[\w-]{10,}(?:\.[\w-]*){1,4}"),
    _shape("aws_key", "AKIA ASIA ABIA ACCA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _shape("gcp_key", "AIza", r"[\w-]{30,}"),
    _shape("gcp_key", "GOCSPX-", r"[\w-]{20,}"),
    _shape("gcp_key", "ya29.", r"[\w.-]{16,}"),
    _shape("gcp_key", "//0", r"[\w-]{20,}", r"(?<![\w/])1"),
    _shape("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{30,}"),
    _shape("github_token", "github_pat_", r"\w{20,}"),
    _shape(
        "gitlab_token",
        "glpat- gloas- gldt- glrt- glrtr- glcbt- glptt- glft- glimt- glagent- glsoat- glffct- glwt-",
        r"[\w-]{16,}(?:\.[\w-]+)*",
    ),
    _shape("gitlab_token", "GR1348941", r"[\w-]{20}"),
    _shape("slack_token", "xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- xoxe.xox", r"[\w%-]{10,}"),
    _shape("stripe_key", "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_", r"[A-Za-z0-9]{10,}"),
    _shape("stripe_key", "whsec_", r"[\w+/-]{16,}=*"),
    _shape("anthropic_key", "sk-ant-", r"[\w-]{16,}"),
    # OpenAI and its imitators. Long CSS classes begin like this too, but have no capitals and digits.
    _shape("openai_key", "sk-", r"(?:(?=[A-Za-z_-]{0,255}+\d)(?=[a-z0-9_-]{0,255}+[A-Z])[\w-]{20,}|[a-z0-9]{32,})"),
    _shape("twilio_key", "SK AC", r"[0-9a-fA-F]{32}(?![A-Za-z0-9])"),
    _shape("sendgrid_key", "SG.", r"[\w-]{16,}\.[\w-]{16,}"),
    _shape("npm_token", "npm_", r"[A-Za-z0-9]{30,}"),
    _shape("pypi_token", "pypi-", r"[\w-]{16,}"),
    # The id of the bot precedes it.
    _shape("telegram_token", ":", r"[\w-]{34,36}(?![\w-])", r"(?<![\d.])\d{8,10}"),
    _shape("azure_secret", "Q~", r"[\w~.-]{20,}", r"[\w~.-]{3}[0-9]"),
    # The address of a webhook is sufficient to use it.
    _shape("slack_webhook", "/", r"[\w-]{20,}", r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/]{1,64}"),
    _shape("discord_webhook", "/", r"[\w-]{40,}", r"(?<=com/api/)(?:v\d{1,2}/)?webhooks/\d{1,24}"),
    # The first part is the user's id in base64, so it begins with one of these.
    _shape("discord_token", "M N O", r"[\w-]{22,27}\.[\w-]{5,7}\.[\w-]{24,}"),
    _shape("discord_token", "mfa.", r"[\w-]{40,}"),
    _shape("digitalocean_token", "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{40,}"),
    _shape("shopify_token", "shpat_ shpca_ shppa_ shpss_", r"[a-fA-F0-9]{30,}"),
    _shape("huggingface_token", "hf_", r"[A-Za-z0-9]{30,}"),
    _shape("databricks_token", "dapi", r"[a-f0-9]{32}"),
    _shape("mailgun_key", "key-", r"[0-9a-f]{32}"),
    _shape("newrelic_key", "NRAK-", r"[A-Z0-9]{20,}"),
    _shape("grafana_token", "glsa_ glc_", r"[\w+/-]{20,}=*"),
    _shape("vault_token", "hvs. hvb. hvr.", r"[\w-]{20,}"),
    _shape("linear_key", "lin_api_", r"[A-Za-z0-9]{30,}"),
    _shape("notion_token", "secret_ ntn_", r"[A-Za-z0-9]{40,}"),
    _shape("square_token", "sq0atp- sq0csp-", r"[\w-]{20,}"),
    _shape("sentry_token", "sntrys_ sntryu_", r"[\w+/-]{16,}=*"),
    _shape("supabase_token", "sbp_", r"[a-f0-9]{30,}"),
    _shape("figma_token", "figd_", r"[\w-]{20,}"),
    _shape("postman_key", "PMAK-", r"[a-f0-9-]{20,}"),
    _shape("age_key", "AGE-SECRET-KEY-1", r"[A-Z0-9]{40,}"),
    _shape("planetscale_token", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[\w-]{20,}(?:\.[\w-]+)*"),
    _shape("doppler_token", "dp.pt. dp.st. dp.ct. dp.sa.", r"[\w.-]{20,}"),
    _shape("facebook_token", "EAA", r"[A-Za-z0-9]{60,}"),
)


class TokenRule:
    """Finds tokens by their shape; it only reads texts with a run of characters that is long enough."""

    def __init__(self, shapes: Iterable[TokenShape] = TOKEN_SHAPES) -> None:
        self._all = tuple(shapes)
        self._shapes: dict[bytes, list[_Compiled]] = {}
        # For signs that are frequent in other texts: what may be before them.
        guards: dict[str, list[str]] = {}
        for shape in self._all:
            rest = _Rest(shape.rest)
            before = re.compile(f"(?:{shape.before})\\Z".encode()) if shape.before else None
            for prefix in shape.prefixes:
                anchor, sign = _non_hex_part(prefix)
                self._shapes.setdefault(sign, []).append((shape.name, prefix[:anchor].encode(), rest, before))
                guards.setdefault(sign.decode(), []).append(_guard(shape, prefix) if before else "")
        # Letters are frequent, so the search itself skips those that cannot begin a token.
        letters = {
            sign
            for sign in guards
            if sign[0].isalnum() and all(_begins_with(shape) for shape in self._shapes[sign.encode()])
        }
        patterns = [any_of(sign for sign in guards if sign not in letters and "" in guards[sign])]
        # Longer signs first: `//0` before `/`.
        for guarded in sorted(guards, reverse=True):
            if "" not in guards[guarded]:
                patterns.append(f"{re.escape(guarded)}(?:{'|'.join(guards[guarded])})")
        for first in sorted({sign[0] for sign in letters}):
            following = any_of(sign[1:] for sign in letters if sign[0] == first and len(sign) > 1)
            optional = "?" if first in letters else ""
            patterns.append(f"{first}{_BEGINNING}" + (f"(?:{following}){optional}" if following else ""))
        self._signs = re.compile("|".join(filter(None, patterns)).encode())

    @property
    def sign(self) -> str:
        """An RE2 pattern that matches every text that may contain a token."""
        return "|".join(_sign_of(shape, prefix) for shape in self._all for prefix in shape.prefixes)

    def find(self, view: View) -> Iterable[Found]:
        """Return the tokens of the text."""
        raw = view.raw
        next_run = raw.translate(_RUN_BYTES).find
        search = self._signs.search
        found: list[Found] = []
        memory: _Memory = {}
        start = next_run(_SIGN)
        while start >= 0:
            stop = next_run(b" ", start + _RUN)
            if stop < 0:
                stop = len(raw)
            if not view.takes(1, _RUN_COST + 2 * (stop - start)):
                found.append((start, len(raw), UNREAD))
                break
            first = search(raw, start - _BEFORE if start > _BEFORE else 0, stop)
            if first is not None:
                self._add_tokens(found, view, first, stop, memory)
                if found and found[-1][1] > stop:
                    stop = found[-1][1]
            start = next_run(_SIGN, stop)
        return found

    def _add_tokens(
        self, found: list[Found], view: View, sign: re.Match[bytes] | None, stop: int, memory: _Memory
    ) -> None:
        raw = view.raw
        search = self._signs.search
        while sign is not None:
            if not view.takes():
                found.append((sign.start(), len(raw), UNREAD))
                return
            token = self._token(raw, sign, memory)
            if token is None:
                sign = search(raw, sign.start() + 1, stop)
            else:
                found.append(token)
                sign = search(raw, token[1], stop)

    def _token(self, raw: bytes, sign: re.Match[bytes], memory: _Memory) -> Found | None:
        at, stop = sign.span()
        for name, hex_part, rest, before in self._shapes[sign[0]]:
            start = at - len(hex_part)
            if before is None and (start < 0 or not _begins(raw, start)):
                continue
            if hex_part and not raw.startswith(hex_part, max(start, 0)):
                continue
            end = rest.end(raw, stop, memory)
            if not end:
                continue
            if before is not None:
                begin = before.search(raw, max(0, start - _LONGEST_BEFORE), start)
                if begin is not None:
                    return begin.start(), end, name
            else:
                return start, end, name
        return None


def _begins_with(shape: _Compiled) -> bool:
    """Return whether the tokens of the shape begin with the sign for which texts are searched."""
    _, hex_part, _, before = shape
    return not hex_part and before is None


def _sign_of(shape: TokenShape, prefix: str) -> str:
    """
    Return an RE2 pattern that matches every text that may contain a token of this shape with this prefix.

    If a prefix may begin repeatedly within the run that follows it, RE2's automaton needs a state for each set of
    beginnings, and reads ten times slower. So the run in the pattern has the necessary characters only, none after a
    long prefix. A prefix of one letter is not searched for; the text after its run is. For the same reason a pattern
    for text before the prefix is used only if the prefix is one character.
    """
    run = _FIRST_RUN.fullmatch(shape.rest)
    if run is None:
        chars, least, after = r"[\w.+/%~-]", 20, ""
    else:
        chars, least, after = run["chars"], int(run["least"]), _LOOKS.sub("", run["after"])
    if len(prefix) == 1 and prefix.isalnum() and after:
        return after
    before = f"(?:{_LOOKS.sub('', shape.before)})" if shape.before and len(prefix) == 1 else ""
    most = 20 if len(prefix) <= 2 else 8 if len(prefix) < _LONG_PREFIX else 0
    return f"{before}{re.escape(prefix)}{chars}{{{min(least, most)}}}"


def _guard(shape: TokenShape, prefix: str) -> str:
    """Return a lookbehind for a prefix, and for the last character of the text before it, if it is one of a few."""
    last = None if "|" in _GROUP.sub("", shape.before) else _LAST_CHARACTER.search(shape.before)
    return f"(?<={last['chars'] if last else ''}{re.escape(prefix)})"


def _non_hex_part(prefix: str) -> tuple[int, bytes]:
    """Return the position from which `prefix` cannot be a hexadecimal id, as most long runs are, and its rest."""
    anchor = next((index for index, char in enumerate(prefix) if char not in "0123456789abcdef-"), 0)
    return anchor, prefix[anchor:].encode()


def _begins(raw: bytes, start: int) -> bool:
    if start == 0 or raw[start - 1] not in _LETTERS_AND_DIGITS:
        return True
    return any(match.end() == start for match in _ESCAPED.finditer(raw, max(0, start - 6), start))


__all__ = ["TOKEN_SHAPES", "TokenRule", "TokenShape"]

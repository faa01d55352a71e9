"""Parsers of flags: each takes a text and returns a value, or raises ValueError with the expected form."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from divan_obs_asgi.redaction.keys import KEY_RULES, KeyIndex, split_words

# Each stream is a query to Redis every few seconds.
MAX_STREAMS = 100
# A secret that cannot be guessed has at least this many characters, and this many different ones; 16 hexadecimal digits
# are 64 bits.
SECRET_LENGTH = 16
DIFFERENT_CHARACTERS = 6
# RFC 9110, section 5.6.2: valid names of headers.
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
# Each header is a look-up in every request.
_MAX_HEADERS = 8
# Asked for each Settings; it remembers its results.
_SECRETS = KeyIndex(KEY_RULES)
# Headers with a function in a response, and headers of the trace context: an id in one of them would break it.
_TAKEN = re.compile(
    r"(?:access-control|content|proxy|sec|strict|www)-.*|accept-ranges|age|allow|alt-svc|cache-control|connection|date|etag"
    r"|expires|host|keep-alive|last-modified|location|pragma|refresh|retry-after|server|server-timing|set-cookie"
    r"|traceparent|traceresponse|tracestate|baggage|te|trailer|transfer-encoding|upgrade|vary|via",
    re.IGNORECASE,
)
# An exact path is compared with the decoded path of a request, so it has neither a query nor a pattern.
_PATH = re.compile(r"/[^\s?#*{}\x00-\x1f\x7f]{0,255}")
_MAX_PATHS = 100
# The route of a page in the notation of any framework: /rooms/[id], /rooms/:id, /rooms/{id}.
_PAGE_ROUTE = re.compile(r"/[!$-+\-.-;=@-~]{0,127}")
# With 5 names, 3 ratings of each, and unknown pages, these are 465 series; OBS_METRICS_MAX_SERIES is 500.
MAX_PAGE_ROUTES = 30
_ORIGIN = re.compile(r"https?://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}")


def boolean(text: str) -> bool:
    """Parse a switch."""
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError("true or false")


def share(text: str) -> float:
    """Read a share from 0 to 1, both included."""
    expected = "a number from 0 to 1"
    if not _NUMBER.fullmatch(text.strip()) or not 0.0 <= float(text) <= 1.0:
        raise ValueError(expected)
    return float(text)


def positive_integer(text: str) -> int:
    """Read a whole number from 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or int(text) < 1:
        raise ValueError("a whole number from 1")
    return int(text)


def port(text: str) -> int:
    """Read a TCP port."""
    if not re.fullmatch(r"[0-9]{1,5}", text.strip()) or not 0 < int(text) < 65536:
        raise ValueError("a port from 1 to 65535")
    return int(text)


def address(text: str) -> str:
    """Read an address to listen on, in the form of the standard library; a name would need a look-up."""
    try:
        return str(ip_address("127.0.0.1" if text.strip() == "localhost" else text.strip()))
    except ValueError:
        raise ValueError("an address like 127.0.0.1, 0.0.0.0 or ::") from None


def integer(text: str) -> int:
    """Read a whole number from 0."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise ValueError("a whole number from 0")
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds above 0, an hour at most."""
    if not _NUMBER.fullmatch(text.strip()) or not 0.0 < float(text) <= 3600.0:
        raise ValueError("a number of seconds above 0")
    return float(text)


def delay(text: str) -> float:
    """Read a number of seconds from 0 to an hour."""
    if not _NUMBER.fullmatch(text.strip()) or not 0.0 <= float(text) <= 3600.0:
        raise ValueError("a number of seconds from 0")
    return float(text)


def name(text: str) -> str:
    """Read a short printable name."""
    value = text.strip()
    if not value or len(value) > 128 or not value.isprintable():
        raise ValueError("1 to 128 printable characters")
    return value


def namespace(text: str) -> str:
    """Read the first word of metric names."""
    value = text.strip()
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}[a-z0-9]|[a-z]", value):
        raise ValueError("lower-case letters, digits and _, like divan")
    return value


def secret_text(text: str) -> str | None:
    """Read a secret; an empty text means that it is not set."""
    return text or None


def token(text: str) -> str | None:
    """Read a bearer token; a token that is invalid in a header (RFC 9110, section 5.5) would never match."""
    if text != text.strip() or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("no control characters, and no blank at either end")
    # systemd's EnvironmentFile removes quotes, `docker run --env-file` does not.
    if text[0] in "\"'" and text[0] == text[-1]:
        raise ValueError("no quotes around it")
    return text


def is_guessable(secret: str) -> bool:
    """Return whether a secret is short, or has few different characters: `abcabcabc...`."""
    return len(secret) < SECRET_LENGTH or len(set(secret)) < DIFFERENT_CHARACTERS


def dotted_paths(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of dotted paths."""
    paths = tuple(part.strip() for part in text.split(",") if part.strip())
    for path in paths:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", path):
            raise ValueError("dotted paths, separated by commas")
    return paths


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser of one of `choices`, in any case."""
    by_lower = {choice.lower(): choice for choice in choices}

    def read(text: str) -> str:
        found = by_lower.get(text.strip().lower())
        if found is None:
            raise ValueError("one of " + ", ".join(choices))
        return found

    return read


def key_words(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of keys, each as its words: `shoeSize` and `shoe_size` are "shoe size"."""
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    words = tuple(" ".join(split_words(key)) for key in keys)
    if not all(1 <= len(key.split()) <= 3 and not key.isdecimal() for key in words):
        raise ValueError("keys of one to three words, separated by commas: shoe_size, nickName")
    return words


def some_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of a comma-separated list of some of `choices`; the list may be empty."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
        if not set(names) <= set(choices):
            raise ValueError("some of " + ", ".join(choices) + ", separated by commas, or nothing")
        return names

    return read


def plain_list(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of words, in lower case."""
    return tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))


def logger_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of loggers."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(re.fullmatch(r"[\w-]+(\.[\w-]+)*", logger) and len(logger) <= 128 for logger in names):
        raise ValueError("names of loggers, separated by commas: botocore, shop.cache")
    return names


def request_id_headers(text: str) -> tuple[str, ...]:
    """
    Read a comma-separated list of headers that may carry a request's id; headers of credentials are rejected.

    The id appears in every log line of the request, in its span and in the response.
    """
    names = tuple({part.strip().lower(): part.strip() for part in text.split(",") if part.strip()}.values())
    if len(names) > _MAX_HEADERS or not all(_HEADER.fullmatch(each) and not _SECRETS.rule_for(each) for each in names):
        raise ValueError(
            f"up to {_MAX_HEADERS} names of headers (RFC 9110, section 5.1), separated by commas, without headers of "
            "credentials: X-Request-Id,X-Correlation-ID,traceparent"
        )
    return names


def response_header(text: str) -> str:
    """Read the name of a response header without another function."""
    value = text.strip()
    if not _HEADER.fullmatch(value) or _TAKEN.fullmatch(value):
        raise ValueError("the name of a header (RFC 9110, section 5.1) that has no other meaning, like X-Request-Id")
    return value


def exact_paths(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of paths, without duplicates."""
    paths = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(paths) > _MAX_PATHS or not all(_PATH.fullmatch(path) for path in paths):
        raise ValueError(f"up to {_MAX_PATHS} exact paths, separated by commas, without a query: /ping,/livez")
    return paths


def routes(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of route templates; `*` or `true` means all routes."""
    with suppress(ValueError):
        return ("*",) if boolean(text) else ()
    templates = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(template == "*" or template.startswith("/") for template in templates):
        raise ValueError("true, false, or route templates separated by commas: /generate,/chat/{id}")
    return templates


def conventions(text: str) -> tuple[str, ...]:
    """Read OTEL_SEMCONV_STABILITY_OPT_IN. Other libraries have further values, so any value is accepted."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def networks(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of networks, each in the form of the standard library."""
    try:
        return tuple(str(ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("networks like 10.0.0.0/8 or fd00::/8, separated by commas") from None


def directory(text: str) -> str:
    """Read the absolute path of a directory, which need not exist yet."""
    value = text.strip()
    if not value.startswith("/") or not value.isprintable():
        raise ValueError("an absolute path like /run/divan/metrics")
    return value


def migration(text: str) -> str | None:
    """Read the version of a migration; an empty text means that it is not set."""
    value = text.strip()
    if not value:
        return None
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise ValueError("a version like 0008")
    return value


def path(text: str) -> str:
    """Read the path of a file, which is checked elsewhere."""
    return text.strip()


def path_prefix(text: str) -> str:
    """Read a path prefix; `/` means no prefix."""
    value = text.strip().rstrip("/")
    segments = value.split("/")[1:]
    if value and not (re.fullmatch(r"(/[A-Za-z0-9._~-]{1,64}){1,8}", value) and not {".", ".."} & set(segments)):
        raise ValueError("a path like /internal, of letters, digits and ._~-")
    return value


def origins(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of origins, as browsers write them in `Origin` (RFC 6454, section 6.2)."""
    return tuple(dict.fromkeys(_origin(part.strip()) for part in text.split(",") if part.strip()))


def _origin(text: str) -> str:
    expected = "origins like https://app.example.com or http://localhost:3000, separated by commas"
    origin = text.lower()
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(expected)
    try:
        parts = urlsplit(origin)
        given = parts.port
    except ValueError:
        raise ValueError(expected) from None
    # Browsers omit the default port of the scheme.
    return origin.rpartition(":")[0] if given is not None and given == _DEFAULT_PORTS[parts.scheme] else origin


def page_routes(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of page routes, without duplicates."""
    templates = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(templates) > MAX_PAGE_ROUTES or not all(_PAGE_ROUTE.fullmatch(template) for template in templates):
        raise ValueError(f"up to {MAX_PAGE_ROUTES} routes of pages, separated by commas: /,/rooms/[id]")
    return templates


def key_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of Redis keys, without duplicates."""
    keys = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(keys) > MAX_STREAMS or not all(len(key) <= 128 and key.isprintable() for key in keys):
        raise ValueError(f"up to {MAX_STREAMS} keys of 1 to 128 printable characters, separated by commas")
    return keys


__all__ = [
    "DIFFERENT_CHARACTERS",
    "MAX_PAGE_ROUTES",
    "MAX_STREAMS",
    "SECRET_LENGTH",
    "address",
    "boolean",
    "conventions",
    "delay",
    "directory",
    "dotted_paths",
    "exact_paths",
    "integer",
    "is_guessable",
    "key_names",
    "key_words",
    "logger_names",
    "migration",
    "name",
    "namespace",
    "networks",
    "one_of",
    "origins",
    "page_routes",
    "path",
    "path_prefix",
    "plain_list",
    "port",
    "positive_integer",
    "request_id_headers",
    "response_header",
    "routes",
    "seconds",
    "secret_text",
    "share",
    "some_of",
    "token",
]

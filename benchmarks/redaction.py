"""
Megabytes of log text a second through the redaction policy, beside a scrubber of keys and a naive alternation.

    python -m benchmarks.redaction --rounds 100

Three variants over the same lines (log_lines.py: a fixed seed, lines of 100 to 250 characters), clean and with a
secret in each line, in texts of 1 KB and 10 KB. Ours is `RedactionPolicy(limits=Limits(text=0)).redact_text`: all
rules, and no cut. Alternation is one `re` pattern of the same kinds, as a team would write it: the same prefixes of
tokens and words of keys, and no check digits. Sentry is sentry-sdk's `EventScrubber(recursive=True)`, which knows keys
only and reads no text: it is given each line as the structure that it came from, parsed before the clock starts, and is
credited with the characters of the line. So it does less; what it leaves in the lines is printed beside.

Each is proved before it is timed: clean lines stay as they are, and the secrets that survive are counted; of ours and
of the alternation none may. A round times each variant once over each kind of text, in a new order every time; figures
are medians over the rounds, ratios those of two times of one round. The texts of a round are the same for all variants
and in no other round: RE2 reads a text that it has read before several times as fast.

`record` is `RedactionPolicy().redact_record` of a log record with 14 fields that needs no change; ids and latency are
others in each, all else is the same, as in a service.

`hostile` is the worst of texts that a client may send, each a repetition of what rules look for: microseconds a byte of
64 KB that are read whole, as `divan-obs redact` reads them, and milliseconds of a log line that has such a text as its
message, its exception, its stack and 32 fields. Both are processor time, the best of five.
"""

from __future__ import annotations

import gc
import logging
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import click
import orjson
from sentry_sdk.scrubber import EventScrubber

from benchmarks.log_lines import SEED, Line, lines, texts
from benchmarks.measuring import heading, machine, orders, spread
from divan_obs_asgi.logs.lines import FIELDS_KEY, Lines
from divan_obs_asgi.redaction import DEFAULT_RULES, KeyRule, Limits, RedactionPolicy, TokenShape

SIZES = {"1 KB": 1000, "10 KB": 10_000}
KINDS = {"clean": False, "a secret in each line": True}
# Of ours, in MB/s and in microseconds.
TARGETS = {"clean": 100.0, "a secret in each line": 30.0}
RECORD_TARGET_US = 5.0
# Characters that each variant reads in one timing, and records.
_BURST = 100_000
_RECORDS = 500
# The worst that a search over all fragments of rules with all glue between them has found.
HOSTILE = (
    "eyJ-", "eyJa-", "-eyJeyJ----", "ghp_eyJeyJghp_ghp_ghp_", "bearer+", "basic%20", "x://%40", "://...@", "sid=",
    "sid==", ";text:a", "body: ", "fax: ", "pan: ", "geo:", "tel: ", "cvc=[", "http://a:b%40", "--a ", "BE00 ", "\n",
    "\u00e9\n", "\u200b=", "%70", "\\u0070-", "52.5200,", "0-0%20", "--token ", "family name%3D", "[parameters: .",
)  # fmt: skip
_HOSTILE_SIZE = 65_536
_LINE_SIZE = 16_384
PACKAGES = ("sentry-sdk", "orjson")


@dataclass(frozen=True)
class Variant:
    """
    Something that takes secrets out of log lines.

    Attributes:
        prepared: makes of the lines of some texts what `redacted` takes; not timed.
        redacted: the work; returns the redacted lines.
    """

    name: str
    prepared: Callable[[list[list[Line]]], list[Any]]
    redacted: Callable[[list[Any]], list[Any]]


def ours() -> Variant:
    redact_text = RedactionPolicy(limits=Limits(text=0)).redact_text
    return Variant("ours", joined, lambda given: [redact_text(text) for text in given])


def alternation() -> Variant:
    replace = naive_pattern().sub
    return Variant("alternation", joined, lambda given: [replace("[redacted]", text) for text in given])


def sentry() -> Variant:
    scrub = EventScrubber(recursive=True).scrub_dict

    def scrubbed(given: list[Any]) -> list[Any]:
        for event in given:
            scrub(event)
        return given

    return Variant("sentry", lambda chunks: [orjson.loads(line.fields) for text in chunks for line in text], scrubbed)


def joined(chunks: list[list[Line]]) -> list[str]:
    return ["\n".join(line.text for line in text) for text in chunks]


def naive_pattern() -> re.Pattern[str]:
    """Return the alternation: every kind that the policy knows, one after the other."""
    keys: set[str] = set()
    tokens: list[str] = []
    for rule in DEFAULT_RULES:
        if isinstance(rule, KeyRule):
            keys |= rule.words | rule.last | rule.exact
        elif isinstance(rule, TokenShape):
            prefixes = "|".join(map(re.escape, rule.prefixes))
            tokens.append(rf"{rule.before or r'(?<![A-Za-z0-9])'}(?:{prefixes}){rule.rest}")
    words = "|".join(re.escape(key).replace(r"\ ", "[-_. ]?") for key in sorted(keys, key=len, reverse=True))
    return re.compile(
        "|".join(
            (
                r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
                r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",
                r"(?i:\b(?:bearer|basic)(?:\s|%20)+)[\w.~+/-]{8,}=*",
                rf"(?i:\b(?:[a-z0-9]+[-_.])*(?:{words})\b[\"']?\s?[=:]\s?[\"']?)[^\s\"'&,;)]+",
                *tokens,
                r"[\w.%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
                r"(?<!\w)\+[1-9](?:[ ()./-]?\d){6,14}\b",
                r"\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}\b",
                r"\b[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}\b",
                r"-?\d{1,3}\.\d{4,}[,; ]\s?-?\d{1,3}\.\d{4,}",
            )
        )
    )


MAKERS: dict[str, Callable[[], Variant]] = {"ours": ours, "sentry": sentry, "alternation": alternation}


def verify(variant: Variant) -> float:
    """
    Return the share of secrets that survive.

    Raises:
        AssertionError: where the variant changes clean lines, hides nothing, or reads text and leaves a secret in it.
    """
    clean = list(islice(texts(lines(secrets=False), 1000), 100))
    assert variant.redacted(variant.prepared(clean)) == variant.prepared(clean), f"{variant.name} changes clean lines"
    dirty = [line for text in islice(texts(lines(secrets=True), 1000), 100) for line in text]
    left = 0
    for line in dirty:
        redacted = variant.redacted(variant.prepared([[line]]))
        left += line.secret in str(redacted)
    assert left < len(dirty), f"{variant.name} redacts nothing"
    assert variant.name == "sentry" or not left, f"{variant.name} leaves {left} of {len(dirty)} secrets"
    return left / len(dirty)


def burst(variant: Variant, chunks: list[list[Line]]) -> float:
    """Return the megabytes a second that `variant` reads of these texts."""
    given = variant.prepared(chunks)
    characters = sum(len(line.text) + 1 for text in chunks for line in text)
    gc.collect()
    begun = time.perf_counter()
    variant.redacted(given)
    return characters / (time.perf_counter() - begun) / 1e6


def records() -> list[dict[str, object]]:
    """Return log records of the required fields with nothing to hide, each with ids of its own."""
    rng = random.Random(SEED)
    return [
        {
            "ts": f"2026-11-24T09:30:{rng.randrange(60):02}.{rng.randrange(10**6):06}Z",
            "level": "INFO",
            "msg": "GET /rooms/{room_id}/messages",
            "service": "divan-api",
            "env": "prod",
            "commit": "0d1e2f3a",
            "request_id": f"{rng.getrandbits(32):08x}-2f0b-4c5e-9a43-{rng.getrandbits(48):012x}",
            "trace_id": f"{rng.getrandbits(128):032x}",
            "span_id": f"{rng.getrandbits(64):016x}",
            "route": "/rooms/{room_id}/messages",
            "status": 200,
            "latency_ms": round(rng.uniform(0.2, 400), 3),
            "logger": "divan_obs_asgi.access",
            "outcome": "ok",
        }
        for _ in range(_RECORDS)
    ]


def record_us(policy: RedactionPolicy, given: list[dict[str, object]]) -> float:
    """Return the microseconds that one record costs."""
    redact_record = policy.redact_record
    gc.collect()
    begun = time.perf_counter()
    for record in given:
        redact_record(record)
    return (time.perf_counter() - begun) * 1e6 / len(given)


def worst_us_per_byte() -> tuple[float, str]:
    """Return what a byte of the slowest hostile text costs that is read whole, and what is repeated in it."""
    redact_text = RedactionPolicy(limits=Limits(text=0)).redact_text
    texts = ((repeated, _repeated(repeated, _HOSTILE_SIZE)) for repeated in HOSTILE)
    return max((_best_s(redact_text, text) * 1e6 / len(text.encode()), r) for r, text in texts)


def worst_line_ms() -> tuple[float, str]:
    """Return what the slowest line costs whose texts are all hostile, and what is repeated in it."""
    build = Lines("divan-api", "prod", "0d1e2f3a", RedactionPolicy()).application
    hostile = ((repeated, _hostile_record(_repeated(repeated, _LINE_SIZE))) for repeated in HOSTILE)
    return max((_best_s(build, line, None, 1.0) * 1e3, repeated) for repeated, line in hostile)


def _repeated(repeated: str, size: int) -> str:
    return (repeated * (size // len(repeated) + 1))[:size]


def _hostile_record(text: str) -> logging.LogRecord:
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord("app", logging.ERROR, "app.py", 1, text, (), sys.exc_info(), sinfo=text)
    setattr(record, FIELDS_KEY, {f"field_{number}": text[number : number + 1024] for number in range(32)})
    return record


def _best_s(call: Callable[..., object], *arguments: object) -> float:
    took = []
    for _ in range(5):
        begun = time.thread_time()
        call(*arguments)
        took.append(time.thread_time() - begun)
    return min(took)


def measured(names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return the throughput of each variant, how ours compares, and what a record costs."""
    variants = [MAKERS[name]() for name in names]
    survivors = {variant.name: verify(variant) for variant in variants}
    given = records()
    policy = RedactionPolicy()
    assert [policy.redact_record(record) for record in given] == given, "a record that needs no change is changed"
    sources = {kind: lines(secrets) for kind, secrets in KINDS.items()}
    cells = [(variant, kind, size) for kind in KINDS for size in SIZES for variant in variants]
    gc.collect()
    gc.freeze()
    found: list[list[float]] = [[] for _ in cells]
    took_us: list[float] = []
    for order, counts in orders(len(cells), rounds):
        chunks = {
            (kind, size): list(islice(texts(source, length), _BURST // length))
            for kind, source in sources.items()
            for size, length in SIZES.items()
        }
        for index in order:
            variant, kind, size = cells[index]
            speed = burst(variant, chunks[kind, size])
            if counts:
                found[index].append(speed)
        took = record_us(policy, given)
        if counts:
            took_us.append(took)
    by_cell = {(v.name, kind, size): speeds for (v, kind, size), speeds in zip(cells, found, strict=True)}
    byte, line = worst_us_per_byte(), worst_line_ms()
    return {
        "machine": machine(PACKAGES),
        "rounds": rounds,
        "hostile": {
            "us_per_byte": byte[0],
            "of_text": byte[1],
            "line_ms": line[0],
            "of_line": line[1],
        },
        "results": [_row(*cell, by_cell, survivors) for cell in by_cell],
        "record": {
            "us": statistics.median(took_us),
            "spread_us": spread(took_us),
            "target": RECORD_TARGET_US,
            "reached": statistics.median(took_us) <= RECORD_TARGET_US,
        },
    }


def _row(
    name: str, kind: str, size: str, found: dict[tuple[str, str, str], list[float]], survivors: dict[str, float]
) -> dict[str, Any]:
    speeds, own = found[name, kind, size], found.get(("ours", kind, size))
    speed = statistics.median(speeds)
    target = TARGETS[kind] if name == "ours" else None
    return {
        "text": kind,
        "size": size,
        "name": name,
        "mb_per_s": speed,
        "spread": spread(speeds),
        "ours_is_times": statistics.median(o / s for o, s in zip(own, speeds, strict=True)) if own else None,
        "secrets_left": survivors[name] if KINDS[kind] else None,
        "target": target,
        "reached": None if target is None else speed >= target,
    }


def report(result: dict[str, Any]) -> str:
    """Return the result as a table for people."""
    out = [
        *heading(result["machine"], f"medians over {result['rounds']} rounds"),
        "",
        f"{'':24} {'':7} {'':12} {'MB/s':>7} {'spread':>7} {'ours is':>8} {'secrets left':>13}  target",
    ]
    for row in result["results"]:
        times = "" if row["ours_is_times"] is None or row["name"] == "ours" else f"{row['ours_is_times']:.1f} x"
        left = "" if row["secrets_left"] is None else f"{row['secrets_left']:.0%}"
        out.append(
            f"{row['text']:24} {row['size']:7} {row['name']:12} {row['mb_per_s']:7.1f} {row['spread']:7.1f} "
            f"{times:>8} {left:>13}  {_target(row, '>=')}".rstrip()
        )
    record = result["record"]
    out += [
        "",
        f"record of 14 fields: {record['us']:.2f} µs, spread {record['spread_us']:.2f}  {_target(record, '<=')}",
    ]
    hostile = result["hostile"]
    out.append(
        f"hostile: {hostile['us_per_byte']:.2f} µs a byte ({hostile['of_text']!r}), "
        f"{hostile['line_ms']:.2f} ms a line ({hostile['of_line']!r})"
    )
    return "\n".join(out)


def _target(row: dict[str, Any], sign: str) -> str:
    if row["target"] is None:
        return ""
    return f"{sign} {row['target']:g}: {'reached' if row['reached'] else 'NOT REACHED'}"


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=100, show_default=True, type=click.IntRange(1))
@click.option("--only", multiple=True, type=click.Choice(list(MAKERS)), help="These variants.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, only: Sequence[str], as_json: bool) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    result = measured(only or tuple(MAKERS), rounds)
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2) if as_json else report(result))


if __name__ == "__main__":
    main()

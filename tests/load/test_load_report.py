"""What a load test reports and judges."""

from __future__ import annotations

from benchmarks.load.report import Run, table, verdicts
from benchmarks.load.scripts import SCRIPTS, Summary

CHAT = SCRIPTS[0]
LATENCY = CHAT.measures["send"]
FAILED = f"http_req_failed{{name:{CHAT.route}}}"


def run(stack: str, *, cpu_s: float = 1.0, others: float = 0.0, p95_ms: float = 90.0, failed: float = 0.0) -> Run:
    """Return a run of a thousand messages."""
    metrics = {
        "http_reqs": {"values": {"count": 1000, "rate": 100.0}},
        f"http_reqs{{name:{CHAT.route}}}": {"values": {"count": 1000, "rate": 99.5}},
        FAILED: {"values": {"rate": failed}, "thresholds": {"rate<0.01": {"ok": failed < 0.01}}},
        LATENCY: {
            "values": {"med": 12.0, "p(95)": p95_ms, "p(99)": p95_ms},
            "thresholds": {"p(95)<150": {"ok": p95_ms < 150}},
        },
    }
    return Run(stack, Summary(CHAT, {"metrics": metrics}), cpu_s, others)


def test_the_table_compares_cpu_per_request() -> None:
    """With the stack against without it."""
    *_, off, on = table([run("off", cpu_s=0.8), run("on", cpu_s=1.0, others=0.07)]).splitlines()
    assert off.split() == ["chat_send_load", "send", "off", "12.0", "90.0", "90.0", "0.00%", "0", "99.5", "800", "0%"]
    assert on.split() == [
        *("chat_send_load", "send", "on", "12.0", "90.0", "90.0", "0.00%", "0", "99.5", "1000", "1.25", "7%"),
    ]


def test_what_is_met_is_no_verdict() -> None:
    """Nothing to say."""
    assert verdicts([run("off"), run("on", others=0.9)]) == ([], [])


def test_latency_is_judged_on_an_idle_machine() -> None:
    """A quarter of it may be used by others."""
    assert verdicts([run("on", p95_ms=151, others=0.25)]) == (
        [f"chat_send_load, stack on: {LATENCY} p(95)<150: 151"],
        [],
    )


def test_latency_is_not_judged_on_a_busy_machine() -> None:
    """The report says so, and how busy it was."""
    assert verdicts([run("on", p95_ms=151, others=0.26)]) == (
        [],
        [f"chat_send_load, stack on: {LATENCY} p(95)<150: not judged (busy): others used 26% of the machine"],
    )


def test_errors_are_judged_on_a_busy_machine() -> None:
    """A request that fails does so whoever else is busy."""
    assert verdicts([run("off", failed=0.02, others=0.9)]) == (
        [f"chat_send_load, stack off: {FAILED} rate<0.01: 0.02"],
        [],
    )

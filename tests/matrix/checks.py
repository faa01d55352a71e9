"""The promises of each cell. A check raises AssertionError with what was seen instead."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from tests.matrix.surface import LOGGED, SECRETS
from tests.matrix.visit import DRAIN_S, Visit, samples

ACCESS = "divan_obs_asgi.access"
SERVERS_OWN = {"uvicorn.access", "hypercorn.access", "gunicorn.access", "granian.access", "_granian.access"}
SERVERS_OWN |= {"daphne.access", "django.channels.server"}
Check = Callable[[Visit], None]


def serves(seen: Visit) -> None:
    """The server starts, and the application answers."""
    assert seen.served, "the server did not start: " + tail(seen)
    response = seen.response("rooms")
    assert response.status_code == 200, f"GET /rooms/... was answered {response.status_code}: {errors(seen)}"


def line(seen: Visit) -> None:
    """The access line of a request has the route's template, and is there once."""
    found = access_lines(seen, "rooms")
    assert [(one["route"], one["status"], one["outcome"]) for one in found] == [("/rooms/{room_id}", 200, "ok")], (
        f"access lines: {found}"
    )


def metric(seen: Visit) -> None:
    """The counter has the route's template."""
    page = seen.response("/metrics").text
    lacking = [sample for sample in samples(seen.app) if sample not in page]
    found = [sample for sample in page.splitlines() if re.match("divan_(http_requests|socketio_events)_total", sample)]
    assert not lacking, f"/metrics lacks {lacking}; it has {found}"


def span(seen: Visit) -> None:
    """The exported server span has the route's template, and the ids of the access line."""
    trace = seen.ids["rooms"].trace
    found = [one for one in seen.spans if one.trace_id.hex() == trace]
    assert [one.name for one in found] == ["GET /rooms/{room_id}"], f"spans: {[one.name for one in found]}"
    named = [(one["trace_id"], one["span_id"]) for one in access_lines(seen, "rooms")]
    assert set(named) == {(trace, found[0].span_id.hex())}, f"the access line names {named}"


def ids(seen: Visit) -> None:
    """The request's id is answered, and stands in each of its lines; a request without one gets one."""
    sent = seen.ids["rooms"].request
    answered = seen.response("rooms").headers.get("x-request-id")
    assert answered == sent, f"X-Request-Id {sent} was answered {answered}"
    given = seen.response("without an id").headers.get("x-request-id")
    assert given, "a request without an id was answered without one"
    for request in (sent, given):
        loggers = sorted({one["logger"] for one in seen.lines() if one["request_id"] == request})
        assert loggers == [ACCESS, "shop"], f"request {request} stands in lines of {loggers}"


def application_line(seen: Visit) -> None:
    """What the application logs is written once, as JSON."""
    # Of two requests, and as often in each of the two forms.
    said = LOGGED.partition("%s")[0]
    found = [one for one in seen.output[signal.SIGTERM] if said in one]
    assert len(found) == 2, f"2 lines of the application were written {len(found)} times: {found}"


def error_line(seen: Visit) -> None:
    """A request that fails is answered 500, and is one ERROR line."""
    response = seen.response("fail")
    assert response.status_code == 500, f"it was answered {response.status_code}"
    one_line_for(seen, "fail", "RuntimeError")


def websocket(seen: Visit) -> None:
    """A WebSocket echoes, and its line has the route's template."""
    assert seen.echoed == SECRETS["WebSocket message"], f"the echo was {seen.echoed!r}"
    route = "/socket.io" if seen.app == "socketio" else "/echo/{room_id}"
    found = [(one["route"], one["status"]) for one in access_lines(seen, "echo")]
    assert found == [(route, 101)], f"access lines: {found}"


def websocket_error_line(seen: Visit) -> None:
    """A WebSocket, or an event of Socket.IO, that fails is one ERROR line."""
    one_line_for(seen, "echo", "LookupError")


def outcome(seen: Visit) -> None:
    """The access line of a request that fails, or of a WebSocket, is not `ok`; that of an event is another line."""
    names = ("fail",) if seen.app == "socketio" else ("fail", "echo")
    found = {name: [(one["level"], one["outcome"]) for one in access_lines(seen, name)] for name in names}
    wrong = {name: lines for name, lines in found.items() if len(lines) != 1 or lines[0][1] == "ok"}
    assert not wrong, f"access lines: {wrong}"


def json_lines(seen: Visit) -> None:
    """Each line is JSON, but for those of a parent process that never imports the application."""
    parents = re.compile(seen.server.parent or r"(?!)")
    plain = [
        one for lines in seen.output.values() for one in lines if not one.startswith("{") and not parents.search(one)
    ]
    assert not plain, f"{len(plain)} plain lines: {shown(plain)}"


def one_access_line(seen: Visit) -> None:
    """The server's own access line is off while ours is on."""
    own = sorted({one["logger"] for one in seen.lines() if one["logger"] in SERVERS_OWN})
    assert not own, f"access lines of {own}"


def no_secret(seen: Visit) -> None:
    """No secret is written, exposed or exported."""
    page = seen.responses.get("/metrics")
    told = {
        "output": seen.text(),
        "/metrics": page.text if isinstance(page, httpx.Response) else "",
        "spans": str(seen.spans),
    }
    found = [f"{name} in {where}" for where, text in told.items() for name, secret in SECRETS.items() if secret in text]
    assert not found, f"secrets: {found}; {shown(one for one in seen.text().splitlines() if holds_a_secret(one))}"


def health(seen: Visit) -> None:
    """The endpoints of probes and scrapes answer; /metrics with the token only."""
    found = {path: seen.response(path).status_code for path in seen.responses if path.startswith("/")}
    assert found == {
        "/health/live": 200,
        "/health/ready": 200,
        "/health/startup": 200,
        "/metrics without a token": 401,
        "/metrics": 200,
    }, f"answers: {found}; {seen.response('/health/startup').text}"


def drain(seen: Visit) -> None:
    """SIGTERM starts a drain, which a line says; where it does not, a line at the start says so."""
    said = f"SIGTERM: not ready; serving for another {DRAIN_S:g} s."
    said = said if seen.server.drains else "SIGTERM does not start a drain: "
    messages = [one["msg"] for one in seen.lines() if one["logger"] == "divan_obs_asgi.drain"]
    assert any(message.startswith(said) for message in messages), f"no line says {said!r}, but {messages}"


def in_flight(seen: Visit) -> None:
    """What is in flight at SIGTERM is answered."""
    waited = seen.waited
    told = waited if isinstance(waited, str) else f"{waited.status_code} {waited.text[:200]}"
    assert isinstance(waited, httpx.Response), f"the request in flight: {told}"
    assert waited.status_code == 200, f"the request in flight: {told}"


def sigterm(seen: Visit) -> None:
    """SIGTERM ends the process, with the server's exit code."""
    ended(seen, signal.SIGTERM, seen.server.sigterm)


def sigint(seen: Visit) -> None:
    """Ctrl-C ends the process, with the server's exit code and without a traceback."""
    ended(seen, signal.SIGINT, seen.server.sigint)
    found = [one for one in seen.output[signal.SIGINT] if "Traceback" in one or "KeyboardInterrupt" in one]
    assert not found, f"lines at Ctrl-C: {shown(found)}"


#: By the names that the table of deviations uses, in the order in which a reader wants to know of them.
CHECKS: dict[str, Check] = {
    "serves": serves,
    "line": line,
    "metric": metric,
    "span": span,
    "ids": ids,
    "application line": application_line,
    "ERROR line": error_line,
    "WebSocket": websocket,
    "ERROR line of a WebSocket": websocket_error_line,
    "outcome": outcome,
    "JSON": json_lines,
    "one access line": one_access_line,
    "no secret": no_secret,
    "health and metrics": health,
    "drain": drain,
    "in flight": in_flight,
    "SIGTERM": sigterm,
    "Ctrl-C": sigint,
}


def access_lines(seen: Visit, name: str) -> list[dict[str, Any]]:
    request = seen.ids[name].request
    return [one for one in seen.lines() if one["logger"] == ACCESS and one["request_id"] == request]


def one_line_for(seen: Visit, name: str, exception: str) -> None:
    """Hold the lines about a failure to one, which is JSON, has the type and is an error."""
    request = seen.ids[name].request
    others = {ids.request for ids in seen.ids.values()} - {request}
    of_it = [
        one
        for one in seen.lines()
        if (one.get("error", {}).get("type") == exception and one["request_id"] not in others)
        # A server may have the exception in its text, and nothing else.
        or (one["level"] in ("ERROR", "CRITICAL") and (one["request_id"] == request or exception in one["msg"]))
    ]
    found = [one["logger"] for one in of_it]
    # The last line of a traceback as Python writes it.
    found += ["plain text"] * sum(one.startswith(f"{exception}: ") for one in seen.output[signal.SIGTERM])
    assert len(found) == 1, f"{len(found)} ERROR lines: {dict(sorted(Counter(found).items()))}"
    [one] = of_it or [{}]
    told = one.get("level"), one.get("error", {}).get("type")
    assert told == ("ERROR", exception), f"the one line says {told}"


def ended(seen: Visit, number: signal.Signals, code: int) -> None:
    found = seen.exits.get(number, "not started")
    assert found is not None, f"{number.name} did not end the process in time: {tail(seen, number)}"
    assert found == code, f"the exit code after {number.name} was {found}"


def errors(seen: Visit) -> str:
    """Say which exceptions the output names."""
    named = Counter(re.findall(r"^(\w+(?:Error|Exception)\b.*)", seen.text(), re.MULTILINE))
    named += Counter(f"{one['error']['type']}" for one in seen.lines() if "error" in one)
    return str([name for name, _ in named.most_common(3)])


def holds_a_secret(one: str) -> bool:
    return any(secret in one for secret in SECRETS.values())


def shown(lines: Iterable[str]) -> str:
    """Return the first few lines, cut."""
    return " | ".join(one[:160] for one in list(lines)[:4])


def tail(seen: Visit, number: signal.Signals = signal.SIGTERM) -> str:
    return " | ".join(one[:300] for one in seen.output.get(number, [])[-5:])


__all__ = ["CHECKS"]

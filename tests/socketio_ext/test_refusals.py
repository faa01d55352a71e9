"""Whatever Engine.IO and Socket.IO refuse, drop or cannot decode is counted once by its reason, and is on its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from divan_obs_asgi.socketio_ext.refusals import REASONS
from tests.pages import Page
from tests.socketio_ext.javascript_client import JavaScriptClients
from tests.socketio_ext.refusal_causes import CAUSES, By, Cause, JavaScript, counted
from tests.socketio_ext.refusals_by_hand import BY_HAND
from tests.socketio_ext.refusals_in_process import refused
from tests.socketio_ext.service import Service
from tests.stacks import Observed

#: The event may be handled when its request has ended; a packet is for a client that did not ask for it.
ON_NO_LINE = {"no_handler", "recipient_gone"}


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start("over")


def by_javascript() -> Iterator[Any]:
    for reason, cause in CAUSES.items():
        for way in cause.ways:
            yield pytest.param(reason, cause, way, id=f"{reason}: {way.__name__}", marks=cause.marks)


def in_process() -> Iterator[Any]:
    for reason, cause in CAUSES.items():
        if cause.in_process is not None:
            yield pytest.param(reason, cause.in_process, id=reason, marks=cause.marks)


def by_hand() -> Iterator[Any]:
    for reason, ways in BY_HAND.items():
        for number, way in enumerate(ways):
            yield pytest.param(reason, way, id=f"{reason} {number}")


def is_refused_once(service: Service, reason: str, run: Callable[[], object], then: str = "") -> None:
    """
    Let a client do something: one refusal more, and a line that says so unless the client was served otherwise.

    Args:
        then: the reason of another refusal, which the client may cause next.
    """
    before, written = counted(service), len(service.output)
    assert set(before) == set(REASONS)
    run()

    def grown() -> dict[str, float]:
        grown = {name: n - before[name] for name, n in counted(service).items() if n != before[name]}
        # The last poll of a client of an earlier test may end now.
        for expected in {"poll_timeout", then} - {reason}:
            grown.pop(expected, None)
        return grown

    def on_lines() -> list[dict[str, Any]]:
        service.flush()
        return [line for line in service.lines(written) if reason in line.get("refused", {})]

    service.wait_for(grown)
    if reason not in ON_NO_LINE:
        service.wait_for(lambda: sum(line["refused"][reason] for line in on_lines()) == grown()[reason])
    lines = on_lines()
    for line in lines:
        assert line["refused"] == {reason: 1}
        assert (line["route"], line["outcome"] != "ok") == ("/socket.io", True)
        assert line["request_id"]
    # A client that has lost its session may ask twice.
    assert grown() == {reason: max(1, len(lines))}


@pytest.mark.slow
@pytest.mark.parametrize(("reason", "cause", "way"), list(by_javascript()))
def test_the_javascript_client_causes_it(
    reason: str,
    cause: Cause,
    way: Callable[[JavaScript], None],
    start: Callable[..., Service],
    javascript_clients: JavaScriptClients,
) -> None:
    """Whatever the client of the browsers does, alone unless the table says otherwise."""
    service = start("over", **dict(cause.environ))
    client = JavaScript(javascript_clients, service)
    try:
        is_refused_once(service, reason, lambda: ended(client, way, reason), cause.next)
    finally:
        client.do("close")
    assert client.has_company == (cause.by is By.COMPANY)


def ended(client: JavaScript, way: Callable[[JavaScript], None], reason: str) -> None:
    """Run it; the line of a WebSocket is written at its end."""
    way(client)
    if reason != "incomplete_binary":
        client.do("settle")
        client.do("close")


@pytest.mark.parametrize(("reason", "way"), list(in_process()))
def test_the_server_alone_causes_it(reason: str, way: Callable[[Observed], None]) -> None:
    """It is counted and on the request's line as others are."""
    observed = Observed()
    way(observed)
    assert refused(observed) == {reason: 1}
    (line,) = [line for line in observed.lines() if line.get("route") == "/socket.io"]
    assert (line["refused"], line["outcome"]) == ({reason: 1}, "refused")


@pytest.mark.slow
@pytest.mark.parametrize(("reason", "way"), list(by_hand()))
def test_a_client_by_hand_causes_it(reason: str, way: Callable[[Service], None], service: Service) -> None:
    """What the real client never does, and others may."""
    is_refused_once(service, reason, lambda: way(service))


def test_the_table_has_the_reasons_of_the_code_and_of_the_document() -> None:
    documented = re.search(r"^## What is refused\n(.*?)^## ", Page("socketio.md").text, re.DOTALL | re.MULTILINE)
    assert documented is not None
    assert list(CAUSES) == list(REASONS) == re.findall(r"^\| `(\w+)` \|", documented[1], re.MULTILINE)
    assert BY_HAND.keys() <= REASONS.keys()


def test_each_row_of_the_table_is_a_test() -> None:
    """By the way that the row names; where that is not the client alone, the row says why."""
    over_the_wire = {case.values[0] for case in by_javascript()}
    without = {case.values[0] for case in in_process()}
    assert without == {reason for reason, cause in CAUSES.items() if cause.by is By.PROCESS}
    assert over_the_wire == CAUSES.keys() - without
    for cause in CAUSES.values():
        assert bool(cause.why) == (cause.by is not By.CLIENT)

"""docs/drain.md agrees with the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import orjson
import pytest

from divan_obs_asgi.lifecycle import development
from divan_obs_asgi.lifecycle.development import why_development
from divan_obs_asgi.lifecycle.drain import DEFAULT_DELAY_S, POLLED_S
from tests.ops.asking import ask, bearer, operated
from tests.pages import Page, coded, unknown_metrics

PAGE = Page("drain.md")


def test_the_table_of_reasons_has_those_that_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they are tried."""
    monkeypatch.setattr(development, "is_terminal", lambda stream: True)
    monkeypatch.setattr(sys, "argv", ["uvicorn", "app:app", "--reload"])
    reasons = [why_development(None, dev=True)]
    monkeypatch.setattr(sys, "argv", ["uvicorn", "app:app"])
    for name in ("WATCHFILES_CHANGES", "WERKZEUG_RUN_MAIN", "RUN_MAIN"):
        monkeypatch.delenv(name, raising=False)
    reasons.append(why_development(None, dev=True))
    monkeypatch.setattr(development, "is_terminal", lambda stream: False)
    reasons.append(why_development(None, dev=True))
    assert [coded(row["reason"])[0] for row in PAGE.table("reason")] == reasons
    assert why_development(None) == ""


def test_the_documented_delay_is_the_default() -> None:
    """Where OBS_DRAIN_DELAY_S is not set."""
    assert (
        f"the delay is {DEFAULT_DELAY_S:g} s if `/health/ready` was polled within the last {POLLED_S:g} s"
        in PAGE.flowing
    )


def test_the_documented_response_has_the_present_shape() -> None:
    """What `POST /ops/drain` shows can be parsed in the same way."""
    shown = re.search(r'^ +(\{"state".*\})$', PAGE.text, re.MULTILINE)
    assert shown is not None
    documented = orjson.loads(shown[1])
    done = ask(operated({"OBS_DRAIN_DELAY_S": "8"}), "/ops/drain", bearer(), method="POST")
    answer = orjson.loads(done.body)
    assert list(answer) == list(documented)
    assert list(answer["in_flight"]) == list(documented["in_flight"])
    assert (answer["state"], answer["cause"]) == (documented["state"], documented["cause"])


def test_the_documented_lines_are_logged() -> None:
    """The texts that operators search for are those of the code."""
    source = (Path(development.__file__).with_name("drain.py")).read_text()
    for line in ("%s: not ready; shutting down now%s.", "SIGTERM does not start a drain: %s."):
        assert line in source
    assert "`SIGINT: not ready; shutting down now.`" in PAGE.flowing
    assert "`SIGTERM does not start a drain: ...`" in PAGE.flowing


def test_the_documented_metrics_exist() -> None:
    """With the labels of the catalogue."""
    assert PAGE.metrics()
    assert unknown_metrics(PAGE) == set()

"""The sinks of the start-up canary cover every part of a line, a page, a response and a span."""

from __future__ import annotations

import json
from collections.abc import Mapping

from divan_obs_asgi.logs import Lines
from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.redaction import RedactionPolicy

# Without rules, so that every sink leaks.
OPEN = RedactionPolicy(())
FIELDS: Mapping[str, object] = {"note": "a note", "nested": {"deep": "a field"}}


def test_a_line_has_message_fields_and_traceback() -> None:
    """The argument of `%s`, the fields of `extra`, and the text of the exception."""
    line = json.loads(canaries.log_sink(Lines("a", "b", "c", OPEN))("a text", FIELDS))
    assert line["msg"] == "said a text"
    assert (line["note"], line["nested"]) == (FIELDS["note"], FIELDS["nested"])
    assert line["error"]["traceback"].endswith("ValueError: a text\n")


def test_a_page_of_metrics_has_labels_and_exemplars() -> None:
    """Both can contain texts."""
    page = canaries.metrics_sink(OPEN)("a text", FIELDS).decode()
    assert '_total{label="a text"} 1.0 # {note="a note"} 1.0' in page


def test_a_health_response_has_texts_and_details() -> None:
    """A probe can publish both."""
    answer = json.loads(canaries.health_sink(OPEN)("a text", FIELDS))
    assert answer == {"text": "a text", **FIELDS}

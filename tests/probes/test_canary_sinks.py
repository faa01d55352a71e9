"""What the start-up canary looks at: every part of every sink, so that a leak in one of them is seen."""

from __future__ import annotations

import json
from collections.abc import Mapping

from divan_obs_asgi.logs import Lines
from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.redaction import RedactionPolicy

# Without a rule, as if each of them had failed.
OPEN = RedactionPolicy(())
FIELDS: Mapping[str, object] = {"note": "a note", "nested": {"deep": "a field"}}


def test_a_line_is_seen_with_its_message_fields_and_traceback() -> None:
    """What a `%s` brings into the message, what `extra` adds, and what the exception says."""
    line = json.loads(canaries.log_sink(Lines("a", "b", "c", OPEN))("a text", FIELDS))
    assert line["msg"] == "said a text"
    assert (line["note"], line["nested"]) == (FIELDS["note"], FIELDS["nested"])
    assert line["error"]["traceback"].endswith("ValueError: a text\n")


def test_a_page_of_metrics_is_seen_with_labels_and_exemplars() -> None:
    """Both stand beside the number."""
    page = canaries.metrics_sink(OPEN)("a text", FIELDS).decode()
    assert '_total{label="a text"} 1.0 # {note="a note"} 1.0' in page


def test_a_health_answer_is_seen_with_texts_and_details() -> None:
    """A probe tells either."""
    answer = json.loads(canaries.health_sink(OPEN)("a text", FIELDS))
    assert answer == {"text": "a text", **FIELDS}

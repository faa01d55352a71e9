"""
Helpers for the tests of applications and middlewares: the telemetry of a test, the contract that every middleware of a
stack keeps, and a search for secrets.

The pytest fixture `telemetry` is in a plugin that pytest loads by itself.

`divan_obs_asgi.testing.strategies` generates values that contain secrets, for tests with hypothesis.
"""

from divan_obs_asgi.testing.collected import Change, Changes, Collected, Event, Line, Request, Span
from divan_obs_asgi.testing.contract import CONTRACT, Build, Check
from divan_obs_asgi.testing.conversation import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.testing.scenarios import SCENARIOS, Scenario
from divan_obs_asgi.testing.secrecy import assert_no_secret
from divan_obs_asgi.testing.telemetry import Telemetry

__all__ = [
    "CONTRACT",
    "SCENARIOS",
    "Build",
    "Change",
    "Changes",
    "Check",
    "Collected",
    "Conversation",
    "Event",
    "Line",
    "Request",
    "Scenario",
    "Span",
    "Telemetry",
    "assert_no_secret",
    "converse",
    "http_scope",
    "websocket_scope",
]

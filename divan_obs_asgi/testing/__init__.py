"""
For the tests of applications and of middlewares: the contract that every middleware in a stack keeps, and whether a
secret came through.

`divan_obs_asgi.testing.strategies` has values with secrets in them, for tests with hypothesis.
"""

from divan_obs_asgi.testing.contract import CONTRACT, Build, Check
from divan_obs_asgi.testing.conversation import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.testing.scenarios import SCENARIOS, Scenario
from divan_obs_asgi.testing.secrecy import assert_no_secret

__all__ = [
    "CONTRACT",
    "SCENARIOS",
    "Build",
    "Check",
    "Conversation",
    "Scenario",
    "assert_no_secret",
    "converse",
    "http_scope",
    "websocket_scope",
]

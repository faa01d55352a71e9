"""For the tests of applications and of middlewares: the contract that every middleware in a stack keeps."""

from divan_obs_asgi.testing.contract import CONTRACT, Build, Check
from divan_obs_asgi.testing.conversation import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.testing.scenarios import SCENARIOS, Scenario

__all__ = [
    "CONTRACT",
    "SCENARIOS",
    "Build",
    "Check",
    "Conversation",
    "Scenario",
    "converse",
    "http_scope",
    "websocket_scope",
]

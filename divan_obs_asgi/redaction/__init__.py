"""Redaction: one policy, for all sinks, decides what may leave the process."""

from divan_obs_asgi.redaction.keys import KeyRule
from divan_obs_asgi.redaction.policy import RedactionPolicy
from divan_obs_asgi.redaction.request import RedactedRequest
from divan_obs_asgi.redaction.rules import DEFAULT_RULES, KEEP, FieldRule, Rule, TextRule
from divan_obs_asgi.redaction.tokens import TokenShape
from divan_obs_asgi.redaction.walk import JSON, Limits

__all__ = [
    "DEFAULT_RULES",
    "JSON",
    "KEEP",
    "FieldRule",
    "KeyRule",
    "Limits",
    "RedactedRequest",
    "RedactionPolicy",
    "Rule",
    "TextRule",
    "TokenShape",
]

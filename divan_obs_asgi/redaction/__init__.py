"""What may leave the process: one policy, which every sink goes through."""

from divan_obs_asgi.redaction.policy import RedactionPolicy

__all__ = ["RedactionPolicy"]

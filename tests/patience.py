"""How long tests wait for what is meant to succeed: on a machine as busy as it likes, and for ever with a defect."""

from __future__ import annotations

PATIENCE_S = 30.0

__all__ = ["PATIENCE_S"]

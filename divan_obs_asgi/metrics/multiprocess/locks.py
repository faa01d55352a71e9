"""The lock by which others know that a process lives; its id may be somebody else's by now."""

from __future__ import annotations

try:
    import fcntl

    HAS_LOCKS = True
except ImportError:  # Windows
    HAS_LOCKS = False


def lock(descriptor: int) -> None:
    """Lock an open file that nobody else knows, until it is closed."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_alive(descriptor: int) -> bool:
    """Tell whether the process of an open ledger lives."""
    try:
        # Shared, so that two who ask do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def is_mine(descriptor: int) -> bool:
    """Lock an open file, until it is closed; tell whether nobody else had."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


__all__ = ["HAS_LOCKS", "is_alive", "is_mine", "lock"]

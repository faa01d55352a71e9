"""File locks: a worker holds a lock on its ledger while it lives. A process id may belong to another process by now."""

from __future__ import annotations

try:
    import fcntl

    HAS_LOCKS = True
except ImportError:  # Windows
    HAS_LOCKS = False


def lock(descriptor: int) -> None:
    """Lock an open file that no other process knows, until it is closed."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_alive(descriptor: int) -> bool:
    """Return whether the process of an open ledger is alive."""
    try:
        # A shared lock, so that two readers do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share(descriptor: int) -> None:
    """Have a part of the lock of an open file, beside other processes; waits while one has it alone."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def unlock(descriptor: int) -> None:
    """Unlock an open file now, in forked copies of this process too."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


__all__ = ["HAS_LOCKS", "is_alive", "lock", "share", "try_lock", "unlock"]

"""Directories created, synced and locked so that a crash cannot undo it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StoreLocked

LOCK_FILE = "OWNER"


def make_directory(path: Path) -> None:
    """Create a directory and its parents, durably; one that exists is left as it is."""
    missing = [level for level in (path, *path.parents) if not level.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for level in missing:
        sync_directory(level.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: a rename is not, until this returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked_directory(path: Path) -> Iterator[None]:
    """Own a directory until the block ends or the process dies, however it dies.

    LevelDB's own lock is not enough: when a second open in the same process is refused, LevelDB
    closes its lock file, and with it POSIX drops the lock that the first open still relies on.

    Raises:
        StoreLocked: somebody else owns it, this process included.
    """
    descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, path)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace")
        raise StoreLocked(path, owner) from None

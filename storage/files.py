"""Directories created, synced and locked so that a crash cannot undo it."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StoreLocked, TargetExists

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


def sync_tree(path: Path) -> None:
    """Make everything in a directory durable, the names and the contents of its files."""
    for folder, _, names in os.walk(path):
        for name in names:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(folder))


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory to fill, which becomes `path`, whole and durable, when the block ends.

    Until then it lies beside it as `.NAME.unfinished-…`, for its owner alone. If the block fails
    it is removed; what a killed process left may be deleted.

    Raises:
        TargetExists: `path` exists.
    """
    if path.exists():
        raise TargetExists(path)
    make_directory(path.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}.unfinished-", dir=path.parent))
    try:
        yield unfinished
        sync_tree(unfinished)
        _rename(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_directory(path.parent)


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):  # made by somebody else meanwhile
            raise TargetExists(target) from error
        raise


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

"""Key files on disk: private to their owner, written whole or not at all, never overwritten."""

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from node.keys.content import MAX_FILE_BYTES
from node.keys.errors import KeyFileExposed, KeysExist, KeysMissing
from storage.files import make_directory, sync_directory

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """Read a file that only its owner can read; raises KeysMissing or KeyFileExposed.

    What is checked is the open file, so that it cannot be exchanged after the check.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        remedy = "make keys with `tmnode keys make`, or restore them"
        raise KeysMissing("does not exist", field=str(path), remedy=remedy) from error
    except OSError as error:
        raise KeyFileExposed(f"cannot be opened: {error.strerror}", field=str(path)) from error
    with open(descriptor, "rb") as file:
        _check_private(os.fstat(descriptor), path)
        return file.read(MAX_FILE_BYTES + 1)


def write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """Create a directory with all of the files at once, durably; raises KeysExist.

    They are written beside it and renamed into place, so that a crash leaves all or none.
    """
    make_directory(directory.parent)
    beside = Path(tempfile.mkdtemp(prefix=".keys-", dir=directory.parent))
    try:
        for name, content in files.items():
            _write_new(beside / name, content)
        sync_directory(beside)
        _move(beside, directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_directory(directory.parent)


def write_file(path: Path, content: bytes) -> None:
    """Create one private file, durably; raises KeysExist."""
    try:
        _write_new(path, content)
    except FileExistsError as error:
        raise _exists(path) from error
    sync_directory(path.parent)


def _check_private(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileExposed("is not a regular file", field=str(path))
    if status.st_uid != os.geteuid():
        message = f"belongs to user {status.st_uid}, not to the one running this, {os.geteuid()}"
        remedy = f"run as its owner, or: chown {os.geteuid()} {path}"
        raise KeyFileExposed(message, field=str(path), remedy=remedy)
    if status.st_mode & _OTHERS:
        message = f"can be used by others, mode {stat.S_IMODE(status.st_mode):04o}"
        raise KeyFileExposed(message, field=str(path), remedy=f"chmod 600 {path}")


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if target.exists():
            raise _exists(target) from error
        raise


def _exists(path: Path) -> KeysExist:
    remedy = "keys are never overwritten: choose another place, or move it away"
    return KeysExist("exists already", field=str(path), remedy=remedy)

"""Backups: a consistent copy of a store that is in use, and its restoration, verified.

A backup is a directory with two entries:

`store/`        a LevelDB store with the same pairs
`backup.json`   the manifest: its format, the count of pairs, their size in bytes and the SHA-256
                of the ordered stream `u32be length || key || u32be length || value`

It is written beside its place, synced and renamed: under its name there is a whole backup or
nothing. Everything here blocks on the disk; `Database.backup` calls it from a thread.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec

from storage.errors import (
    BackupDamaged,
    BackupFailed,
    StorageFailed,
    StoreUnusable,
)
from storage.files import LOCK_FILE, new_directory
from storage.leveldb import no_room, open_leveldb
from storage.store import Batch, KeyValueStore

STORE = "store"
MANIFEST = "backup.json"
FORMAT = 1
BATCH_BYTES = 1 << 20
"""Most that is held in memory for the copy, plus one pair."""
MAX_MANIFEST_BYTES = 4096


class BackupReport(msgspec.Struct, frozen=True):
    """What is in a backup."""

    records: int
    size_bytes: int  # of the stream that is hashed
    sha256: str  # hex


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    contents: BackupReport


class _Digest:
    """The count, size and SHA-256 of a stream of pairs."""

    def __init__(self) -> None:
        self._records = 0
        self._size = 0
        self._sha256 = sha256()

    def add(self, key: bytes, value: bytes) -> int:
        """Take in a pair; returns its size in the stream."""
        parts = (len(key).to_bytes(4, "big"), key, len(value).to_bytes(4, "big"), value)
        self._sha256.update(b"".join(parts))
        size = 8 + len(key) + len(value)
        self._records += 1
        self._size += size
        return size

    def report(self) -> BackupReport:
        return BackupReport(self._records, self._size, self._sha256.hexdigest())


def write_backup(
    store: KeyValueStore, directory: Path, *, between_batches: Callable[[], None] = lambda: None
) -> BackupReport:
    """Copy a store as it is at this call; `between_batches` may raise to give up.

    Raises:
        TargetExists: the directory exists already.
        BackupFailed: the copy cannot be written.
        StorageFailed: the store cannot be read.
    """
    with _disk(directory), new_directory(directory) as unfinished:
        contents = _copy(store.scan(b"", None), unfinished / STORE, between_batches)
        manifest = msgspec.json.encode(_Manifest(FORMAT, contents))
        (unfinished / MANIFEST).write_bytes(msgspec.json.format(manifest) + b"\n")
    return contents


def restore_backup(backup: Path, directory: Path) -> BackupReport:
    """Make a store at `directory` of a backup, which is only read and may be restored again.

    The very files that will be opened are verified against the manifest before they are there.

    Raises:
        TargetExists: the directory exists already.
        BackupDamaged: the backup is not whole or not what its manifest says.
        BackupFailed: the disk refuses.
    """
    expected = _manifest(backup)
    if not (backup / STORE).is_dir():
        raise BackupDamaged(backup, f"it has no {STORE}/")
    with _disk(directory), new_directory(directory) as unfinished:
        shutil.copytree(
            backup / STORE,
            unfinished,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns(LOCK_FILE),
            copy_function=shutil.copyfile,  # not the modes: a read-only backup is restored too
        )
        unfinished.chmod(0o700)
        found = _contents(backup, unfinished)
        if found != expected:
            raise BackupDamaged(backup, f"{found} instead of {expected}")
    return found


def _copy(
    pairs: Iterable[tuple[bytes, bytes]], directory: Path, between_batches: Callable[[], None]
) -> BackupReport:
    digest = _Digest()
    batch, size = Batch(), 0
    with open_leveldb(directory) as target:
        for key, value in pairs:
            batch.put(key, value)
            size += digest.add(key, value)
            if size >= BATCH_BYTES:
                _write(target, batch, directory)
                batch, size = Batch(), 0
                between_batches()
        _write(target, batch, directory)
    return digest.report()


def _write(target: KeyValueStore, batch: Batch, directory: Path) -> None:
    try:
        target.write(batch, sync=False)  # the files are synced together before the rename
    except StorageFailed as error:
        raise BackupFailed(directory, error.reason) from error


def _contents(backup: Path, directory: Path) -> BackupReport:
    digest = _Digest()
    try:
        with open_leveldb(directory, create=False) as store:
            for key, value in store.scan(b"", None):
                digest.add(key, value)
    except (StoreUnusable, StorageFailed) as error:
        if no_room(error.reason):
            raise BackupFailed(directory, error.reason) from error
        raise BackupDamaged(backup, error.reason) from error
    return digest.report()


def _manifest(backup: Path) -> BackupReport:
    path = backup / MANIFEST
    try:
        with path.open("rb") as file:
            encoded = file.read(MAX_MANIFEST_BYTES + 1)
        manifest = msgspec.json.decode(encoded, type=_Manifest)
    except FileNotFoundError:
        raise BackupDamaged(backup, f"it has no {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise BackupDamaged(backup, f"{MANIFEST}: {error}") from error
    except OSError as error:
        raise BackupFailed(backup, error.strerror or str(error)) from error
    if manifest.format != FORMAT:
        raise BackupDamaged(backup, f"format {manifest.format}, this release reads {FORMAT}")
    return manifest.contents


@contextmanager
def _disk(directory: Path) -> Iterator[None]:
    try:
        yield
    except StoreUnusable as error:
        raise BackupFailed(directory, error.reason) from error
    except OSError as error:
        raise BackupFailed(directory, error.strerror or str(error)) from error

"""The store of a real node: LevelDB in a directory, with checksums verified on every read."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import plyvel

from storage.errors import StorageFailed, StoreUnusable
from storage.files import locked_directory, make_directory
from storage.store import Batch, KeyValueStore

WRITE_BUFFER_BYTES = 16 << 20
CACHE_BYTES = 32 << 20
BLOOM_BITS_PER_KEY = 10
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def open_leveldb(path: Path, *, create: bool = True) -> Iterator[KeyValueStore]:
    """Open (or, if allowed, create) the store in a directory and own it until the block ends.

    Blocks while LevelDB replays its log, at most `WRITE_BUFFER_BYTES` of it.

    Raises:
        StoreLocked: the directory is in use.
        StoreUnusable: it cannot be created, read or written, or its files are damaged.
    """
    with ExitStack() as stack:
        try:
            if create:
                make_directory(path)
            stack.enter_context(locked_directory(path))
            _refuse_headless(path)
            store = LevelDBStore(path, create=create)
        except (plyvel.Error, OSError) as error:
            raise StoreUnusable(path, reason_of(error)) from error
        stack.callback(store.close)
        yield store


class LevelDBStore:
    """A LevelDB database; made by `open_leveldb`, which also locks the directory."""

    blocking = True

    def __init__(self, path: Path, *, create: bool, strict: bool = True) -> None:
        self._path = path
        self._db = plyvel.DB(
            str(path),
            create_if_missing=create,
            # Not strict, LevelDB skips a damaged part of its log and goes on behind it, which loses
            # what was acknowledged and keeps what was built on it.
            paranoid_checks=strict,
            write_buffer_size=WRITE_BUFFER_BYTES,
            lru_cache_size=CACHE_BYTES,
            bloom_filter_bits=BLOOM_BITS_PER_KEY,
        )

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise self._failed(error) from error
        return value

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        # Made here and not in the generator: LevelDB takes its snapshot now, not at first use.
        iterator = self._db.raw_iterator(verify_checksums=True)
        pairs = _backward(iterator, start, stop) if reverse else _forward(iterator, start, stop)
        return self._guarded(iterator, pairs)

    def write(self, batch: Batch, *, sync: bool) -> None:
        try:
            self._write(batch, sync)
        except plyvel.Error as error:
            raise self._failed(error) from error

    def compact(self) -> None:
        """Merge all files, newest records first."""
        self._db.compact_range()

    def close(self) -> None:
        self._db.close()

    def _guarded(
        self, iterator: Any, pairs: Iterator[tuple[bytes, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from pairs
        except plyvel.Error as error:
            raise self._failed(error) from error
        finally:
            iterator.close()

    def _write(self, batch: Batch, sync: bool) -> None:
        changes = self._db.write_batch(sync=sync)
        for key, value in batch.changes.items():
            if value is None:
                changes.delete(key)
            else:
                changes.put(key, value)
        changes.write()

    def _failed(self, error: Exception) -> StorageFailed:
        reason = reason_of(error)
        return StorageFailed(f"{self._path}: {reason}: {_remedy(reason)}")


# plyvel's raw iterator, because its ready-made one ends quietly at a damaged block and, in reverse,
# loses a key that is both the start of the range and its only key.


def _forward(iterator: Any, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    iterator.seek(start)
    while iterator.valid():
        key, value = iterator.item()
        if stop is not None and key >= stop:
            return
        yield key, value
        iterator.next()


def _backward(iterator: Any, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    if stop is not None:
        iterator.seek(stop)
    if stop is not None and iterator.valid():
        iterator.prev()
    else:
        iterator.seek_to_last()
    while iterator.valid():
        key, value = iterator.item()
        if key < start:
            return
        yield key, value
        iterator.prev()


def _refuse_headless(path: Path) -> None:
    """LevelDB would make a new store of a directory without CURRENT, and delete the old tables."""
    if holds_records(path) and not (path / "CURRENT").exists():
        raise FileNotFoundError(errno.ENOENT, "Corruption: the file CURRENT is missing")


def holds_records(path: Path) -> bool:
    """Whether there are LevelDB's tables or logs in a directory."""
    return any(entry.suffix in (".ldb", ".sst", ".log") for entry in path.iterdir())


def _remedy(reason: str) -> str:
    if no_room(reason):
        return "make room on its disk and start again; what was acknowledged is there"
    if "Corruption" in reason:
        return "restore it from a backup, or repair it if there is none"
    return (
        "check its disk and start again; if it is refused again, restore it from a backup, or"
        " repair it if there is none"
    )


def no_room(reason: str) -> bool:
    """Whether it was for want of room that a disk refused."""
    return any(os.strerror(code) in reason for code in _NO_ROOM)


def reason_of(error: Exception) -> str:
    """What LevelDB (whose messages arrive as bytes) or the system says."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = error.args[0] if error.args else ""
    return first.decode(errors="replace") if isinstance(first, bytes) else str(error)

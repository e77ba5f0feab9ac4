"""The store of a real node: LevelDB in a directory, with checksums verified on every read."""

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


@contextmanager
def open_leveldb(path: Path) -> Iterator[KeyValueStore]:
    """Open (or create) the store in a directory and own it until the block ends.

    Blocks while LevelDB replays its log, at most `WRITE_BUFFER_BYTES` of it.

    Raises:
        StoreLocked: the directory is in use.
        StoreUnusable: it cannot be created, read or written, or its files are damaged.
    """
    with ExitStack() as stack:
        try:
            make_directory(path)
            stack.enter_context(locked_directory(path))
            store = LevelDBStore(path)
        except (plyvel.Error, OSError) as error:
            raise StoreUnusable(path, _text(error)) from error
        stack.callback(store.close)
        yield store


class LevelDBStore:
    """A LevelDB database; made by `open_leveldb`, which also locks the directory."""

    blocking = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = plyvel.DB(
            str(path),
            create_if_missing=True,
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
        self, start: bytes, stop: bytes, *, reverse: bool = False
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
        return StorageFailed(f"{self._path}: {_text(error)}")


# plyvel's raw iterator, because its ready-made one ends quietly at a damaged block and, in reverse,
# loses a key that is both the start of the range and its only key.


def _forward(iterator: Any, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
    iterator.seek(start)
    while iterator.valid():
        key, value = iterator.item()
        if key >= stop:
            return
        yield key, value
        iterator.next()


def _backward(iterator: Any, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
    iterator.seek(stop)
    if iterator.valid():
        iterator.prev()
    else:
        iterator.seek_to_last()
    while iterator.valid():
        key, value = iterator.item()
        if key < start:
            return
        yield key, value
        iterator.prev()


def _text(error: Exception) -> str:
    """LevelDB's messages arrive as bytes."""
    first = error.args[0] if error.args else ""
    return first.decode(errors="replace") if isinstance(first, bytes) else str(error)

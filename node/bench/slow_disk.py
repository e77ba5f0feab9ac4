"""A disk on which a sync takes longer: a store for one process, and a node on such a store.

`python -m node.bench.slow_disk MILLISECONDS FILE` is `tmnode run --config FILE` with every synced
write so much slower, to show what a rate that was measured on a fast disk is worth on a slow one.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from node import app
from node.config import load_config
from storage import leveldb
from storage.store import Batch, KeyValueStore


class SlowStore:
    """A store whose synced writes take `added_s` longer."""

    blocking = True

    def __init__(self, inner: KeyValueStore, added_s: float) -> None:
        self._inner = inner
        self._added_s = added_s

    def get(self, key: bytes) -> bytes | None:
        """The inner store's value."""
        return self._inner.get(key)

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The inner store's pairs."""
        return self._inner.scan(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Write, and take longer if it is synced."""
        self._inner.write(batch, sync=sync)
        if sync:
            time.sleep(self._added_s)

    def close(self) -> None:
        """Close the inner store."""
        self._inner.close()


def _run(milliseconds: str, file: str) -> None:
    """Run a node with the store that `node.app` opens slowed down."""
    open_leveldb = leveldb.open_leveldb

    @contextmanager
    def open_slow(path: Path) -> Iterator[KeyValueStore]:
        with open_leveldb(path) as store:
            yield SlowStore(store, float(milliseconds) / 1000)

    vars(app)["open_leveldb"] = open_slow
    trio.run(app.run, load_config(Path(file)))


if __name__ == "__main__":
    _run(*sys.argv[1:])

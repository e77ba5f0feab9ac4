"""A store in memory: LevelDB's twin for tests and simulations.

No disk and no threads, so whole nodes run under trio's virtual clock. `close` keeps the contents:
a simulated node restarts from the same object, as a real one does from its directory.
"""

from bisect import bisect_left
from collections.abc import Iterator

from storage.store import Batch


class MemoryStore:
    """Two parallel sorted lists: a range is a slice, which is also its own snapshot."""

    blocking = False

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._values: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        place, present = self._find(key)
        return self._values[place] if present else None

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        end = len(self._keys) if stop is None else bisect_left(self._keys, stop)
        chosen = slice(bisect_left(self._keys, start), end)
        keys, values = self._keys[chosen], self._values[chosen]
        if reverse:
            keys.reverse()
            values.reverse()
        return zip(keys, values, strict=True)

    def write(self, batch: Batch, *, sync: bool) -> None:  # noqa: ARG002 - nothing to sync here
        for key, value in batch.changes.items():
            if value is None:
                self._remove(key)
            else:
                self._insert(key, value)

    def close(self) -> None:
        pass

    def _find(self, key: bytes) -> tuple[int, bool]:
        place = bisect_left(self._keys, key)
        return place, place < len(self._keys) and self._keys[place] == key

    def _insert(self, key: bytes, value: bytes) -> None:
        place, present = self._find(key)
        if present:
            self._values[place] = value
        else:
            self._keys.insert(place, key)
            self._values.insert(place, value)

    def _remove(self, key: bytes) -> None:
        place, present = self._find(key)
        if present:
            del self._keys[place], self._values[place]

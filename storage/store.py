"""What a key-value store is: ordered byte keys, atomic batches, ranges.

Two stores exist, `leveldb` and `memory`; one contract test holds both to this file.
"""

from collections.abc import Iterator
from typing import Protocol


class Batch:
    """Changes that are applied together or not at all; the last change to a key wins."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}  # None deletes the key

    def put(self, key: bytes, value: bytes) -> None:
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a key; one that is not there is no error."""
        self.changes[key] = None

    def update(self, other: "Batch") -> None:
        """Append the changes of another batch, which stays as it is."""
        self.changes.update(other.changes)

    def __len__(self) -> int:
        return len(self.changes)


class KeyValueStore(Protocol):
    """Byte keys in ascending (unsigned, lexicographic) order."""

    @property
    def blocking(self) -> bool:
        """Whether `write` may wait for a disk, so that it belongs in a thread.

        The other methods of a blocking store may be called from another thread meanwhile.
        """

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None.

        Raises:
            StorageFailed: the bytes cannot be read.
        """

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The pairs with start <= key < stop (None: to the end), as they are at this call.

        `reverse` turns only the order. Later writes do not show in an iterator already made.

        Raises:
            StorageFailed: the bytes cannot be read (also while iterating).
        """

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch atomically; with `sync` it survives loss of power once this returns.

        Raises:
            StorageFailed: the write, and perhaps every later one, was refused.
        """

    def close(self) -> None:
        """Release the store; a second call does nothing."""

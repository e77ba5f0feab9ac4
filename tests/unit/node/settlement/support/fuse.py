"""Crash points, found by wrapping whatever a process does to the world outside it.

Every write of its store and every transaction that it sends is two points: the moment before, when
the world does not know of it, and the moment after, when the process does not know that the world
does. A process that dies at a point neither writes nor sends anything more.
"""

from itertools import islice
from typing import Any

from node.l1.client import L1Client, SendOutcome
from node.l1.transactions import Transaction
from storage.errors import StorageFailed
from storage.memory import MemoryStore
from storage.store import Batch


class Fuse:
    """Counts the points that were passed; `at` are those at which the process dies, each counted
    from its own start."""

    def __init__(self, at: tuple[int, ...] = ()) -> None:
        self.at = list(at)
        self.passed: list[str] = []
        self.dead = False

    def start(self) -> None:
        """The process starts, again."""
        self.dead = False
        self.passed = []

    def reach(self, point: str) -> None:
        """Pass a point, or die there: StorageFailed, which ends a market."""
        if not self.dead and self.at and len(self.passed) == self.at[0]:
            del self.at[0]
            self.dead = True
        self.passed.append(point)
        if self.dead:
            raise StorageFailed(f"killed {point}")


class FusedStore(MemoryStore):
    """A disk that outlives its process. One that is `torn` keeps the first half of the write at
    which it dies: no store does, and a test that does not mind has no power."""

    def __init__(self, fuse: Fuse, *, torn: bool = False) -> None:
        super().__init__()
        self._fuse = fuse
        self._torn = torn

    def write(self, batch: Batch, *, sync: bool) -> None:
        alive = not self._fuse.dead
        try:
            self._fuse.reach("before a write")
        except StorageFailed:
            if self._torn and alive:
                super().write(_half(batch), sync=sync)
            raise
        super().write(batch, sync=sync)
        self._fuse.reach("after a write")


def _half(batch: Batch) -> Batch:
    half = Batch()
    for key, value in islice(batch.changes.items(), len(batch) // 2):
        half.changes[key] = value
    return half


class FusedClient:
    """An `L1Client` whose transactions are points; whatever only asks is none."""

    def __init__(self, inner: L1Client, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send(self, tx: Transaction) -> SendOutcome:
        self._fuse.reach("before a transaction")
        outcome = await self._inner.send(tx)
        self._fuse.reach("after a transaction")
        return outcome

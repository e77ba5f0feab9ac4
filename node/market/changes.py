"""What happened to a market's tasks and their jobs, in order, for those who follow along.

The latest changes of phase are kept in memory under ascending numbers, so that a follower who was
cut off can go on where it stopped. Numbers begin at the Unix time of the start in microseconds:
those of an earlier run of the node are always lower, and never mistaken for ones of this run.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import msgspec
import trio

KEPT = 8192
"""Changes that can still be asked for."""
QUEUE = 256
"""Changes that a follower may be behind; with one more it is cut off, and may come back."""


class JobChange(msgspec.Struct, frozen=True):
    """A job of the task came into another state, as the task's orchestrator says."""

    job: int
    phase: str
    attempt: int
    worker_address: str
    """Empty if the worker is not known here."""


class Change(msgspec.Struct, frozen=True):
    """A task came into another phase, or one of its jobs into another state."""

    sequence: int
    task_id: str
    status: str
    phase: str
    at_ms: int
    job: JobChange | None = None


class ChangeLog:
    """The latest changes, and the followers of one task (by its id) or of all (None)."""

    def __init__(self, now_ms: Callable[[], int], *, kept: int = KEPT) -> None:
        self._now_ms = now_ms
        self._kept: deque[Change] = deque(maxlen=kept)
        self._followers: dict[str | None, set[trio.MemorySendChannel[Change]]] = {}
        self.last = now_ms() * 1000
        """Number of the latest change."""

    def add(self, task_id: str, status: str, phase: str, job: JobChange | None = None) -> None:
        """Keep a change and hand it to its followers, never waiting for any of them."""
        self.last += 1
        change = Change(self.last, task_id, status, phase, self._now_ms(), job)
        self._kept.append(change)
        for key in (task_id, None):
            for follower in tuple(self._followers.get(key, ())):
                try:
                    follower.send_nowait(change)
                except trio.WouldBlock:
                    follower.close()
                    self._forget(key, follower)

    def since(self, sequence: int, task_id: str | None) -> tuple[Change, ...] | None:
        """What followed that number; None if not everything of it is kept any more."""
        oldest = self.last - len(self._kept)
        if not oldest <= sequence <= self.last:
            return None
        later = islice(self._kept, sequence - oldest, None)
        return tuple(change for change in later if task_id in (None, change.task_id))

    @contextmanager
    def follow(self, task_id: str | None) -> Iterator[trio.MemoryReceiveChannel[Change]]:
        """Changes from now on; the channel ends once its reader is more than `QUEUE` behind."""
        follower, changes = trio.open_memory_channel[Change](QUEUE)
        self._followers.setdefault(task_id, set()).add(follower)
        try:
            with changes:
                yield changes
        finally:
            follower.close()
            self._forget(task_id, follower)

    def _forget(self, key: str | None, follower: trio.MemorySendChannel[Change]) -> None:
        followers = self._followers.get(key, set())
        followers.discard(follower)
        if not followers:
            self._followers.pop(key, None)

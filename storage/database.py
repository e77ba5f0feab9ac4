"""One writer over a store: visible at once, durable after `flushed()`, many waiters to a sync.

Staged changes join a *group*. One task takes the queued group, writes it as a single synced batch
(in a thread if the store blocks) and wakes everybody who waited for it; meanwhile the next group
fills. So groups reach the disk one after the other, in the order of `stage`, and the cost of a
sync is shared by however many tasks were waiting. Until its group is written, a change is read
from memory.

A write that fails ends it all (fail-stop): its changes may or may not be on the disk, so nothing
staged later may be, and a state that was seen must not go on being acted on. The block under
`open_database` is cancelled and leaves with `StorageFailed`; the node restarts from what is
durable.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from heapq import merge
from operator import itemgetter
from pathlib import Path

import trio

from storage.backup import BackupReport, write_backup
from storage.errors import StorageFailed
from storage.store import Batch, KeyValueStore

GATHER_PASSES = 4  # of the scheduler, at most, before a group is written


class _Group:
    """Changes that reach the disk in one synced write, and the tasks that wait for it."""

    def __init__(self) -> None:
        self.batch = Batch()
        self.done = trio.Event()
        self.failed = False


class Database:
    """Made by `open_database`; every method belongs to the trio thread."""

    def __init__(self, store: KeyValueStore) -> None:
        self.syncs = 0  # synced writes so far
        self._store = store
        self._limiter = trio.CapacityLimiter(1)
        self._backup_limiter = trio.CapacityLimiter(1)
        self._queued = _Group()
        self._writing = _Group()  # empty and done unless a write is under way
        self._writing.done.set()
        self._wake = trio.Event()
        self._closing = False
        self._finished = trio.Event()
        self._failure: StorageFailed | None = None  # why nothing is accepted any more
        self._body = trio.CancelScope()

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, staged changes included, or None.

        Raises:
            StorageFailed: the store cannot be read.
        """
        for group in (self._queued, self._writing):
            if key in group.batch.changes:
                return group.batch.changes[key]
        return self._store.get(key)

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The pairs with start <= key < stop (None: to the end) as of now, with what is staged.

        The iterator is a snapshot: one may stage, or wait, while going through it.

        Raises:
            StorageFailed: the store cannot be read (also while iterating).
        """
        staged = self._staged_between(start, stop)
        stored = self._store.scan(start, stop, reverse=reverse)
        return _merged(staged, stored, reverse) if staged else stored

    def stage(self, batch: Batch) -> None:
        """Apply a batch: visible at once, durable (all of it or nothing) after `flushed`.

        The batch is copied. It cannot be taken back, and cancelling whoever waits for it does not
        stop it. Only `flushed` makes a caller wait, so a task that stages without end must call
        it now and then to bound what is held in memory.

        Raises:
            StorageFailed: an earlier write failed, or the database is closed.
        """
        self._check()
        self._queued.batch.update(batch)
        self._wake.set()

    async def flushed(self) -> None:
        """Return when everything staged so far is durable.

        Raises:
            StorageFailed: it is not and never will be.
        """
        self._check()
        group = self._queued if self._queued.batch else self._writing
        await group.done.wait()
        if group.failed:
            self._check()

    async def commit(self, batch: Batch) -> None:
        """Stage a batch and return when it is durable; raises what `stage` and `flushed` do."""
        self.stage(batch)
        await self.flushed()

    async def backup(self, directory: Path) -> BackupReport:
        """Copy everything staged so far to a new directory, durably, while writers go on.

        The copy is the state of one moment after this call: each batch is in it whole or not at
        all. Cancelling the caller stops the copy at its next MiB and removes it.

        Raises:
            TargetExists: the directory exists already.
            BackupFailed: the copy cannot be written; the database itself goes on.
            StorageFailed: the store cannot be read, or an earlier write failed.
        """
        await self.flushed()
        if not self._store.blocking:
            return write_backup(self._store, directory)
        copy = partial(
            write_backup, self._store, directory, between_batches=trio.from_thread.check_cancelled
        )
        return await trio.to_thread.run_sync(copy, limiter=self._backup_limiter)

    def _check(self) -> None:
        if self._failure is not None:
            raise StorageFailed(self._failure.reason) from self._failure

    def _staged_between(self, start: bytes, stop: bytes | None) -> dict[bytes, bytes | None]:
        return {
            key: value
            for group in (self._writing, self._queued)
            for key, value in group.batch.changes.items()
            if start <= key and (stop is None or key < stop)
        }

    async def _run(self) -> None:
        """Write group after group until the database is closed or a write fails."""
        try:
            while self._queued.batch or not self._closing:
                await self._wake.wait()
                self._wake = trio.Event()
                if self._queued.batch:
                    await self._gather()
                    await self._write_queued()
            self._failure = StorageFailed("the database is closed")
        except StorageFailed as error:
            self._fail(error)
        finally:
            self._finished.set()

    async def _gather(self) -> None:
        """Let in the tasks that are just about to commit, mostly those that the last write woke.

        Without it they fall into two halves that wait for each other's sync. A pass of the
        scheduler costs far less than a sync; the first that brings no waiter is the last.
        """
        waiting = 0
        for _ in range(GATHER_PASSES):
            await trio.lowlevel.checkpoint()
            before, waiting = waiting, self._queued.done.statistics().tasks_waiting
            if waiting == before:
                return

    async def _write_queued(self) -> None:
        self._writing, self._queued = self._queued, _Group()
        write = partial(self._store.write, self._writing.batch, sync=True)
        if self._store.blocking:
            await trio.to_thread.run_sync(write, limiter=self._limiter)
        else:
            write()
        self.syncs += 1
        self._writing.batch = Batch()
        self._writing.done.set()

    def _fail(self, error: StorageFailed) -> None:
        self._failure = error
        for group in (self._writing, self._queued):
            group.failed = True
            group.done.set()
        # After the waiters were woken, so that they see StorageFailed and not Cancelled.
        self._body.cancel()

    async def _close(self) -> None:
        self._closing = True
        self._wake.set()
        await self._finished.wait()
        if self._queued.failed:
            self._check()


def _merged(
    staged: dict[bytes, bytes | None], stored: Iterator[tuple[bytes, bytes]], reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Both in order; of two equal keys `merge` yields the staged one first, and that one counts."""
    changes = sorted(staged.items(), reverse=reverse)
    last = None
    for key, value in merge(changes, stored, key=itemgetter(0), reverse=reverse):
        if key != last and value is not None:
            yield key, value
        last = key


@asynccontextmanager
async def open_database(store: KeyValueStore) -> AsyncIterator[Database]:
    """Open the only writer of a store, which stays the caller's to close afterwards.

    Leaving the block flushes what is staged, also when it is left by an error or a cancellation.

    Raises:
        StorageFailed: a write failed: the block was cancelled, or the last flush did not succeed.
    """
    database = Database(store)
    # A system task: it must outlive a cancellation from outside, to flush what was staged until
    # then, and no error of the block should come out wrapped in a nursery's group.
    trio.lowlevel.spawn_system_task(database._run)
    try:
        with database._body:
            yield database
    finally:
        with trio.CancelScope(shield=True):
            await database._close()

"""Group commit: what is seen when, what is durable when, and what a failed write ends."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from storage.database import Database, open_database
from storage.errors import StorageFailed
from storage.leveldb import open_leveldb
from storage.memory import MemoryStore
from storage.store import Batch, KeyValueStore

LAST = b"\xff" * 8
WRITERS = 64
ROUNDS = 20


class PassOn:
    """A store that hands everything to another; the doubles below change one thing each."""

    def __init__(self, inner: KeyValueStore) -> None:
        self.inner = inner
        self.blocking = inner.blocking

    def get(self, key: bytes) -> bytes | None:
        return self.inner.get(key)

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self.inner.scan(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        self.inner.write(batch, sync=sync)

    def close(self) -> None:
        self.inner.close()


class RecordingStore(PassOn):
    """Remembers what each write was."""

    def __init__(self, inner: KeyValueStore) -> None:
        super().__init__(inner)
        self.writes: list[tuple[dict[bytes, bytes | None], bool]] = []

    def write(self, batch: Batch, *, sync: bool) -> None:
        self.writes.append((dict(batch.changes), sync))
        super().write(batch, sync=sync)


class FailingStore(PassOn):
    """Refuses every write after the first `good`, as a full disk does."""

    def __init__(self, inner: KeyValueStore, good: int = 0) -> None:
        super().__init__(inner)
        self.good = good

    def write(self, batch: Batch, *, sync: bool) -> None:
        if self.good == 0:
            raise StorageFailed("no space left")
        self.good -= 1
        super().write(batch, sync=sync)


class HeldStore(PassOn):
    """Blocks inside `write`, in its thread, until released; `writing` is set from there."""

    def __init__(self, inner: KeyValueStore) -> None:
        super().__init__(inner)
        self.blocking = True
        self.writing = trio.Event()
        self.released = threading.Event()

    def write(self, batch: Batch, *, sync: bool) -> None:
        trio.from_thread.run_sync(self.writing.set)
        assert self.released.wait(timeout=60)
        super().write(batch, sync=sync)


def batch_of(**changes: bytes | None) -> Batch:
    batch = Batch()
    for key, value in changes.items():
        if value is None:
            batch.delete(key.encode())
        else:
            batch.put(key.encode(), value)
    return batch


def contents(source: KeyValueStore | Database, *, reverse: bool = False) -> str:
    """Keys and values in order, as short as possible: "a1 b2"."""
    pairs = source.scan(b"", LAST, reverse=reverse)
    return " ".join((key + value).decode() for key, value in pairs)


async def test_staged_changes_are_seen_before_they_are_durable() -> None:
    store = MemoryStore()
    store.write(batch_of(a=b"0", b=b"0"), sync=True)
    async with open_database(store) as database:
        database.stage(batch_of(a=b"1", b=None, c=b"1"))
        assert database.get(b"a") == b"1"
        assert database.get(b"b") is None
        assert contents(database) == "a1 c1"
        assert contents(store) == "a0 b0"
        await database.flushed()
        assert contents(store) == contents(database) == "a1 c1"


async def test_changes_are_seen_while_they_are_being_written() -> None:
    inner = MemoryStore()
    inner.write(batch_of(a=b"0", b=b"0", c=b"0", d=b"0"), sync=True)
    store = HeldStore(inner)
    async with open_database(store) as database:
        database.stage(batch_of(a=b"1", b=None, c=None, e=b"1"))
        await store.writing.wait()
        database.stage(batch_of(a=None, b=b"2", e=b"2", f=b"2"))
        assert contents(inner) == "a0 b0 c0 d0"
        assert contents(database) == "b2 d0 e2 f2"
        assert contents(database, reverse=True) == "f2 e2 d0 b2"
        assert [database.get(key) for key in (b"a", b"b", b"c")] == [None, b"2", None]
        store.released.set()
        await database.flushed()
        assert contents(inner) == contents(database) == "b2 d0 e2 f2"


async def test_flushed_waits_for_the_write_under_way() -> None:
    store = HeldStore(MemoryStore())
    async with open_database(store) as database, trio.open_nursery() as nursery:
        database.stage(batch_of(a=b"1"))
        await store.writing.wait()
        nursery.start_soon(database.flushed)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        store.released.set()
    assert contents(store) == "a1"


async def test_ranges_cover_staged_and_stored_keys_alike() -> None:
    store = MemoryStore()
    store.write(batch_of(a=b"0", c=b"0", e=b"0"), sync=True)
    async with open_database(store) as database:
        database.stage(batch_of(b=b"1", c=b"1", d=b"1"))
        assert list(database.scan(b"b", b"d")) == [(b"b", b"1"), (b"c", b"1")]
        assert list(database.scan(b"b", b"e", reverse=True)) == [
            (b"d", b"1"),
            (b"c", b"1"),
            (b"b", b"1"),
        ]
        assert list(database.scan(b"d", b"b")) == []


async def test_a_scan_is_a_snapshot() -> None:
    async with open_database(MemoryStore()) as database:
        await database.commit(batch_of(a=b"1", b=b"1"))
        database.stage(batch_of(c=b"1"))
        seen = []
        for key, value in database.scan(b"", LAST):
            seen.append(key + value)
            database.stage(batch_of(a=None, b=b"2", c=b"2", d=b"2"))
            await database.flushed()
        assert seen == [b"a1", b"b1", b"c1"]
        assert contents(database) == "b2 c2 d2"


async def test_many_waiters_share_one_synced_write() -> None:
    store = RecordingStore(MemoryStore())
    async with open_database(store) as database:
        async with trio.open_nursery() as nursery:
            for number in range(WRITERS):
                nursery.start_soon(database.commit, batch_of(**{f"k{number:02}": b"v"}))
        assert database.syncs == 1
    [(changes, sync)] = store.writes
    assert len(changes) == WRITERS
    assert sync


async def keep_writing(database: Database, writer: int, pause: int) -> None:
    """Commit again and again, with a few passes of the scheduler in between."""
    for count in range(ROUNDS):
        await database.commit(batch_of(**{f"{writer}:{count}": b"v"}))
        for _ in range(pause):
            await trio.lowlevel.checkpoint()


async def write_with_all(database: Database) -> None:
    async with trio.open_nursery() as nursery:
        for writer in range(WRITERS):
            nursery.start_soon(keep_writing, database, writer, writer % 3)


async def test_writers_woken_together_meet_again_in_the_next_group() -> None:
    async with open_database(MemoryStore()) as database:
        await write_with_all(database)
        assert ROUNDS <= database.syncs <= 1.4 * ROUNDS


async def test_a_sync_on_a_disk_is_shared(tmp_path: Path) -> None:
    with open_leveldb(tmp_path) as store:
        async with open_database(store) as database:
            await write_with_all(database)
            assert database.syncs <= WRITERS * ROUNDS // 20
        assert len(list(store.scan(b"", LAST))) == WRITERS * ROUNDS


async def test_groups_are_written_in_the_order_of_staging() -> None:
    store = RecordingStore(MemoryStore())
    async with open_database(store) as database:
        database.stage(batch_of(a=b"1", b=b"1"))
        database.stage(batch_of(a=b"2"))
        await database.flushed()
        await database.commit(batch_of(a=b"3"))
    assert [changes for changes, _ in store.writes] == [{b"a": b"2", b"b": b"1"}, {b"a": b"3"}]


async def test_nothing_staged_means_nothing_written() -> None:
    async with open_database(MemoryStore()) as database:
        with trio.fail_after(60):
            await database.flushed()
            await database.commit(Batch())
        assert database.syncs == 0


async def test_a_staged_batch_is_copied() -> None:
    async with open_database(MemoryStore()) as database:
        batch = batch_of(a=b"1")
        database.stage(batch)
        batch.put(b"b", b"2")
        await database.flushed()
        assert contents(database) == "a1"


async def test_virtual_time_stands_still_over_a_memory_store(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_database(MemoryStore()) as database:
        with trio.fail_after(1):
            for count in range(100):
                await database.commit(batch_of(a=str(count).encode()))
    assert trio.current_time() == 0


async def test_what_is_staged_is_flushed_on_the_way_out() -> None:
    store = MemoryStore()
    async with open_database(store) as database:
        database.stage(batch_of(a=b"1"))
    assert contents(store) == "a1"


async def test_an_error_in_the_block_passes_unchanged_after_a_flush() -> None:
    store = MemoryStore()

    async def stumble() -> None:
        async with open_database(store) as database:
            database.stage(batch_of(a=b"1"))
            raise KeyError

    with pytest.raises(KeyError):
        await stumble()
    assert contents(store) == "a1"


async def test_a_cancellation_from_outside_does_not_stop_the_flush(tmp_path: Path) -> None:
    with open_leveldb(tmp_path) as store:
        with trio.CancelScope() as scope:
            async with open_database(store) as database:
                await database.commit(batch_of(a=b"1"))
                database.stage(batch_of(b=b"2"))
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert contents(store) == "a1 b2"


async def test_a_waiter_that_gives_up_does_not_take_its_batch_back() -> None:
    store = HeldStore(MemoryStore())
    async with open_database(store) as database:
        with trio.CancelScope() as scope:
            scope.cancel()
            await database.commit(batch_of(a=b"1"))
        store.released.set()
        await database.flushed()
        assert contents(store) == "a1"


async def test_a_closed_database_takes_nothing() -> None:
    async with open_database(MemoryStore()) as database:
        pass
    with pytest.raises(StorageFailed, match="closed"):
        database.stage(batch_of(a=b"1"))


async def commit_and_fail(database: Database, key: str) -> None:
    with pytest.raises(StorageFailed, match="no space left"):
        await database.commit(batch_of(**{key: b"v"}))


async def expect_failure(
    store: KeyValueStore, block: Callable[[Database], Awaitable[None]]
) -> None:
    """The block ends, by itself or cancelled, and leaving the database says why."""

    async def run() -> None:
        async with open_database(store) as database:
            with limit:
                await block(database)

    limit = trio.move_on_after(60)
    with pytest.raises(StorageFailed, match="no space left"):
        await run()
    assert not limit.cancelled_caught


async def test_a_failed_write_reaches_every_waiter_and_ends_the_block() -> None:
    failed = []

    async def commit(database: Database, key: str) -> None:
        await commit_and_fail(database, key)
        failed.append(key)

    async def block(database: Database) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(WRITERS):
                nursery.start_soon(commit, database, f"k{number:02}")
            await trio.sleep_forever()

    await expect_failure(FailingStore(MemoryStore()), block)
    assert len(failed) == WRITERS


async def test_nothing_is_accepted_after_a_failure() -> None:
    store = FailingStore(MemoryStore(), good=1)

    async def block(database: Database) -> None:
        await database.commit(batch_of(a=b"1"))
        await commit_and_fail(database, "b")
        store.good = 99  # the disk is well again, but order would be broken
        with pytest.raises(StorageFailed):
            database.stage(batch_of(c=b"1"))
        with pytest.raises(StorageFailed):
            await database.flushed()

    await expect_failure(store, block)
    assert contents(store) == "a1"


async def test_waiters_of_the_next_group_fail_too() -> None:
    store = HeldStore(FailingStore(MemoryStore()))
    failed = trio.Event()

    async def commit(database: Database) -> None:
        await commit_and_fail(database, "b")
        failed.set()

    async def block(database: Database) -> None:
        database.stage(batch_of(a=b"1"))
        await store.writing.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, database)
            await wait_all_tasks_blocked()
            store.released.set()

    await expect_failure(store, block)
    assert failed.is_set()


async def test_an_idle_node_is_stopped_too() -> None:
    async def block(database: Database) -> None:
        database.stage(batch_of(a=b"1"))
        await trio.sleep_forever()

    await expect_failure(FailingStore(MemoryStore()), block)


async def test_a_failure_of_the_last_flush_is_not_lost_in_a_cancellation() -> None:
    scope = trio.CancelScope()

    async def block(database: Database) -> None:
        scope.cancel()
        database.stage(batch_of(a=b"1"))
        await trio.sleep_forever()

    with scope:
        await expect_failure(FailingStore(MemoryStore()), block)
    assert not scope.cancelled_caught


@pytest.mark.parametrize("good", range(5))
async def test_a_crash_in_between_leaves_a_prefix(good: int) -> None:
    """Whatever write was the last: all of each earlier group is there, and nothing of a later."""
    disk = MemoryStore()
    acknowledged = []

    async def block(database: Database) -> None:
        for count in range(10):
            value = str(count).encode()
            await database.commit(batch_of(count=value, **{f"k{count}": value}))
            acknowledged.append(count)

    await expect_failure(FailingStore(disk, good), block)
    assert acknowledged == list(range(good))
    last = [f"count{good - 1}"] if good else []
    async with open_database(disk) as reopened:
        assert contents(reopened) == " ".join(last + [f"k{count}{count}" for count in acknowledged])

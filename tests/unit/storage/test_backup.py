"""Backups: one moment of a store in use, nothing overwritten, damage never restored."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import trio

from storage.backup import BATCH_BYTES, MANIFEST, STORE, restore_backup, write_backup
from storage.database import Database, open_database
from storage.errors import BackupDamaged, BackupFailed, StorageFailed, TargetExists
from storage.leveldb import open_leveldb
from storage.memory import MemoryStore
from storage.store import Batch, KeyValueStore

PAIRS = {b"": b"no key", b"a": b"", b"b" * 300: bytes(1000), b"\xff" * 9: b"last"}


def filled(store: KeyValueStore, pairs: dict[bytes, bytes]) -> KeyValueStore:
    batch = Batch()
    for key, value in pairs.items():
        batch.put(key, value)
    store.write(batch, sync=False)
    return store


def contents(path: Path) -> dict[bytes, bytes]:
    with open_leveldb(path, create=False) as store:
        return dict(store.scan(b"", None))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def made_backup(folder: Path, pairs: dict[bytes, bytes] = PAIRS) -> Path:
    write_backup(filled(MemoryStore(), pairs), folder / "backup")
    return folder / "backup"


def test_a_restored_store_has_the_same_pairs(tmp_path: Path) -> None:
    backup = made_backup(tmp_path)
    for name in ("first", "second"):  # the backup itself is only read
        report = restore_backup(backup, tmp_path / "deep" / name)
        assert report.records == len(PAIRS)
        assert report.size_bytes == sum(8 + len(k) + len(v) for k, v in PAIRS.items())
        assert contents(tmp_path / "deep" / name) == PAIRS
    assert names_in(tmp_path) == ["backup", "deep"]


def test_an_empty_store_and_one_of_many_batches(tmp_path: Path) -> None:
    many = {b"%04d" % n: bytes(BATCH_BYTES // 8) for n in range(20)}
    for name, pairs in (("none", {}), ("many", many)):
        backup = made_backup(tmp_path / name, pairs)
        restore_backup(backup, tmp_path / name / "restored")
        assert contents(tmp_path / name / "restored") == pairs


def test_the_manifest_is_a_vector(tmp_path: Path) -> None:
    """Anybody can check a backup: SHA-256 over length || key || length || value in key order."""
    backup = made_backup(tmp_path, {b"k": b"v", b"a": b""})
    assert json.loads((backup / MANIFEST).read_bytes()) == {
        "format": 1,
        "contents": {
            "records": 2,
            "size_bytes": 19,
            "sha256": "3680198305919ec1adaa85ae5a56d4b178d44b67da4b667d4bc2ac94dcadd13f",
        },
    }


def test_a_backup_is_for_its_owner_alone(tmp_path: Path) -> None:
    backup = made_backup(tmp_path)
    restore_backup(backup, tmp_path / "restored")
    assert [path.stat().st_mode & 0o777 for path in (backup, tmp_path / "restored")] == [0o700] * 2


async def count_up(
    database: Database, name: bytes, stop: trio.Event, *, task_status: trio.TaskStatus[None]
) -> None:
    """Two keys of one batch that always hold the same number."""
    number = 0
    while not stop.is_set():
        number += 1
        batch = Batch()
        for half in (b"left", b"right"):
            batch.put(half + name, b"%d" % number)
        await database.commit(batch)
        if number == 1:
            task_status.started()


async def test_a_backup_under_writes_is_one_moment(tmp_path: Path) -> None:
    filler = {b"m%06d" % n: bytes(1000) for n in range(10_000)}  # between left and right
    with open_leveldb(tmp_path / "store") as store:
        filled(store, filler)
        stop = trio.Event()
        async with open_database(store) as database, trio.open_nursery() as nursery:
            for name in (b"1", b"2", b"3"):
                await nursery.start(count_up, database, name, stop)
            before = database.syncs
            report = await database.backup(tmp_path / "backup")
            during = database.syncs - before
            stop.set()
    restore_backup(tmp_path / "backup", tmp_path / "restored")
    copy = contents(tmp_path / "restored")
    assert report.records == len(copy)
    assert filler.items() <= copy.items()
    assert len(copy) > len(filler)
    for key in [key for key in copy if key.startswith(b"left")]:
        assert copy[key] == copy[b"right" + key[4:]]
    assert during > 1  # writers went on meanwhile


async def test_what_was_staged_is_in_the_backup(tmp_path: Path) -> None:
    async with open_database(MemoryStore()) as database:
        batch = Batch()
        batch.put(b"key", b"staged")
        database.stage(batch)
        await database.backup(tmp_path / "backup")
    restore_backup(tmp_path / "backup", tmp_path / "restored")
    assert contents(tmp_path / "restored") == {b"key": b"staged"}


class CancellingStore(MemoryStore):
    """Cancels whoever copies it, at the second pair, from the copying thread."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.scope = trio.CancelScope()
        self.read = 0

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for pair in super().scan(start, stop, reverse=reverse):
            self.read += 1
            if self.read == 2:
                trio.from_thread.run_sync(self.scope.cancel)
            yield pair


async def test_a_cancelled_backup_stops_and_leaves_nothing(tmp_path: Path) -> None:
    store = CancellingStore()
    filled(store, {b"%d" % n: bytes(BATCH_BYTES // 2) for n in range(9)})
    async with open_database(store) as database:
        with store.scope:
            await database.backup(tmp_path / "backup")
        assert store.scope.cancelled_caught
        assert store.read < 9
        batch = Batch()
        batch.put(b"key", b"later")
        await database.commit(batch)
    assert names_in(tmp_path) == []


def test_a_backup_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    store = filled(MemoryStore(), {b"%d" % n: bytes(BATCH_BYTES) for n in range(3)})
    with pytest.raises(KeyboardInterrupt):
        write_backup(store, tmp_path / "backup", between_batches=give_up)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    backup = made_backup(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TargetExists, match="exists already"):
        write_backup(MemoryStore(), backup)
    with pytest.raises(TargetExists):
        write_backup(MemoryStore(), tmp_path / "empty")
    with pytest.raises(TargetExists):
        restore_backup(backup, tmp_path / "empty")
    restore_backup(backup, tmp_path / "restored")
    assert contents(tmp_path / "restored") == PAIRS


def flip_a_bit(backup: Path) -> None:
    path = max((backup / STORE).glob("*.l*"), key=lambda path: path.stat().st_size)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


def change_a_value(backup: Path) -> None:
    with open_leveldb(backup / STORE) as store:
        filled(store, {b"a": b"?"})


def cut_the_log(backup: Path) -> None:
    (log,) = (backup / STORE).glob("*.log")
    log.write_bytes(log.read_bytes()[:-1])


def lose_the_store(backup: Path) -> None:
    (backup / STORE).rename(backup.with_name("elsewhere"))


def empty_the_store(backup: Path) -> None:
    lose_the_store(backup)
    (backup / STORE).mkdir()


def lose_current(backup: Path) -> None:
    (backup / STORE / "CURRENT").unlink()


def lose_the_manifest(backup: Path) -> None:
    (backup / MANIFEST).unlink()


def cut_the_manifest(backup: Path) -> None:
    (backup / MANIFEST).write_bytes((backup / MANIFEST).read_bytes()[:-20])


def another_format(backup: Path) -> None:
    manifest = (backup / MANIFEST).read_bytes()
    (backup / MANIFEST).write_bytes(manifest.replace(b'"format": 1', b'"format": 2'))


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        change_a_value,
        cut_the_log,
        lose_the_store,
        empty_the_store,
        lose_current,
        lose_the_manifest,
        cut_the_manifest,
        another_format,
    ],
)
def test_damage_is_never_restored(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    backup = made_backup(tmp_path)
    damage(backup)
    with pytest.raises(BackupDamaged, match="use another one"):
        restore_backup(backup, tmp_path / "restored")
    assert not list(tmp_path.glob("*restored*"))


async def test_a_backup_that_cannot_be_written_is_not_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with open_database(filled(MemoryStore(), PAIRS)) as database:
        with pytest.raises(BackupFailed, match="check that the disk has room"):
            await database.backup(tmp_path / "file" / "backup")
        batch = Batch()
        batch.put(b"key", b"later")
        await database.commit(batch)


class UnreadableStore(MemoryStore):
    """Its second half is damaged."""

    def scan(
        self, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        yield from islice(super().scan(start, stop, reverse=reverse), 1)
        raise StorageFailed("checksum mismatch")


def test_a_store_that_cannot_be_read_gives_no_backup(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="checksum mismatch"):
        write_backup(filled(UnreadableStore(), PAIRS), tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []

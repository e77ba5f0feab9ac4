"""Typed records: versions, damage, ranges, and tables that keep out of each other's way."""

import msgspec
import pytest

from storage.database import Database, open_database
from storage.errors import CorruptRecord, RecordError, UnknownVersion
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table


class Account(msgspec.Struct, frozen=True):
    owner: str
    units: int


class AccountWithLimit(Account, frozen=True):
    limit: int = 7


async def store_raw(database: Database, key: bytes, value: bytes) -> None:
    batch = Batch()
    batch.put(key, value)
    await database.commit(batch)


async def fill(database: Database, table: Table[Account], *keys: bytes) -> None:
    batch = Batch()
    for key in keys:
        table.put(batch, key, Account(key.hex(), 1))
    await database.commit(batch)


async def test_records_are_put_read_and_deleted() -> None:
    async with open_database(MemoryStore()) as database:
        table = Table(database, "accounts", Account)
        batch = Batch()
        table.put(batch, b"key", Account("alice", 10**18))
        assert table.get(b"key") is None
        database.stage(batch)
        assert table.get(b"key") == Account("alice", 10**18)
        batch = Batch()
        table.delete(batch, b"key")
        await database.commit(batch)
        assert table.get(b"key") is None


async def test_the_bytes_of_a_record() -> None:
    async with open_database(MemoryStore()) as database:
        batch = Batch()
        Table(database, "accounts", Account).put(batch, b"\x00k", Account("a", 1))
        assert batch.changes == {
            b"\x08accounts\x00k": b"\x01\x82\xa5owner\xa1a\xa5units\x01",
        }


async def test_items_come_in_key_order_within_a_range() -> None:
    async with open_database(MemoryStore()) as database:
        table = Table(database, "accounts", Account)
        await fill(database, table, b"b", b"", b"a", b"\xff", b"\xff\xff\xff", b"ab")

        def keys(*bounds: bytes, reverse: bool = False) -> list[bytes]:
            return [key for key, _ in table.items(*bounds, reverse=reverse)]

        assert keys() == [b"", b"a", b"ab", b"b", b"\xff", b"\xff\xff\xff"]
        assert keys(reverse=True) == keys()[::-1]
        assert keys(b"a", b"b") == [b"a", b"ab"]
        assert keys(b"ab") == [b"ab", b"b", b"\xff", b"\xff\xff\xff"]
        assert keys(b"", b"") == []
        assert dict(table.items())[b"ab"] == Account("6162", 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "ab"), ("a", "b"), ("a", "a" * 97), ("x", "x\x00"), ("tasks", "tasks.phase")],
)
async def test_tables_do_not_collide(first: str, second: str) -> None:
    """Not even when keys continue a name: 'a' + 'b…' is not 'ab' + '…'."""
    names = (first, second)
    every_key = [b"", b"\x00", b"ab", b"b", b"\xff" * 300]
    async with open_database(MemoryStore()) as database:
        tables = [Table(database, name, Account) for name in names]
        await fill(database, tables[0], *every_key)
        assert list(tables[1].items()) == []
        assert all(tables[1].get(key) is None for key in every_key)
        await fill(database, tables[1], b"own")
        assert [key for key, _ in tables[0].items()] == every_key
        assert [key for key, _ in tables[1].items()] == [b"own"]


async def test_a_record_of_another_release_is_refused_by_name() -> None:
    async with open_database(MemoryStore()) as database:
        await fill(database, Table(database, "accounts", Account, version=2), b"key")
        table = Table(database, "accounts", Account)
        with pytest.raises(UnknownVersion, match=r"'accounts', key b'key': version 2") as error:
            table.get(b"key")
        assert (error.value.table, error.value.key) == ("accounts", b"key")
        assert (error.value.version, error.value.known) == (2, 1)
        with pytest.raises(UnknownVersion):
            list(table.items())


async def test_a_new_field_with_a_default_needs_no_new_version() -> None:
    async with open_database(MemoryStore()) as database:
        await fill(database, Table(database, "accounts", Account), b"key")
        table = Table(database, "accounts", AccountWithLimit)
        assert table.get(b"key") == AccountWithLimit("6b6579", 1, 7)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01",
        b"\x01\xff",
        b"\x01\x80",
        b"\x01\x82\xa5owner\x05\xa5units\x01",
        b"\x01\x90\x00",
    ],
)
async def test_damaged_records_are_refused_by_name(value: bytes) -> None:
    async with open_database(MemoryStore()) as database:
        table = Table(database, "accounts", Account)
        await store_raw(database, b"\x08accountskey", value)
        with pytest.raises(CorruptRecord, match=r"'accounts', key b'key'") as error:
            table.get(b"key")
        assert isinstance(error.value, RecordError)
        with pytest.raises(CorruptRecord):
            list(table.items())


@pytest.mark.parametrize("name", ["", "n" * 256, "ü" * 128])
async def test_impossible_names(name: str) -> None:
    async with open_database(MemoryStore()) as database:
        with pytest.raises(ValueError, match="1 to 255 bytes"):
            Table(database, name, Account)


@pytest.mark.parametrize("version", [-1, 0, 256])
async def test_impossible_versions(version: int) -> None:
    async with open_database(MemoryStore()) as database:
        with pytest.raises(ValueError, match="1 to 255"):
            Table(database, "accounts", Account, version=version)


async def test_a_table_is_read_through_a_batch_that_is_being_built() -> None:
    async with open_database(MemoryStore()) as database:
        table = Table(database, "accounts", Account)
        await fill(database, table, b"a")
        batch = Batch()
        table.put(batch, b"b", Account("new", 2))
        table.delete(batch, b"a")
        assert table.get(b"a", batch) is None
        assert table.get(b"b", batch) == Account("new", 2)
        assert table.get(b"a") == Account("61", 1)
        assert table.get(b"b") is None
        assert table.get(b"a", Batch()) == Account("61", 1)


class Tenths(int):
    """A type with a form of its own on the disk."""

    def to_wire(self) -> str:
        return f"{self // 10}.{self % 10}"

    @classmethod
    def from_wire(cls, value: object) -> "Tenths":
        whole, tenths = str(value).split(".")
        return cls(10 * int(whole) + int(tenths))


class Measured(msgspec.Struct, frozen=True):
    length: Tenths


async def test_a_type_may_bring_its_own_form() -> None:
    async with open_database(MemoryStore()) as database:
        table = Table(database, "measured", Measured)
        batch = Batch()
        table.put(batch, b"k", Measured(Tenths(2**80)))
        assert table.get(b"k", batch) == Measured(Tenths(2**80))
        assert type(table.get(b"k", batch).length) is Tenths

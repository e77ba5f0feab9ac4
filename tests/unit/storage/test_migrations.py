"""Records of older versions: read through migrations, rewritten by the next put."""

import shutil
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.database import Database, open_database
from storage.errors import CorruptRecord, UnknownVersion
from storage.leveldb import open_leveldb
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Fields, Table

OLD_STORE = Path(__file__).with_name("fixtures") / "old_store"
UNITS = 10**18
CONTEXT = Context(prec=50)


class Units(int):
    """An integer too large for MessagePack's own."""

    def to_wire(self) -> str:
        return str(self)

    @classmethod
    def from_wire(cls, value: object) -> "Units":
        return cls(str(value))


class AccountV1(msgspec.Struct, frozen=True):
    owner: str
    coins: str


class AccountV2(msgspec.Struct, frozen=True):
    owner: str
    units: Units


class AccountV3(msgspec.Struct, frozen=True):
    owners: tuple[str, ...]
    units: Units


def coins_to_units(fields: Fields) -> Fields:
    whole, _, parts = fields["coins"].partition(".")
    return {"owner": fields["owner"], "units": Units(int(whole) * UNITS + int(f"{parts:0<18}"))}


def owner_to_owners(fields: Fields) -> Fields:
    fields["owners"] = [fields.pop("owner")]
    return fields


TO_3 = {1: coins_to_units, 2: owner_to_owners}


def old_table(database: Database) -> Table[AccountV1]:
    return Table(database, "accounts", AccountV1)


def new_table(database: Database) -> Table[AccountV3]:
    return Table(database, "accounts", AccountV3, version=3, migrations=TO_3)


async def put(database: Database, table: Table[Any], key: bytes, record: msgspec.Struct) -> None:
    batch = Batch()
    table.put(batch, key, record)
    await database.commit(batch)


async def test_the_store_of_an_old_release_is_opened(tmp_path: Path) -> None:
    """The committed fixture; `fixtures/make_old_store.py` says what is in it."""
    shutil.copytree(OLD_STORE, tmp_path / "store")
    with open_leveldb(tmp_path / "store", create=False) as store:
        async with open_database(store) as database:
            assert dict(new_table(database).items()) == {
                b"a": AccountV3(("alice",), Units(125 * UNITS // 10)),
                b"b": AccountV3(("bob",), Units(0)),
                b"c": AccountV3(("carol",), Units(2**128 - 1)),
            }


async def test_versions_side_by_side_are_read_as_the_newest() -> None:
    async with open_database(MemoryStore()) as database:
        await put(database, old_table(database), b"1", AccountV1("one", "1"))
        second = Table(database, "accounts", AccountV2, version=2)
        await put(database, second, b"2", AccountV2("two", Units(2)))
        table = new_table(database)
        await put(database, table, b"3", AccountV3(("three", "more"), Units(3)))
        assert [record for _, record in table.items()] == [
            AccountV3(("one",), Units(UNITS)),
            AccountV3(("two",), Units(2)),
            AccountV3(("three", "more"), Units(3)),
        ]


async def test_a_read_leaves_the_old_form_and_a_put_writes_the_new() -> None:
    async with open_database(MemoryStore()) as database:
        await put(database, old_table(database), b"k", AccountV1("one", "1"))
        table = new_table(database)
        record = table.get(b"k")
        assert record is not None
        assert old_table(database).get(b"k") == AccountV1("one", "1")
        await put(database, table, b"k", record)
        assert table.get(b"k") == record
        with pytest.raises(UnknownVersion, match="version 3, but this release reads version 1"):
            old_table(database).get(b"k")


async def test_only_the_versions_of_the_chain_are_read() -> None:
    async with open_database(MemoryStore()) as database:
        await put(database, old_table(database), b"old", AccountV1("one", "1"))
        newer = Table(database, "accounts", AccountV3, version=4)
        await put(database, newer, b"newer", AccountV3((), Units(0)))
        table = Table(database, "accounts", AccountV3, version=3, migrations={2: owner_to_owners})
        for key, version in ((b"old", 1), (b"newer", 4)):
            with pytest.raises(UnknownVersion, match="this release reads versions 2 to 3") as error:
                table.get(key)
            assert error.value.version == version
            assert (error.value.oldest, error.value.known) == (2, 3)


@pytest.mark.parametrize(
    "value",
    [
        b"\x01",
        b"\x01\x90",  # a list
        b"\x01\x80",  # no fields: the first migration misses one
        b"\x01\x82\xa5owner\xa1a\xa5coins\x01",  # a number for text
        b"\x01\x82\xa5owner\xa1a\xa5coins\xa1x",  # not a number
        b"\x01\x82\xa5owner\x05\xa5coins\xa11",  # migrates, but is no record of the new version
        b"\x01\x81\x05\x05",
        b"\x00\x80",
    ],
)
async def test_what_cannot_be_migrated_is_refused_by_name(value: bytes) -> None:
    async with open_database(MemoryStore()) as database:
        batch = Batch()
        batch.put(b"\x08accountskey", value)
        await database.commit(batch)
        with pytest.raises((CorruptRecord, UnknownVersion), match=r"'accounts', key b'key'"):
            new_table(database).get(b"key")


@pytest.mark.parametrize("steps", [{1}, {0, 1, 2}, {1, 2, 3}, {3}, {1, 3}, {-1, 0, 1, 2}])
async def test_a_chain_has_no_gap_and_ends_at_the_version(steps: set[int]) -> None:
    async with open_database(MemoryStore()) as database:
        migrations = dict.fromkeys(steps, owner_to_owners)
        with pytest.raises(ValueError, match="migrations to version 3"):
            Table(database, "accounts", AccountV3, version=3, migrations=migrations)


@given(
    owner=st.text(max_size=20),
    coins=st.decimals(min_value=0, max_value=10**20, places=18, allow_nan=False),
)
async def test_no_amount_changes_on_its_way(owner: str, coins: Decimal) -> None:
    async with open_database(MemoryStore()) as database:
        await put(database, old_table(database), b"k", AccountV1(owner, f"{coins:f}"))
        assert new_table(database).get(b"k") == AccountV3(
            (owner,), Units(coins.scaleb(18, CONTEXT))
        )

"""What is remembered of peers' addresses, and what not."""

from collections.abc import AsyncIterator

import pytest

from node import addressbook
from node.addressbook import FORGET_MS, MAX_ADDRESSES, REFRESH_MS, AddressBook, Contact
from storage.database import Database, open_database
from storage.memory import MemoryStore


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
async def db() -> AsyncIterator[Database]:
    async with open_database(MemoryStore()) as db:
        yield db


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_it_is_there_after_a_restart(db, clock) -> None:
    AddressBook(db, clock).note("A", ["/one/A", "/two/A"])
    assert AddressBook(db, clock).contacts() == [("A", Contact(("/one/A", "/two/A"), 1_000_000))]


async def test_the_latest_come_first(db, clock) -> None:
    book = AddressBook(db, clock)
    for peer_id in "ABC":
        book.note(peer_id, [f"/x/{peer_id}"])
        clock.now_ms += 1
    assert [peer_id for peer_id, _ in book.contacts()] == ["C", "B", "A"]


async def test_a_peer_that_moves_is_known_where_it_is(db, clock) -> None:
    book = AddressBook(db, clock)
    book.note("A", ["/one/A"])
    book.note("A", ["/two/A"])
    assert book.contacts()[0][1].addresses == ("/two/A",)


@pytest.mark.parametrize("addresses", [[], ["/one/B"], ["/one"], ["/" + "x" * 300 + "/A"]])
async def test_addresses_that_are_not_its_own_are_not_noted(db, clock, addresses) -> None:
    book = AddressBook(db, clock)
    book.note("A", ["/one/A"])
    book.note("A", addresses)
    assert book.contacts()[0][1].addresses == ("/one/A",)


async def test_some_of_many_addresses_are_noted(db, clock) -> None:
    book = AddressBook(db, clock)
    many = [f"/{number}/A" for number in range(100)]
    book.note("A", many)
    assert book.contacts()[0][1].addresses == tuple(many[:MAX_ADDRESSES])


async def test_a_peer_that_stays_costs_a_write_an_hour(db, clock) -> None:
    book = AddressBook(db, clock)
    book.note("A", ["/one/A"])
    await db.flushed()
    syncs = db.syncs
    clock.now_ms += REFRESH_MS - 1
    book.note("A", ["/one/A"])
    await db.flushed()
    assert db.syncs == syncs
    clock.now_ms += 1
    book.note("A", ["/one/A"])
    assert book.contacts()[0][1].seen_ms == clock.now_ms
    await db.flushed()
    assert db.syncs == syncs + 1


async def test_who_was_not_seen_for_a_month_is_not_looked_for(db, clock) -> None:
    book = AddressBook(db, clock)
    book.note("A", ["/one/A"])
    clock.now_ms += FORGET_MS + 1
    assert book.contacts() == []


async def test_strangers_push_out_those_not_seen_for_longest(db, clock, monkeypatch) -> None:
    monkeypatch.setattr(addressbook, "MAX_CONTACTS", 3)
    book = AddressBook(db, clock)
    for peer_id in "ABCDE":
        clock.now_ms += 1
        book.note(peer_id, [f"/x/{peer_id}"])
        book.note("A", ["/x/A", f"/{clock.now_ms}/A"])
    for one in (book, AddressBook(db, clock)):
        assert sorted(peer_id for peer_id, _ in one.contacts()) == ["A", "D", "E"]

"""Validators that are not drawn for a while: by either key, in one batch with what it is for."""

from hashlib import sha256
from typing import Any

import pytest

from node.market import bars
from node.market.bars import Bar, BarBook
from node.verification.draws import Seat
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table

BAR_S = 60
LIAR, OTHER = (Seat(sha256(name).digest(), f"cpc1{name.decode()}") for name in (b"liar", b"other"))
FALSE = b"f" * 32


class Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
async def db():
    async with open_database(MemoryStore()) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


def barred(db: Any, book: BarBook, *seats: Seat) -> None:
    batch = Batch()
    book.bar(batch, seats)
    db.stage(batch)


async def test_neither_key_can_be_exchanged(db, clock) -> None:
    """Else the account with the bond goes on under another peer key, or the reverse."""
    book = BarBook(db, BAR_S, clock)
    changed = book.changed
    barred(db, book, LIAR)
    assert changed.is_set()
    for again in (book, BarBook(db, BAR_S, clock)):
        assert again.is_barred(*_pair(LIAR))
        assert again.is_barred(OTHER.key, LIAR.address)
        assert again.is_barred(LIAR.key, OTHER.address)
        assert not again.is_barred(*_pair(OTHER))
        assert again.barred == 1


async def test_it_ends_and_is_forgotten(db, clock) -> None:
    book = BarBook(db, BAR_S, clock)
    barred(db, book, LIAR)
    clock.now_ms += 30_000
    barred(db, book, OTHER)
    clock.now_ms += 29_999
    assert book.is_barred(*_pair(LIAR))
    clock.now_ms += 1
    assert not book.is_barred(*_pair(LIAR))
    assert (book.is_barred(*_pair(OTHER)), book.barred) == (True, 1)
    barred(db, book, OTHER)
    assert len(list(Table(db, "barred-validators", Bar).items())) == 1


async def test_once_more_makes_it_longer(db, clock) -> None:
    book = BarBook(db, BAR_S, clock)
    barred(db, book, LIAR)
    clock.now_ms += 30_000
    barred(db, book, LIAR)
    clock.now_ms += 59_999
    assert book.is_barred(*_pair(LIAR))
    assert book.barred == 1


async def test_however_many_there_are_memory_is_bounded(db, clock, monkeypatch) -> None:
    monkeypatch.setattr(bars, "MAX_BARRED", 3)
    book = BarBook(db, BAR_S, clock)
    seats = [Seat(bytes([number]) * 32, f"cpc1{number}") for number in range(5)]
    for seat in seats:
        barred(db, book, seat)
    for again in (book, BarBook(db, BAR_S, clock)):
        assert [again.is_barred(*_pair(seat)) for seat in seats] == [False] * 2 + [True] * 3


def _pair(seat: Seat) -> tuple[bytes, str]:
    return seat.key, seat.address


async def cut_at(shop_of, place: int, act: Any) -> tuple[Any, str]:
    """The market as a crash after so many writes of `act` leaves it, and the task's id."""
    store = MemoryStore()
    async with open_database(store) as db:
        shop = shop_of(db)
        shop.deposit(shop.customer, 10 * 10**18)
        shop.see(*shop.validators)
        draw = await shop.leased()
        judged = await act(shop, draw, prepare=True)
        await db.flushed()
        stage, staged = db.stage, [0]

        def cut(batch: Batch) -> None:
            if staged[0] < place:
                stage(batch)
            staged[0] += 1

        db.stage = cut
        await act(shop, draw, prepare=False, judged=judged)
        assert staged[0] >= place
    return store, draw.task_id


async def refuted(shop: Any, draw: Any, *, prepare: bool, judged: Any = None) -> Any:
    """A quorum took a false proof."""
    if prepare:
        return shop.results.judge(shop.report(draw), shop.holder(draw))
    batch = Batch()
    shop.bars.bar(batch, draw.seats[:2])
    shop.results.refute(judged, "false", batch)
    return None


async def overturned(shop: Any, draw: Any, *, prepare: bool, judged: Any = None) -> Any:
    """A jury finds the result false."""
    if prepare:
        shop.complete(shop.report(draw))
        shop.see(*shop.everybody)
        shop.desk.open(draw.task_id, shop.customer, "why")
        return [shop.ruling(draw.task_id, one, FALSE) for one in shop.jurors(draw.task_id)]
    for one in judged:
        shop.desk.take(draw.task_id, one)
    return None


@pytest.mark.parametrize(("act", "writes"), [(refuted, 1), (overturned, 4)])
async def test_a_crash_leaves_both_or_neither(shop_of, act, writes: int) -> None:
    """Nobody is barred for what has not happened, and nobody gets off for what has."""
    for place in range(writes + 1):
        store, task_id = await cut_at(shop_of, place, act)
        async with open_database(store) as db:
            shop = shop_of(db)
            known = shop.record(task_id)
            happened = known.phase == "overturned" or (known.phase, known.epoch) == ("queued", 1)
            assert (shop.bars.barred > 0) == happened == (place == writes), place

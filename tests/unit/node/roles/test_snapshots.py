"""What a validator takes for a market's snapshot, and for how long."""

from hashlib import sha256

import msgspec
import pytest

from node.roles.snapshots import MAX_MARKETS, MAX_SNAPSHOTS, SnapshotBook
from node.verification.claims import StatementInvalid
from node.verification.snapshots import Candidate, Snapshot, sign_snapshot, snapshot_digest
from p2p.identity import Identity
from storage.database import open_database
from storage.memory import MemoryStore

CHAIN = "cpc-devnet-1"
MARKET, OTHER = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))


class Clock:
    now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def snapshot(number: int, by: Identity = MARKET, weight: int = 1) -> Snapshot:
    candidates = (Candidate(bytes(32), "cpc1v", weight, ("synthetic",)),)
    return sign_snapshot(Snapshot(number, bytes(32), number, candidates, b""), CHAIN, by)


@pytest.fixture
async def book():
    async with open_database(MemoryStore()) as db:
        yield SnapshotBook(db, CHAIN, (MARKET.peer_id, OTHER.peer_id), Clock())


def kept(book: SnapshotBook, *snapshots: Snapshot) -> list[bool]:
    return [book.find(snapshot_digest(one, CHAIN)) is not None for one in snapshots]


async def test_a_snapshot_is_found_by_its_digest(book) -> None:
    one, two = snapshot(1), snapshot(2)
    book.add(one)
    book.add(one)
    assert kept(book, one, two) == [True, False]


async def test_a_second_one_of_the_same_number_is_refused_and_logged(book, caplog) -> None:
    """A market that shows different people different candidates."""
    first, second = snapshot(7), snapshot(7, weight=2)
    book.add(first)
    with pytest.raises(StatementInvalid, match="another of this number"):
        book.add(second)
    assert kept(book, first, second) == [True, False]
    assert "two snapshots numbered 7" in caplog.text
    book.add(snapshot(7, OTHER))  # of another market


@pytest.mark.parametrize(
    "changes",
    [{"signature": bytes(64)}, {"number": 9}, {"market_key": OTHER.public_key}, {"previous": b""}],
)
async def test_a_snapshot_that_its_market_did_not_sign(book, changes) -> None:
    with pytest.raises(StatementInvalid):
        book.add(msgspec.structs.replace(snapshot(1), **changes))


async def test_only_pinned_markets_count(book) -> None:
    with pytest.raises(StatementInvalid, match="pins other"):
        book.add(snapshot(1, Identity.from_seed(bytes(32))))


async def test_when_a_snapshot_was_replaced() -> None:
    async with open_database(MemoryStore()) as db:
        clock = Clock()
        book = SnapshotBook(db, CHAIN, (), clock)
        began, three, five = clock.now_ms, snapshot(3), snapshot(5)
        book.add(three)
        assert book.replaced_ms(three) is None
        clock.now_ms += 1000
        book.add(five)
        clock.now_ms += 1000
        book.add(snapshot(6))
        book.add(snapshot(4))  # heard of too late
        assert book.replaced_ms(three) == began + 1000
        assert book.replaced_ms(snapshot(1)) == began  # by whatever is newer and known
        assert book.replaced_ms(five) == began + 2000
        assert book.replaced_ms(snapshot(6)) is None


async def test_a_book_is_bounded_and_the_same_after_a_restart() -> None:
    store = MemoryStore()
    many = [snapshot(number) for number in range(MAX_SNAPSHOTS + 3)]
    async with open_database(store) as db:
        book = SnapshotBook(db, CHAIN, (), Clock())
        for one in many:
            book.add(one)
        assert kept(book, *many) == [False] * 3 + [True] * MAX_SNAPSHOTS
    async with open_database(store) as db:
        again = SnapshotBook(db, CHAIN, (), Clock())
        assert kept(again, *many) == [False] * 3 + [True] * MAX_SNAPSHOTS
        with pytest.raises(StatementInvalid, match="another of this number"):
            again.add(snapshot(MAX_SNAPSHOTS, weight=2))


async def test_strangers_do_not_fill_the_book() -> None:
    async with open_database(MemoryStore()) as db:
        book = SnapshotBook(db, CHAIN, (), Clock())
        seeds = (sha256(bytes([number])).digest() for number in range(MAX_MARKETS + 5))
        many = [snapshot(1, Identity.from_seed(seed)) for seed in seeds]
        for one in many:
            book.add(one)
        assert kept(book, *many) == [False] * 5 + [True] * MAX_MARKETS

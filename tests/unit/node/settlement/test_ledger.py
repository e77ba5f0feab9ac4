import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import MAX_AMOUNT, Amount
from node.errors import Conflict, InsufficientFunds
from node.settlement.entries import Entry, Posting, digest, move, posting
from node.settlement.errors import LedgerConflict, MalformedEntry, Overdrawn
from node.settlement.ledger import Balance, Ledger, Place
from storage.database import Database
from storage.memory import MemoryStore
from storage.store import Batch

ALICE = "customer:cpc1alice"
BOB = "customer:cpc1bob"


def post(ledger: Ledger, batch: Batch, cause: str, *postings: Posting) -> bool:
    return ledger.post(batch, cause=cause, kind="test", postings=postings, at_ms=5)


async def deposit(db: Database, ledger: Ledger, account: str, amount: int) -> None:
    batch = Batch()
    post(ledger, batch, f"deposit:{account}", *move("l1", account, amount))
    await db.commit(batch)


async def test_an_entry_moves_money_and_is_found_again(db: Database, ledger: Ledger) -> None:
    await deposit(db, ledger, ALICE, 100)
    assert (ledger.balance(ALICE), ledger.balance("l1"), ledger.balance(BOB)) == (100, -100, 0)
    entry = Entry(f"deposit:{ALICE}", "test", 5, 0, move("l1", ALICE, 100))
    assert ledger.find(entry.cause) == entry
    assert entry.amount(ALICE) == 100
    assert entry.amount(BOB) == 0


async def test_several_entries_in_one_batch_see_each_other(db: Database, ledger: Ledger) -> None:
    batch = Batch()
    assert post(ledger, batch, "1", *move("l1", ALICE, 100))
    assert post(ledger, batch, "2", *move(ALICE, BOB, 60))
    assert not post(ledger, batch, "2", *move(ALICE, BOB, 60))
    assert ledger.balance(ALICE) == 0
    assert ledger.balance(ALICE, batch) == 40
    with pytest.raises(InsufficientFunds):
        post(ledger, batch, "3", *move(ALICE, BOB, 41))
    await db.commit(batch)
    assert (ledger.balance(ALICE), ledger.balance(BOB)) == (40, 60)
    assert [entry.sequence for entry in ledger.entries()] == [0, 1]
    assert ledger.audit().ok


async def test_a_dropped_batch_changed_nothing(db: Database, ledger: Ledger) -> None:
    post(ledger, Batch(), "1", *move("l1", ALICE, 100))
    batch = Batch()
    assert post(ledger, batch, "1", *move("l1", ALICE, 30))
    await db.commit(batch)
    assert ledger.balance(ALICE) == 30
    assert ledger.audit().ok


async def test_the_same_cause_moves_money_once(db: Database, ledger: Ledger) -> None:
    await deposit(db, ledger, ALICE, 100)
    batch = Batch()
    assert not post(ledger, batch, f"deposit:{ALICE}", *move("l1", ALICE, 100))
    assert not batch.changes
    with pytest.raises(LedgerConflict) as conflict:
        post(ledger, batch, f"deposit:{ALICE}", *move("l1", ALICE, 101))
    assert isinstance(conflict.value, Conflict)
    with pytest.raises(LedgerConflict):
        ledger.post(
            batch,
            cause=f"deposit:{ALICE}",
            kind="other",
            postings=move("l1", ALICE, 100),
            at_ms=5,
        )


async def test_only_l1_may_be_negative(db: Database, ledger: Ledger) -> None:
    batch = Batch()
    with pytest.raises(InsufficientFunds):
        post(ledger, batch, "1", *move(ALICE, BOB, 1))
    for account in ("fees", "burn", "reserved:t", "outbox:c", "worker:w", "unclaimed"):
        with pytest.raises(Overdrawn):
            post(ledger, batch, "2", *move(account, "l1", 1))
    assert not batch.changes


@pytest.mark.parametrize(
    "postings",
    [
        (),
        (posting("l1", 0),),
        (posting("l1", -5), posting(ALICE, 4)),
        (posting("l1", 5),),
        (posting("l1", -5), posting(ALICE, 2), posting(ALICE, 3)),
        (posting("l1", -5), posting("pocket", 5)),
        (posting("l1", -5), posting("customer:", 5)),
        (posting("l1", -5), posting("customer:a\x00b", 5)),
        (posting("l1", -5), posting("customer:" + "a" * 300, 5)),
        (posting("l1", -MAX_AMOUNT - 1), posting(ALICE, MAX_AMOUNT + 1)),
    ],
)
async def test_malformed_postings_are_refused(
    ledger: Ledger, postings: tuple[Posting, ...]
) -> None:
    batch = Batch()
    with pytest.raises(MalformedEntry):
        post(ledger, batch, "1", *postings)
    assert not batch.changes


@pytest.mark.parametrize("cause", ["", "a\nb", "é", "a" * 201])
async def test_malformed_causes_are_refused(ledger: Ledger, cause: str) -> None:
    with pytest.raises(MalformedEntry):
        post(ledger, Batch(), cause, *move("l1", ALICE, 1))


async def test_entries_of_an_account_in_pages(db: Database, ledger: Ledger) -> None:
    batch = Batch()
    for number in range(300):
        account = ALICE if number % 3 else ALICE + "2"
        post(ledger, batch, f"{number}", *move("l1", account, number + 1))
    await db.commit(batch)
    of_alice = [entry.sequence for entry in ledger.entries(ALICE)]
    assert of_alice == [number for number in range(300) if number % 3]
    assert [entry.sequence for entry in ledger.entries(ALICE, start=256, limit=2)] == [256, 257]
    assert [entry.sequence for entry in ledger.entries(start=298)] == [298, 299]
    assert list(ledger.entries("customer:nobody")) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 50)), max_size=30))
def test_whatever_is_posted_the_books_are_right(moves: list[tuple[int, int, int]]) -> None:
    names = ["l1", ALICE, BOB, "fees"]
    db = Database(MemoryStore())
    ledger = Ledger(db)
    for number, (source, target, amount) in enumerate(moves):
        batch = Batch()
        try:
            post(ledger, batch, f"{number}", *move(names[source], names[target], amount))
        except (InsufficientFunds, Overdrawn, MalformedEntry):
            assert not batch.changes
        db.stage(batch)
    report = ledger.audit()
    assert report.ok
    assert sum(ledger.balance(name) for name in names) == 0
    assert report.held == -ledger.balance("l1") >= 0
    assert all(ledger.balance(name) >= 0 for name in names[1:])


async def test_an_audit_finds_what_was_changed_behind_the_ledgers_back(
    db: Database, ledger: Ledger
) -> None:
    await deposit(db, ledger, ALICE, 100)
    await deposit(db, ledger, BOB, 100)
    assert ledger.audit().ok
    entry = ledger.find(f"deposit:{BOB}")
    assert entry is not None
    damages = Batch(), Batch(), Batch(), Batch(), Batch()
    ledger.balances.put(damages[0], ALICE.encode(), Balance(Amount(101)))
    ledger.by_cause.put(damages[1], b"ghost", Place(0))
    ledger.by_account.put(damages[2], b"customer:x\x00" + bytes(8), Place(0))
    ledger.next.put(damages[3], b"", Place(9))
    ledger.by_sequence.put(damages[4], (1).to_bytes(8, "big"), Entry("x", "x", 0, 7, ()))
    for number, damage in enumerate(damages, start=1):
        db.stage(damage)
        assert len(ledger.audit().findings) >= number


@pytest.mark.parametrize("index", ["by_cause", "by_account"])
async def test_an_audit_finds_another_member_in_an_index(
    db: Database, ledger: Ledger, index: str
) -> None:
    """As many as there should be, but not the same: one leads elsewhere, or stands for another."""
    await deposit(db, ledger, ALICE, 100)
    await deposit(db, ledger, BOB, 100)
    table = getattr(ledger, index)
    key, place = next(iter(table.items()))
    astray, other = Batch(), Batch()
    table.put(astray, key, Place(1 - place.sequence))
    db.stage(astray)
    assert len(ledger.audit().findings) == 1
    table.delete(other, key)
    table.put(other, b"zzz", place)
    db.stage(other)
    assert len(ledger.audit().findings) == 1


def test_the_digest_of_an_entry_is_fixed() -> None:
    entry = Entry("settle:t", "settle", 1_700_000_000_000, 3, move("reserved:t", "burn", 10**30))
    assert digest("cpc-devnet-1", entry).hex() == (
        "2ffaa02a32b798ffe11436a2bda9a19aefb7df69fd46b1e5124589030abaf001"
    )
    assert digest("cpc-devnet-2", entry) != digest("cpc-devnet-1", entry)

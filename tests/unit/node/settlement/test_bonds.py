"""Bonds: put down, taken back after a while, and within a slash's reach until then."""

from typing import Any

import msgspec
import pytest

from node.errors import Conflict, InsufficientFunds, InvalidInput
from node.l1.keys import AccountKey
from node.settlement import accounts
from node.settlement.bonds import Bonds, Signer
from node.settlement.entries import move
from node.settlement.errors import LedgerConflict
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from storage.store import Batch

CPC = 10**18
ALICE, BOB = (AccountKey(number.to_bytes(32, "big")).address for number in (10, 20))
RULES = SettlementParameters(unbonding_s=100.0, slash_bp=2_500)
LATER = 100_000


@pytest.fixture
def batch(ledger: Ledger) -> Batch:
    """In which Alice and Bob have paid 10 CPC in each."""
    batch = Batch()
    for address in (ALICE, BOB):
        postings = move(accounts.L1, accounts.customer(address), 10 * CPC)
        ledger.post(batch, cause=f"deposit:{address}", kind="deposit", postings=postings, at_ms=0)
    return batch


@pytest.fixture
def bonds(db: Any, ledger: Ledger) -> Bonds:
    return Bonds(db, ledger, RULES)


def holds(ledger: Ledger, batch: Batch, address: str) -> tuple[int, int, int]:
    """CPC to spend, bonded, unbonding."""
    names = accounts.customer(address), accounts.bond(address), accounts.unbonding(address)
    free, bonded, unbonding = (ledger.balance(name, batch) // CPC for name in names)
    return free, bonded, unbonding


async def test_a_bond_is_put_down_and_comes_back(
    ledger: Ledger, bonds: Bonds, batch: Batch
) -> None:
    assert bonds.bond(batch, ALICE, 8 * CPC, key="a", at_ms=1)
    assert not bonds.bond(batch, ALICE, 8 * CPC, key="a", at_ms=2)
    assert holds(ledger, batch, ALICE) == (2, 8, 0)
    assert bonds.unbond(batch, ALICE, 5 * CPC, key="a", at_ms=3)
    assert not bonds.unbond(batch, ALICE, 5 * CPC, key="a", at_ms=4)
    assert holds(ledger, batch, ALICE) == (2, 3, 5)
    with pytest.raises(Conflict):
        bonds.release(batch, ALICE, 2 + LATER)
    assert bonds.release(batch, ALICE, 3 + LATER)
    assert not bonds.release(batch, ALICE, 4 + LATER)
    assert holds(ledger, batch, ALICE) == (7, 3, 0)


async def test_what_is_due_is_found_over_a_restart(
    db: Any, ledger: Ledger, bonds: Bonds, batch: Batch
) -> None:
    for address, at_ms in ((ALICE, 7), (BOB, 5)):
        bonds.bond(batch, address, CPC, key="b", at_ms=1)
        bonds.unbond(batch, address, CPC, key="u", at_ms=at_ms)
    db.stage(batch)
    again = Bonds(db, Ledger(db), msgspec.structs.replace(RULES, unbonding_s=9_999.0))
    assert list(again.due(4 + LATER)) == []
    assert list(again.due(6 + LATER)) == [BOB]
    assert list(again.due(7 + LATER)) == [BOB, ALICE]
    shown = again.find(BOB)
    assert (shown.bonded, shown.unbonding, shown.release_ms) == (0, CPC, 5 + LATER)


async def test_taking_back_more_starts_the_time_anew(
    db: Any, bonds: Bonds, ledger: Ledger, batch: Batch
) -> None:
    """Else what was slashed could be made good from money that has to stay longer."""
    bonds.bond(batch, ALICE, 9 * CPC, key="b", at_ms=0)
    bonds.unbond(batch, ALICE, CPC, key="one", at_ms=10)
    bonds.unbond(batch, ALICE, 2 * CPC, key="two", at_ms=50)
    with pytest.raises(Conflict):
        bonds.release(batch, ALICE, 10 + LATER)
    db.stage(batch)
    assert list(bonds.due(49 + LATER)) == []
    assert list(bonds.due(50 + LATER)) == [ALICE]
    batch = Batch()
    assert bonds.release(batch, ALICE, 50 + LATER)
    db.stage(batch)
    assert holds(ledger, Batch(), ALICE) == (4, 6, 0)
    assert list(bonds.due(10 * LATER)) == []


@pytest.mark.parametrize(("drawn_ms", "is_held"), [(9, True), (10, True), (11, False)])
async def test_a_result_holds_what_was_taken_back_after_its_draw(
    ledger: Ledger, bonds: Bonds, batch: Batch, db: Any, drawn_ms: int, is_held: bool
) -> None:
    """What was taken back before did not count when its owner was drawn."""
    bonds.bond(batch, ALICE, 8 * CPC, key="a", at_ms=1)
    bonds.unbond(batch, ALICE, 5 * CPC, key="a", at_ms=10)
    bonds.hold(batch, [ALICE, BOB], drawn_ms, 50)
    db.stage(batch)
    due_ms = LATER + (50 if is_held else 10)
    assert bonds.find(ALICE).release_ms == due_ms
    assert list(bonds.due(due_ms - 1)) == []
    assert list(bonds.due(due_ms)) == [ALICE]
    assert bonds.find(BOB).release_ms is None
    later = Batch()
    bonds.hold(later, [ALICE], drawn_ms, 20)  # a clock that was set back
    db.stage(later)
    assert bonds.find(ALICE).release_ms == due_ms


async def test_a_slash_reaches_what_is_unbonding(
    ledger: Ledger, bonds: Bonds, batch: Batch
) -> None:
    bonds.bond(batch, ALICE, 8 * CPC, key="b", at_ms=0)
    bonds.unbond(batch, ALICE, 7 * CPC, key="u", at_ms=1)
    taken = bonds.slash(batch, [ALICE, BOB, ALICE])
    assert {one.account: one.amount for one in taken} == {
        accounts.bond(ALICE): -CPC,
        accounts.unbonding(ALICE): -CPC,
    }


async def test_what_a_slash_took_whole_is_forgotten(db: Any, ledger: Ledger, batch: Batch) -> None:
    bonds = Bonds(db, ledger, msgspec.structs.replace(RULES, slash_bp=10_000))
    bonds.bond(batch, ALICE, CPC, key="b", at_ms=0)
    bonds.unbond(batch, ALICE, CPC, key="u", at_ms=0)
    postings = (*bonds.slash(batch, [ALICE]), *move("l1", "burn", CPC)[1:])
    ledger.post(batch, cause="slash:t", kind="slash", postings=postings, at_ms=1)
    assert bonds.release(batch, ALICE, LATER)
    db.stage(batch)
    assert holds(ledger, Batch(), ALICE) == (9, 0, 0)
    assert list(bonds.due(10 * LATER)) == []


async def test_what_cannot_be_bonded_or_taken_back(bonds: Bonds, batch: Batch) -> None:
    bonds.bond(batch, ALICE, CPC, key="b", at_ms=0)
    before = dict(batch.changes)
    for call, amount, error in (
        (bonds.bond, 0, InvalidInput),
        (bonds.unbond, 0, InvalidInput),
        (bonds.bond, 10 * CPC, InsufficientFunds),
        (bonds.unbond, CPC + 1, InsufficientFunds),
    ):
        with pytest.raises(error):
            call(batch, ALICE, amount, key="other", at_ms=1)
    with pytest.raises(LedgerConflict):
        bonds.bond(batch, ALICE, CPC + 1, key="b", at_ms=1)
    assert batch.changes == before


@pytest.mark.parametrize(
    ("bonded", "window_s"), [((), 65.0), ((ALICE,), 65.0), ((ALICE, BOB), 5.0)]
)
async def test_the_pay_of_unbonded_workers_waits_longer(
    db: Any, ledger: Ledger, batch: Batch, bonded: tuple[str, ...], window_s: float
) -> None:
    rules = msgspec.structs.replace(RULES, worker_bond=CPC, unbonded_wait_s=60.0)
    bonds = Bonds(db, ledger, rules)
    for address in bonded:
        bonds.bond(batch, address, CPC, key="b", at_ms=0)
    signers = [Signer(ALICE, bytes(32)), Signer(BOB, bytes(32))]
    assert bonds.window_s(signers, batch) == window_s
    assert bonds.window_s([], batch) == 65.0
    for none in (signers, []):
        assert Bonds(db, ledger, RULES).window_s(none, batch) == 5.0


async def test_taking_a_bond_back_ends_what_it_buys_at_once(
    db: Any, ledger: Ledger, batch: Batch
) -> None:
    bonds = Bonds(db, ledger, msgspec.structs.replace(RULES, worker_bond=CPC, unbonded_wait_s=60.0))
    bonds.bond(batch, ALICE, CPC, key="b", at_ms=0)
    bonds.unbond(batch, ALICE, 1, key="u", at_ms=0)
    assert bonds.window_s([Signer(ALICE, bytes(32))], batch) == 65.0

"""Bonds as the API has them: durable, and in words for a person."""

from typing import Any

import pytest

from node.amounts import UNITS_PER_CPC, Amount
from node.errors import Conflict, InsufficientFunds, InvalidInput
from node.l1.keys import AccountKey
from node.settlement import accounts
from node.settlement.bonds import Bonds
from node.settlement.entries import move
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from node.settlement.staking import Staking
from storage.database import Database, open_database
from storage.memory import MemoryStore
from storage.store import Batch

CPC = UNITS_PER_CPC
ALICE = AccountKey((10).to_bytes(32, "big")).address
NOW_MS = 1_000


def staking_over(db: Database) -> Staking:
    rules = SettlementParameters(unbonding_s=100.0)
    return Staking(db, Bonds(db, Ledger(db), rules), lambda: NOW_MS)


async def give(db: Database, units: int) -> None:
    batch = Batch()
    postings = move(accounts.L1, accounts.customer(ALICE), units)
    Ledger(db).post(batch, cause="deposit:1", kind="deposit", postings=postings, at_ms=0)
    await db.commit(batch)


async def test_what_is_answered_is_durable() -> None:
    store = MemoryStore()
    async with open_database(store) as db:
        await give(db, 5 * CPC)
        staking = staking_over(db)
        for _ in range(2):
            bond = await staking.bond(ALICE, Amount(3 * CPC), "a")
            assert (bond.bonded, bond.unbonding, bond.release_ms) == (3 * CPC, 0, None)
    async with open_database(store) as db:
        staking = staking_over(db)
        assert staking.show(ALICE).bonded == 3 * CPC
        for _ in range(2):
            bond = await staking.unbond(ALICE, Amount(CPC), "a")
            assert (bond.bonded, bond.unbonding) == (2 * CPC, CPC)
            assert bond.release_ms == NOW_MS + 100_000


@pytest.mark.parametrize("way", ["bond", "unbond"])
async def test_what_cannot_be_done_names_its_field(db: Any, way: str) -> None:
    await give(db, 5 * CPC)
    staking = staking_over(db)
    await staking.bond(ALICE, Amount(2 * CPC), "first")
    change = getattr(staking, way)
    await change(ALICE, Amount(CPC), "used")
    for amount, key, error, field in (
        (2 * CPC, "used", Conflict, "idempotency_key"),
        (6 * CPC, "new", InsufficientFunds, "amount"),
        (0, "new", InvalidInput, "amount"),
    ):
        with pytest.raises(error) as raised:
            await change(ALICE, Amount(amount), key)
        assert raised.value.field == field

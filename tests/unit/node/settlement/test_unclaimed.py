"""Money that is nobody's: given to a customer once, entry by entry."""

from collections.abc import Callable
from typing import Any

import pytest

from node.errors import Conflict, InvalidInput, NotFound
from node.l1.keys import AccountKey
from node.settlement import accounts
from node.settlement.entries import move
from node.settlement.unclaimed import UnclaimedDesk
from storage.store import Batch

CPC = 10**18


@pytest.fixture
def desk(market: Any) -> UnclaimedDesk:
    """Entries 0 and 2 left something unclaimed."""
    for number, target in enumerate((accounts.UNCLAIMED, accounts.FEES, accounts.UNCLAIMED)):
        batch = Batch()
        postings = move(accounts.L1, target, (number + 1) * CPC)
        market.ledger.post(batch, cause=f"d{number}", kind="x", postings=postings, at_ms=number)
        market.db.stage(batch)
    return UnclaimedDesk(market.db, market.ledger, lambda: 9)


async def test_each_entry_is_given_once(
    market: Any, desk: UnclaimedDesk, key: Callable[[int], AccountKey]
) -> None:
    alice, bob = key(10).address, key(11).address
    assert [entry.sequence for entry in desk.entries()] == [0, 2]
    for _ in range(2):
        assert (await desk.give(2, alice)).cause == "d2"
    assert market.ledger.balance(accounts.customer(alice)) == 3 * CPC
    with pytest.raises(Conflict):
        await desk.give(2, bob)
    assert [entry.sequence for entry in desk.entries()] == [0]
    await desk.give(0, bob)
    assert list(desk.entries()) == []
    assert market.ledger.balance(accounts.UNCLAIMED) == 0
    assert market.ledger.audit().ok


@pytest.mark.parametrize("number", [1, 3, 99])
async def test_what_left_nothing_unclaimed_gives_nothing(
    market: Any, desk: UnclaimedDesk, key: Callable[[int], AccountKey], number: int
) -> None:
    await desk.give(2, key(10).address)
    before = dict(market.ledger.holdings())
    with pytest.raises(NotFound):
        await desk.give(number, key(10).address)
    with pytest.raises(InvalidInput):
        await desk.give(0, "cpc1nobody")
    assert dict(market.ledger.holdings()) == before

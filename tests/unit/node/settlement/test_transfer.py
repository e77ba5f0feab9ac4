from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from node.errors import ConfigError, InsufficientFunds, InvalidInput, Unavailable
from node.l1.keys import AccountKey
from node.settlement import accounts
from node.settlement.entries import move
from node.settlement.errors import LedgerConflict
from node.settlement.transfer import TransferSettlement
from storage.store import Batch

FEE = 21_000_000
CPC = 10**18


def credit(market: Any, address: str, amount: int, cause: str = "deposit:1") -> None:
    batch = Batch()
    postings = move(accounts.L1, accounts.customer(address), amount)
    market.ledger.post(batch, cause=cause, kind="deposit", postings=postings, at_ms=0)
    market.db.stage(batch)


@pytest.fixture
def alice(key: Callable[[int], AccountKey], market: Any) -> str:
    """A customer with 10 CPC at the market."""
    credit(market, key(10).address, 10 * CPC)
    return key(10).address


async def test_a_withdrawal_goes_to_the_customer_who_pays_its_fee(market: Any, alice: str) -> None:
    batch = Batch()
    cause = market.settlement.withdraw(batch, alice, CPC, key="k", at_ms=1)
    assert cause == market.settlement.withdraw(batch, alice, CPC, key="k", at_ms=2)
    market.db.stage(batch)
    assert market.ledger.balance(f"customer:{alice}") == 9 * CPC - FEE
    assert market.ledger.balance(f"outbox:{cause}") == CPC + FEE
    tx = market.sender.find(cause).transaction
    assert (tx.tx_type, tx.to_address, tx.amount, tx.fee) == ("TRANSFER", alice, CPC, FEE)
    assert tx.payload == {"tmnode": "withdraw"}


async def test_a_withdrawal_that_cannot_be(market: Any, alice: str) -> None:
    batch = Batch()
    withdraw = market.settlement.withdraw
    with pytest.raises(InsufficientFunds):
        withdraw(batch, alice, 10 * CPC - FEE + 1, key="k", at_ms=1)
    with pytest.raises(InvalidInput):
        withdraw(batch, alice, 0, key="k", at_ms=1)
    assert not batch.changes
    withdraw(batch, alice, 10 * CPC - FEE, key="k", at_ms=1)
    with pytest.raises(LedgerConflict):
        withdraw(batch, alice, 5, key="k", at_ms=1)


async def test_before_the_chain_has_answered_nothing_can_be_withdrawn(
    make_world: Any, key: Callable[[int], AccountKey], db: Any, market: Any
) -> None:
    sender = type(market.sender)(key(7), db, None)
    settlement = TransferSettlement(
        db,
        sender,
        market.settlement.parameters,
        chain_id="c",
        address=key(7).address,
        clock_ms=market.now_ms,
    )
    credit(market, key(10).address, CPC)
    batch = Batch()
    with pytest.raises(Unavailable):
        settlement.withdraw(batch, key(10).address, 5, key="k", at_ms=1)
    assert not batch.changes


async def test_the_operator_can_top_up_the_fees(market: Any, alice: str) -> None:
    batch = Batch()
    assert market.settlement.fund_fees(batch, alice, CPC, key="k", at_ms=1)
    assert not market.settlement.fund_fees(batch, alice, CPC, key="k", at_ms=2)
    market.db.stage(batch)
    assert market.ledger.balance("fees") == CPC
    with pytest.raises(InvalidInput):
        market.settlement.fund_fees(Batch(), alice, -1, key="l", at_ms=1)


@pytest.mark.parametrize("field", ["burn_address", "treasury_address"])
async def test_burn_and_treasury_are_not_the_market_s_own(db: Any, market: Any, field: str) -> None:
    parameters = msgspec.structs.replace(market.settlement.parameters, **{field: "cpc1market"})
    with pytest.raises(ConfigError):
        TransferSettlement(
            db,
            market.sender,
            parameters,
            chain_id="c",
            address="cpc1market",
            clock_ms=market.now_ms,
        )

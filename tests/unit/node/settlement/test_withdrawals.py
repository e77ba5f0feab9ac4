"""Withdrawals as their customers see them, down to the block."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from node.amounts import Amount
from node.errors import Conflict, InsufficientFunds
from node.l1.keys import AccountKey
from node.settlement import accounts
from node.settlement.entries import move
from node.settlement.withdrawals import Withdrawals
from storage.store import Batch

CPC = 10**18
FEE = 21_000_000


def till_of(market: Any) -> Withdrawals:
    return Withdrawals(market.db, market.settlement, market.sender, market.now_ms)


async def test_money_comes_back_to_the_chain_once(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: trio.abc.Clock
) -> None:
    world, alice = make_world(), key(10)
    async with world.running(), world.market() as market:
        world.deposit(alice, 10 * CPC)
        await trio.sleep(30)
        till, before = till_of(market), world.balance(alice.address)
        first = await till.withdraw(alice.address, Amount(4 * CPC), "k")
        assert (first.state, first.amount, first.fee) == ("pending", 4 * CPC, FEE)
        assert first.height is None
        async with trio.open_nursery() as nursery:
            for _ in range(5):  # a customer who does not know whether it worked
                nursery.start_soon(till.withdraw, alice.address, Amount(4 * CPC), "k")
        await trio.sleep(30)
        last = await till.withdraw(alice.address, Amount(4 * CPC), "k")
        assert (last.state, last.tx_hash) == ("confirmed", first.tx_hash)
        assert last.withdrawal_id == first.withdrawal_id
        block = await world.client.block(last.height)
        assert [tx.to_address for tx in block.txs] == [alice.address]
        assert world.balance(alice.address) - before == 4 * CPC
        assert market.ledger.balance(f"customer:{alice.address}") == 6 * CPC - FEE
        assert market.ledger.audit().ok


async def test_after_a_crash_it_is_the_same_withdrawal(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: trio.abc.Clock
) -> None:
    world, alice = make_world(), key(10)
    async with world.running():
        async with world.market() as market:
            world.deposit(alice, 10 * CPC)
            await trio.sleep(30)
            first = await till_of(market).withdraw(alice.address, Amount(CPC), "k")
        world.forget()
        before = world.balance(alice.address)
        async with world.market() as market:
            again = await till_of(market).withdraw(alice.address, Amount(CPC), "k")
            assert again.tx_hash == first.tx_hash
            await trio.sleep(60)
            assert world.balance(alice.address) - before == CPC


async def test_another_amount_or_too_much_is_refused(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: trio.abc.Clock
) -> None:
    world, alice = make_world(), key(10)
    async with world.running(), world.market() as market:
        world.deposit(alice, 2 * CPC)
        await trio.sleep(30)
        till = till_of(market)
        await till.withdraw(alice.address, Amount(CPC), "k")
        with pytest.raises(Conflict) as refused:
            await till.withdraw(alice.address, Amount(CPC + 1), "k")
        assert refused.value.field == "idempotency_key"
        with pytest.raises(InsufficientFunds):
            await till.withdraw(alice.address, Amount(CPC), "other")
        everything = market.ledger.balance(f"customer:{alice.address}") - till.fee(alice.address)
        await till.withdraw(alice.address, Amount(everything), "all")
        assert market.ledger.balance(f"customer:{alice.address}") == 0


async def test_the_market_takes_its_own_money_out_without_a_transaction(
    market: Any, key: Callable[[int], AccountKey]
) -> None:
    own, batch = key(1).address, Batch()
    postings = move(accounts.L1, accounts.customer(own), CPC)
    market.ledger.post(batch, cause="deposit:1", kind="deposit", postings=postings, at_ms=0)
    market.db.stage(batch)
    done = await till_of(market).withdraw(own, Amount(CPC), "k")
    assert (done.state, done.fee, done.tx_hash) == ("confirmed", 0, None)
    assert market.ledger.balance(accounts.L1) == 0

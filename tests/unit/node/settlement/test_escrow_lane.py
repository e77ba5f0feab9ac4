"""Where the chain holds the money: transactions of the market's that can never be in a block, or
that others were before, make way, and the books follow the chain."""

from typing import Any

import msgspec
import pytest
import trio

from node.l1.escrow import (
    Approval,
    Opening,
    ShareTerms,
    open_escrow,
    refund_escrow,
    withdraw_for,
)
from node.settlement.errors import SettlementConflict
from node.settlement.escrow_outbox import HOPELESS_BLOCKS
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import (
    ANOTHER,
    CPC,
    TASK,
    Key,
    all_matured,
    approve_by,
    buy,
    check_copy,
    copy_of,
    free,
    lease,
    more_than_there_is,
    paid_in,
    refund,
    reserve,
    restore,
    settle,
    take_nonce,
    until,
    withdraw,
)


async def test_a_market_that_was_restored_from_a_backup(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """It finds an escrow of its own that it does not know: the money comes back by the clock."""
    alice = key(10)
    world.parameters = msgspec.structs.replace(world.parameters, escrow_grace_blocks=5)
    async with world.running():
        async with world.market() as market:
            await paid_in(world, market, alice)
        backup = copy_of(world)
        async with world.market() as market:
            reserve(market, alice.address)
            lease(world, market, seconds=5)
            await until(lambda: market.settlement.rewards.escrow(TASK).state == "open")
        restore(world, backup)
        async with world.market() as market:
            await until(lambda: list(market.ledger.holdings("returning:")))
            assert free(market, alice.address) == 9 * CPC
            await until(lambda: free(market, alice.address) == 10 * CPC)
            check_copy(world, market, alice.address)


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_escrow_that_a_restored_market_has_the_reservation_of(
    world: Any, key: Key, autojump_clock: trio.abc.Clock, *, at_once: bool
) -> None:
    """It is the task's, whether or not the task is leased again before it is seen; an opening of
    its own, which the chain will never take, is in nobody's way."""
    alice = key(10)
    async with world.running():
        async with world.market() as market:
            await paid_in(world, market, alice)
            reserve(market, alice.address)
            await market.db.flushed()
        backup = copy_of(world)
        async with world.market() as market:
            lease(world, market)
            await until(lambda: market.settlement.rewards.escrow(TASK).state == "open")
        restore(world, backup)
        async with world.market() as market:
            rewards = market.settlement.rewards
            if not at_once:
                await until(lambda: rewards.escrow(TASK))
            lease(world, market)
            await until(lambda: rewards.escrow(TASK).state == "open")
            assert dict(market.ledger.holdings("reserved:")) == {f"reserved:{TASK}": CPC}
            settle(market, key)
            await until(lambda: world.balance(key(20).address) == CPC // 4)
            reserve(market, alice.address, ANOTHER)
            lease(world, market, ANOTHER)
            settle(market, key, ANOTHER)
            await until(lambda: world.balance(key(20).address) == CPC // 2)
            await all_matured(market)
            check_copy(world, market, alice.address)


async def test_an_escrow_that_was_given_up_and_is_opened_after_all(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The customer had the money back in the books, which follow the chain both ways."""
    alice = key(10)
    async with world.running(), world.market() as market:
        await buy(world, market, alice)
        refund(market)
        rewards = market.settlement.rewards
        record = rewards.escrow(TASK)
        assert (record.state, free(market, alice.address)) == ("failed", 10 * CPC)
        deadline = world.chain.tip.height + 5
        world.submit(world.key, open_escrow(opening_of(market, record, deadline=deadline)))
        await until(lambda: rewards.escrow(TASK).state == "open")
        assert dict(market.ledger.holdings("returning:")) == {f"returning:{TASK}": CPC}
        with pytest.raises(SettlementConflict):
            settle(market, key)
        await until(lambda: rewards.escrow(TASK).state == "refunded")
        assert free(market, alice.address) == 10 * CPC
        check_copy(world, market, alice.address)


def opening_of(market: Any, record: Any, **changes: Any) -> Opening:
    """As the market makes it for a record."""
    rules = market.settlement.parameters
    fields = {
        "task_id": record.task_id,
        "customer": record.customer,
        "amount": record.amount,
        "validators": record.members,
        "k": record.needed,
        "deadline": 0,
        "grace": 5,
        "shares": ShareTerms.of(rules.shares),
        "fee_reserve": rules.fee_reserve,
        "burn_address": rules.burn_address,
        "treasury_address": rules.treasury_address,
    }
    return Opening(**{**fields, **changes})


async def test_somebody_else_uses_the_market_s_key(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """A WITHDRAW that the books do not know: they follow the chain."""
    alice = key(10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        world.submit(world.key, withdraw_for(alice.address, 3 * CPC))
        await until(lambda: free(market, alice.address) == 7 * CPC)
        check_copy(world, market, alice.address)


async def test_transactions_that_are_lost_are_asked_for_again(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """Another program takes the nonce of each: opening, withdrawal, settlement."""
    alice = key(10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        reserve(market, alice.address)
        take_nonce(world)
        lease(world, market)
        await until(lambda: market.settlement.rewards.escrow(TASK).tries == 1)
        await until(lambda: market.settlement.rewards.escrow(TASK).state == "open")
        take_nonce(world)
        withdraw(market, alice.address)
        assert free(market, alice.address) == 8 * CPC
        await until(lambda: free(market, alice.address) == 9 * CPC)
        settle(market, key)
        await until(lambda: market.settlement.rewards.escrow(TASK).is_approved)
        take_nonce(world)
        await all_matured(market)
        assert world.balance(key(20).address) == CPC // 4
        check_copy(world, market, alice.address)


async def test_an_opening_that_the_chain_will_not_take_makes_way(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """Whatever the reason: long before its deadline its customer has the money in the books, and
    what others wait for goes on."""
    alice, bob = key(10), key(11)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        await paid_in(world, market, bob)
        ended, rewards = dict[str, str](), market.settlement.rewards
        rewards.on_unfunded = lambda _batch, task, problem: ended.update({task: problem})
        more_than_there_is(market, alice.address)
        reserve(market, alice.address, units=11 * CPC)
        lease(world, market, seconds=10**5)
        await until(lambda: "more than the deposit" in market.sender.blocked)
        begun = world.chain.tip.height
        reserve(market, bob.address, ANOTHER)
        lease(world, market, ANOTHER)
        settle(market, key, ANOTHER)
        await until(lambda: rewards.escrow(TASK).state == "failed")
        assert begun + HOPELESS_BLOCKS <= world.chain.tip.height < begun + HOPELESS_BLOCKS + 5
        assert "more than the deposit" in ended.pop(TASK)
        assert (ended, free(market, alice.address)) == ({}, 11 * CPC)
        await until(lambda: world.balance(key(20).address) == CPC // 4)
        await until(lambda: not market.sender.blocked)
        check_copy(world, market, bob.address)


async def test_a_withdrawal_that_the_chain_will_not_take_makes_way(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        more_than_there_is(market, alice.address)
        for units, name in ((11 * CPC, "all"), (CPC, "some")):
            withdraw(market, alice.address, units, name)
            await until(lambda: not list(market.ledger.holdings("outbox:")))
        assert (free(market, alice.address), world.held(alice.address)) == (10 * CPC, 9 * CPC)
        assert market.ledger.audit().ok


async def test_a_settlement_that_the_chain_will_not_take_is_tried_again(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The others are not kept waiting meanwhile."""
    alice = key(10)
    world.approving = False
    async with world.running(), world.market() as market, trio.open_nursery() as nursery:
        await paid_in(world, market, alice)
        rewards = market.settlement.rewards
        reserve(market, alice.address)
        lease(world, market)
        settle(market, key)
        await until(lambda: rewards.escrow(TASK).state == "open")
        forged = [
            Approval(public_key=one.public_key, signature="00" * 64)
            for one in rewards.escrow(TASK).members
        ]
        approve_by(market, *forged)
        await until(lambda: "signatures[0]" in market.sender.blocked)
        reserve(market, alice.address, ANOTHER)
        lease(world, market, ANOTHER)
        await until(lambda: rewards.escrow(ANOTHER).state == "open")
        assert rewards.escrow(TASK).tries
        approve_by(market)
        nursery.start_soon(market.approve, world.validators_see)
        await until(lambda: rewards.escrow(TASK).state == "settled")
        assert world.balance(key(20).address) == CPC // 4
        nursery.cancel_scope.cancel()


async def test_what_others_send_from_the_account_is_left_alone(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """However long the chain refuses it: whoever sent it knows what to do."""
    async with world.running(), world.market() as market:
        await market.sender.ready.wait()
        market.sender.stage(batch := Batch(), "result:x", refund_escrow("ab" * 32))
        await market.db.commit(batch)
        await until(lambda: market.sender.refusal)
        height = world.chain.tip.height
        await until(lambda: world.chain.tip.height > height + HOPELESS_BLOCKS + 5)
        assert market.sender.refusal.is_by_rule
        assert market.sender.refusal.tip <= height
        assert market.sender.find("result:x").state == "open"

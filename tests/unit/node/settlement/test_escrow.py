"""Money that the chain holds: what can come between two steps, and who has it then."""

from typing import Any

import msgspec
import pytest
import trio

from node.errors import ConfigError, Conflict, InsufficientFunds, InvalidInput
from node.l1.errors import BadPayload, L1Unavailable
from node.l1.escrow import (
    Approval,
    MarketParameters,
    deposit,
    refund_escrow,
    settle_escrow,
    withdraw_all,
)
from node.l1.transactions import transfer
from node.settlement import accounts
from node.settlement.backend import backend_of, check_backend
from node.settlement.chainterms import Terms
from node.settlement.entries import move
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.settlement.escrow_audit import customers_of
from node.settlement.escrow_outbox import HOPELESS_BLOCKS
from node.settlement.interface import Settlement
from node.settlement.ledger import Ledger
from node.split import Shares
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import (
    ANOTHER,
    CPC,
    QUEUED,
    TASK,
    Key,
    all_matured,
    buy,
    check_copy,
    free,
    lease,
    paid_in,
    refund,
    reserve,
    settle,
    spend_all,
    take_out,
    until,
    withdraw,
)


def test_both_back_ends_are_settlements(make_world: Any) -> None:
    """What a market calls is there, by name: mypy checks how."""
    wanted = [name for name in vars(Settlement) if not name.startswith("_")]
    assert {"ledger", "rewards", "deposits", "outbox", "payouts", "withdraw", "run"} <= set(wanted)


async def test_a_fee_that_the_market_cannot_pay_costs_the_customer_nothing(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The opening never gets into a block: when its time is over the customer has the money, and
    with new funds the market goes on."""
    alice = key(10)
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            await buy(world, market, alice, seconds=60)
            await until(lambda: market.sender.blocked)
            begun = world.chain.tip.height
            await until(lambda: world.chain.tip.height > begun + 2 * HOPELESS_BLOCKS)
            assert not market.sender.refusal.is_by_rule
            assert free(market, alice.address) == 9 * CPC  # a fee can come at any time
            await until(lambda: free(market, alice.address) == 10 * CPC)
            assert market.settlement.rewards.escrow(TASK).state == "failed"
            world.submit(key(12), transfer(world.key.address, CPC))
            reserve(market, alice.address, ANOTHER)
            lease(world, market, ANOTHER)
            settle(market, key, ANOTHER)
            await until(lambda: world.balance(key(20).address) == CPC // 4)
            await all_matured(market)
            check_copy(world, market, alice.address)
            assert free(market, alice.address) == 9 * CPC


async def test_somebody_else_settles_first(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """By the same claim and signatures; the market's own transaction gives way, paid is once."""
    alice = key(10)
    async with world.running(), world.market() as market:
        await buy(world, market, alice)
        settle(market, key)
        await until(lambda: market.settlement.rewards.escrow(TASK).closing)
        record = market.settlement.rewards.escrow(TASK)
        draft = settle_escrow(record.escrow_id, record.claim, record.approvals, gas_price=9_000)
        world.submit(key(12), draft)
        await all_matured(market)
        assert market.sender.find(record.closing).state == "lost"
        assert world.balance(key(20).address) == CPC // 4
        world.deposit(alice, CPC)
        await until(lambda: free(market, alice.address) == 10 * CPC)
        withdraw(market, alice.address)
        await until(lambda: not list(market.ledger.holdings("outbox:")))
        check_copy(world, market, alice.address)


async def test_a_refund_needs_signatures_or_time(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    world.approving = False
    world.parameters = msgspec.structs.replace(world.parameters, escrow_grace_blocks=10)
    async with world.running(), world.market() as market:
        await buy(world, market, alice, seconds=20)
        rewards = market.settlement.rewards
        await until(lambda: rewards.escrow(TASK).state == "open")
        refund(market)
        assert dict(market.ledger.holdings("returning:")) == {f"returning:{TASK}": CPC}
        late = rewards.escrow(TASK).late_height
        await until(lambda: world.chain.tip.height >= late - 1)
        assert world.held(alice.address) == 9 * CPC
        await until(lambda: free(market, alice.address) == 10 * CPC)
        assert world.chain.tip.height > late
        check_copy(world, market, alice.address)


async def test_what_nobody_signs_comes_back_in_the_end(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    world.approving = False
    world.parameters = msgspec.structs.replace(world.parameters, escrow_grace_blocks=10)
    reclaimed: list[str] = []
    async with world.running(), world.market() as market:
        rewards = market.settlement.rewards
        rewards.on_reclaimed = lambda _batch, task: reclaimed.append(task)
        await buy(world, market, alice, seconds=5)
        settle(market, key)
        await until(lambda: free(market, alice.address) == 10 * CPC)
        assert reclaimed == [TASK]
        assert not list(market.ledger.holdings("maturing:"))
        assert list(rewards.due(10**15)) == []
        with pytest.raises(SettlementConflict):
            settle(market, key)
        check_copy(world, market, alice.address)


async def test_a_customer_takes_out_what_a_withdrawal_was_under_way_for(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The market cannot pay its fee; the customer's own way needs nobody. Paid is once."""
    alice = key(10)
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            await paid_in(world, market, alice)
            withdraw(market, alice.address, 4 * CPC)
            await take_out(world, alice)
            await until(lambda: not market.ledger.audit().held)
            assert world.held(alice.address) == 0
            spent = world.fees_of(alice.address)
            assert world.balance(alice.address) == 10**9 * CPC - spent
            world.submit(key(12), transfer(world.key.address, CPC))
            await paid_in(world, market, alice, 2 * CPC)
            reserve(market, alice.address)
            lease(world, market)
            settle(market, key)
            await until(lambda: world.balance(key(20).address) == CPC // 4)
            await all_matured(market)
            check_copy(world, market, alice.address)


async def test_an_opening_under_way_fails_with_the_notice(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            await buy(world, market, alice)
            await until(lambda: market.sender.blocked)
            rewards = market.settlement.rewards
            rewards.on_unfunded = lambda batch, task, _: rewards.refund(batch, task, 1)
            reserve(market, alice.address, QUEUED)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take_out, world, alice)
                await until(lambda: free(market, alice.address) == 9 * CPC)
                with pytest.raises(Conflict, match="on its way out"):
                    reserve(market, alice.address, ANOTHER)
                await until(lambda: rewards.escrow(TASK).state == "failed")
                assert free(market, alice.address) == 10 * CPC
            await until(lambda: not market.ledger.audit().held)
            assert world.held(alice.address) == 0


async def test_a_withdrawal_that_cannot_be(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        for units, error in ((0, InvalidInput), (5, InvalidInput), (11 * CPC, InsufficientFunds)):
            with pytest.raises(error):
                withdraw(market, alice.address, units)
        withdraw(market, alice.address, 10 * CPC - 5)
        with pytest.raises(LedgerConflict):
            withdraw(market, alice.address, 9 * CPC)
        withdraw(market, alice.address, 5, "the rest")
        withdraw(market, alice.address, 5, "the rest")
        assert market.settlement.outbox.fee_to(alice.address) == 0
        await until(lambda: not list(market.ledger.holdings()))
        assert world.held(alice.address) == 0
        assert list(market.settlement.withdrawals.open_of(alice.address)) == []


async def test_what_was_fixed_at_the_opening_holds_under_another_network_file(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    async with world.running():
        async with world.market() as market:
            await buy(world, market, alice)
            await until(lambda: market.settlement.rewards.escrow(TASK).state == "open")
            await market.db.flushed()
        shares = Shares(burn=1_000, workers=7_500, validators=1_000, treasury=500)
        world.parameters = msgspec.structs.replace(world.parameters, shares=shares)
        async with world.market() as market:
            settle(market, key)
            await all_matured(market)
            [entry] = [one for one in market.ledger.entries() if one.kind == "mature"]
            worker = key(20).address
            assert entry.amount(f"worker:{worker}") == world.balance(worker) == CPC // 4
            check_copy(world, market, alice.address)


async def test_signatures_that_do_not_count(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    world.approving = False
    alice = key(10)
    async with world.running(), world.market() as market:
        await buy(world, market, alice)
        settle(market, key)
        rewards = market.settlement.rewards
        assert list(rewards.unapproved()) == []  # no chain shows its escrow yet
        await until(lambda: list(rewards.unapproved()))
        [record] = rewards.unapproved()
        batch, member = Batch(), record.members[0].public_key
        for public_key in ("00" * 32, member):
            forged = Approval(public_key=public_key, signature="00" * 64)
            with pytest.raises(BadPayload):
                rewards.approve(batch, record, forged)
        old = msgspec.structs.replace(record, ending="refund", claim=None)
        assert not rewards.approve(batch, old, Approval(public_key=member, signature="00" * 64))
        assert not batch
        with pytest.raises(Conflict):
            rewards.mature(batch, TASK, market.now_ms() + 10**6)
        draft = refund_escrow(record.escrow_id)
        nonce = world.chain.first_free_nonce(alice.address)
        assert "signatures" in world.chain.submit(draft.signed(alice, nonce))[1]


async def test_a_chain_that_holds_no_money_is_said(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    world = make_world()  # its chain is one of today's
    async with world.running(http=True):
        terms = Terms(world.client, 120)
        with trio.move_on_after(30):
            await terms.learn()
        assert "holds no escrows" in terms.obstacle
    held = make_world(back_end="escrow")
    async with held.running(http=True):
        terms = Terms(held.client, 120)
        assert await terms.learn() == held.terms
        assert terms.obstacle == ""
        patient = Terms(held.client, MarketParameters().max_escrow_blocks)
        with trio.move_on_after(30):
            await patient.learn()
        assert "escrow_grace_blocks: is 100000, and the L1 takes no escrow" in patient.obstacle
        assert patient.known is None


async def test_no_block_is_booked_before_the_chain_has_told_its_terms(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """What it does to bonds follows from them; the follower comes again."""
    async with world.running(), world.market() as market:
        await market.settlement.can_book()
        await until(lambda: market.settlement.deposits.height)
        block = await world.client.block(0)
        market.settlement.terms.known = None
        with pytest.raises(L1Unavailable, match="has not told its terms"):
            market.settlement.deposits.handle(Batch(), block)


async def test_somebody_else_s_deposit_ends_no_notice(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """Else anybody could keep a customer from leaving: the money is the customer's, who leaves."""
    alice, market_address = key(10), world.key.address
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        world.submit(alice, withdraw_all(market_address))
        free_height = world.chain.tip.height + 1 + MarketParameters().deposit_notice_blocks
        await until(lambda: world.chain.tip.height >= free_height - 3)
        world.submit(key(12), deposit(market_address, CPC, customer=alice.address))
        await until(lambda: free(market, alice.address) == 11 * CPC)
        with pytest.raises(Conflict, match="on its way out"):
            reserve(market, alice.address)
        await until(lambda: world.chain.tip.height >= free_height)
        world.submit(alice, withdraw_all(market_address))
        await until(lambda: not free(market, alice.address))
        check_copy(world, market, alice.address)


async def test_a_deadline_is_no_later_than_the_chain_allows(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice, longest = key(10), MarketParameters().max_escrow_blocks
    async with world.running(), world.market() as market:
        await buy(world, market, alice, seconds=10 * longest)
        await until(lambda: market.settlement.rewards.escrow(TASK).state == "open")
        record = market.settlement.rewards.escrow(TASK)
        assert longest - 10 < record.late_height < longest + 10


async def test_the_back_end_of_books_that_hold_money_stays(db: Any, ledger: Ledger) -> None:
    check_backend(db, "transfer")
    check_backend(db, "escrow")
    assert backend_of(db) == "escrow"
    batch = Batch()
    postings = move(accounts.L1, accounts.customer("cpc1x"), 5)
    ledger.post(batch, cause="deposit:1", kind="deposit", postings=postings, at_ms=0)
    ledger.post(
        batch,
        cause="reserve:t",
        kind="reserve",
        postings=move(accounts.customer("cpc1x"), accounts.reserved("t"), 5),
        at_ms=0,
    )
    db.stage(batch)
    check_backend(db, "escrow")
    with pytest.raises(ConfigError, match="holds money by escrow"):
        check_backend(db, "transfer")
    assert backend_of(db) == "escrow"
    assert customers_of(ledger) == {"cpc1x"}

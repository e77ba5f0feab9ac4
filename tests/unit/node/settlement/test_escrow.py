"""Money that the chain holds: what can come between two steps, and who has it then."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio

from node.amounts import UNITS_PER_CPC
from node.errors import ConfigError, Conflict, InsufficientFunds, InvalidInput
from node.l1.errors import BadPayload
from node.l1.escrow import (
    Approval,
    MarketParameters,
    Opening,
    ShareTerms,
    open_escrow,
    refund_escrow,
    settle_escrow,
    withdraw_all,
    withdraw_for,
)
from node.l1.keys import AccountKey
from node.l1.transactions import transfer
from node.settlement import accounts
from node.settlement.backend import backend_of, check_backend
from node.settlement.chainterms import Terms
from node.settlement.entries import move
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.settlement.escrow import HOPELESS_BLOCKS, NoBonds
from node.settlement.escrow_audit import customers_of
from node.settlement.interface import Settlement
from node.settlement.ledger import Ledger
from node.split import Payees, Shares
from storage.memory import MemoryStore
from storage.store import Batch
from tests.unit.node.settlement.support.tasks import task_id_of

CPC = UNITS_PER_CPC
TASK, ANOTHER, QUEUED = map(task_id_of, ("task", "another", "queued"))
Key = Callable[[int], AccountKey]


@pytest.fixture
def world(make_world: Any) -> Any:
    return make_world(back_end="escrow")


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(1000):
        while not condition():  # noqa: ASYNC110 - under a virtual clock
            await trio.sleep(0.1)


def call(market: Any, action: Callable[[Batch], object]) -> None:
    batch = Batch()
    action(batch)
    market.db.stage(batch)


def reserve(market: Any, customer: str, task: str = TASK, units: int = CPC) -> None:
    rewards = market.settlement.rewards
    call(market, lambda batch: rewards.reserve(batch, task, customer, units, market.now_ms()))


def lease(world: Any, market: Any, task: str = TASK, seconds: float = 600) -> None:
    releasers = world.releasers(market.now_ms() + int(seconds * 1000))
    rewards = market.settlement.rewards
    call(market, lambda batch: rewards.open(batch, task, lambda: releasers))


def settle(market: Any, key: Key, task: str = TASK) -> None:
    checker = key(21).address
    payees, rewards = Payees({key(20).address: 1}, {checker: 1}, checker), market.settlement.rewards
    call(market, lambda batch: rewards.settle(batch, task, payees, market.now_ms()))


def refund(market: Any, task: str = TASK) -> None:
    rewards = market.settlement.rewards
    call(market, lambda batch: rewards.refund(batch, task, market.now_ms()))


def free(market: Any, customer: str) -> int:
    return int(market.ledger.balance(f"customer:{customer}"))


def check_copy(world: Any, market: Any, *customers: str) -> None:
    """The books are what the chain holds, for everybody, while nothing is under way."""
    assert market.ledger.audit().ok
    for customer in customers:
        assert free(market, customer) == world.held(customer)


async def paid_in(world: Any, market: Any, customer: AccountKey, units: int = 10 * CPC) -> None:
    world.deposit(customer, units)
    await until(lambda: free(market, customer.address) >= units)


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
            await paid_in(world, market, alice)
            reserve(market, alice.address)
            lease(world, market, seconds=60)
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
            await until(lambda: not list(market.ledger.holdings("maturing:")))
            check_copy(world, market, alice.address)
            assert free(market, alice.address) == 9 * CPC


async def test_somebody_else_settles_first(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """By the same claim and signatures; the market's own transaction gives way, paid is once."""
    alice = key(10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        reserve(market, alice.address)
        lease(world, market)
        settle(market, key)
        await until(lambda: market.settlement.rewards.escrow(TASK).closing)
        record = market.settlement.rewards.escrow(TASK)
        draft = settle_escrow(record.escrow_id, record.claim, record.approvals, gas_price=9_000)
        world.submit(key(12), draft)
        await until(lambda: not list(market.ledger.holdings("maturing:")))
        assert market.sender.find(record.closing).state == "lost"
        assert world.balance(key(20).address) == CPC // 4
        world.deposit(alice, CPC)
        await until(lambda: free(market, alice.address) == 10 * CPC)
        call(
            market,
            lambda batch: market.settlement.withdraw(
                batch, alice.address, CPC, key="k", at_ms=market.now_ms()
            ),
        )
        await until(lambda: not list(market.ledger.holdings("outbox:")))
        check_copy(world, market, alice.address)


async def test_a_refund_needs_signatures_or_time(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    world, alice = make_world(back_end="escrow"), key(10)
    world.approving = False
    world.parameters = msgspec.structs.replace(world.parameters, escrow_grace_blocks=10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        reserve(market, alice.address)
        lease(world, market, seconds=20)
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
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    world, alice = make_world(back_end="escrow"), key(10)
    world.approving = False
    world.parameters = msgspec.structs.replace(world.parameters, escrow_grace_blocks=10)
    reclaimed: list[str] = []
    async with world.running(), world.market() as market:
        rewards = market.settlement.rewards
        rewards.on_reclaimed = lambda _batch, task: reclaimed.append(task)
        await paid_in(world, market, alice)
        reserve(market, alice.address)
        lease(world, market, seconds=5)
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
            call(
                market,
                lambda batch: market.settlement.withdraw(
                    batch, alice.address, 4 * CPC, key="k", at_ms=market.now_ms()
                ),
            )
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
            await until(lambda: not list(market.ledger.holdings("maturing:")))
            check_copy(world, market, alice.address)


async def test_an_opening_under_way_fails_with_the_notice(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            await paid_in(world, market, alice)
            reserve(market, alice.address)
            lease(world, market)
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
            await until(lambda: not list(market.ledger.holdings("maturing:")))
            check_copy(world, market, alice.address)


async def test_an_escrow_that_was_given_up_and_is_opened_after_all(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The customer had the money back in the books, which follow the chain both ways."""
    alice = key(10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        reserve(market, alice.address)
        lease(world, market)
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


def copy_of(world: Any) -> Batch:
    """All that the market's store has."""
    backup = Batch()
    for name, value in list(world.store.scan(b"", b"\xff" * 8)):
        backup.put(name, value)
    return backup


def restore(world: Any, backup: Batch) -> None:
    """Give the market, which does not run, an earlier store."""
    world.store = type(world.store)()
    MemoryStore.write(world.store, backup, sync=True)


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
        call(
            market,
            lambda batch: market.settlement.withdraw(
                batch, alice.address, CPC, key="k", at_ms=market.now_ms()
            ),
        )
        assert free(market, alice.address) == 8 * CPC
        await until(lambda: free(market, alice.address) == 9 * CPC)
        settle(market, key)
        await until(lambda: market.settlement.rewards.escrow(TASK).is_approved)
        take_nonce(world)
        await until(lambda: not list(market.ledger.holdings("maturing:")))
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

            def withdraw(batch: Batch, units: int = units, name: str = name) -> None:
                market.settlement.withdraw(
                    batch, alice.address, units, key=name, at_ms=market.now_ms()
                )

            call(market, withdraw)
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
        nursery.start_soon(market.approve)
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


def approve_by(market: Any, *approvals: Approval) -> None:
    """Let the books have these signatures under the task's ending, and no others."""
    record = market.settlement.rewards.escrow(TASK)
    changed = msgspec.structs.replace(record, approvals=approvals)
    call(market, lambda batch: market.settlement.book.put(batch, changed))


def more_than_there_is(market: Any, customer: str) -> None:
    """Let the books have a unit of a customer's that the chain does not have."""
    postings = move(accounts.L1, accounts.customer(customer), CPC)
    fields = {"cause": "deposit:none", "kind": "deposit", "postings": postings, "at_ms": 0}
    call(market, lambda batch: market.ledger.post(batch, **fields))


def spend_all(world: Any, key: Key) -> None:
    """Leave the market's account without anything for fees."""
    left = world.balance(world.key.address) - 21 * 10**6
    world.submit(world.key, transfer(key(13).address, left))


async def take_out(world: Any, customer: AccountKey) -> None:
    """The customer's own way: notice, and when it has run out all the rest."""
    world.submit(customer, withdraw_all(world.key.address))
    free_height = world.chain.tip.height + 1 + MarketParameters().deposit_notice_blocks
    await until(lambda: world.chain.tip.height >= free_height)
    world.submit(customer, withdraw_all(world.key.address))


def take_nonce(world: Any) -> None:
    """Pay more than the market, under the nonce that it will use next."""
    world.submit(world.key, transfer(world.key.address, 1, gas_price=5_000))


async def test_a_withdrawal_that_cannot_be(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice = key(10)
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)

        def withdraw(units: int, name: str = "k") -> None:
            batch = Batch()
            market.settlement.withdraw(batch, alice.address, units, key=name, at_ms=1)
            market.db.stage(batch)

        for units, error in ((0, InvalidInput), (5, InvalidInput), (11 * CPC, InsufficientFunds)):
            with pytest.raises(error):
                withdraw(units)
        withdraw(10 * CPC - 5)
        with pytest.raises(LedgerConflict):
            withdraw(9 * CPC)
        withdraw(5, "the rest")
        withdraw(5, "the rest")
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
            await paid_in(world, market, alice)
            reserve(market, alice.address)
            lease(world, market)
            await until(lambda: market.settlement.rewards.escrow(TASK).state == "open")
            await market.db.flushed()
        shares = Shares(burn=1_000, workers=7_500, validators=1_000, treasury=500)
        world.parameters = msgspec.structs.replace(world.parameters, shares=shares)
        async with world.market() as market:
            settle(market, key)
            await until(lambda: not list(market.ledger.holdings("maturing:")))
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
        await paid_in(world, market, alice)
        reserve(market, alice.address)
        lease(world, market)
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
        assert await terms.learn() == MarketParameters()
        assert terms.obstacle == ""
        patient = Terms(held.client, MarketParameters().max_escrow_blocks)
        with trio.move_on_after(30):
            await patient.learn()
        assert "escrow_grace_blocks: is 100000, and the L1 takes no escrow" in patient.obstacle
        assert patient.known is None


async def test_a_deadline_is_no_later_than_the_chain_allows(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    alice, longest = key(10), MarketParameters().max_escrow_blocks
    async with world.running(), world.market() as market:
        await paid_in(world, market, alice)
        reserve(market, alice.address)
        lease(world, market, seconds=10 * longest)
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


def test_nobody_has_a_bond_at_the_market() -> None:
    bonds = NoBonds()
    assert bonds.suffices("cpc1validator", 0)
    assert not bonds.suffices("cpc1validator", 1)
    assert list(bonds.due(2**62)) == []
    batch = Batch()
    assert not bonds.release(batch, "cpc1validator", 2**62)
    assert not batch.changes

"""Whole networks on a chain that holds the money: buying out of the operator's deposit."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.config import MarketSection
from node.config.addresses import Account
from node.errors import Conflict, InsufficientFunds
from node.l1.devchain.holdings import Closed, Deposit, Escrow, deposit_key, escrow_key
from node.l1.escrow import deposit, escrow_id_of, withdraw_all
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, transfer
from node.market.views import AccountView, NewTask, TaskView
from node.settlement import accounts

CHAIN, CPC = "cpc-devnet-1", UNITS_PER_CPC
DEPOSIT, REWARD, LIMIT = 1000 * CPC, 10 * CPC, 25 * CPC
NOTICE_BLOCKS, LONGEST_S = 20, 3600
BORROWER = AccountKey(b"\x44" * 32)


@pytest.fixture
async def lending(held) -> AsyncIterator:
    await lend(held)
    return held


async def lend(world) -> None:
    """The market starts again with an operator, its customer, who gives somebody credit whose own
    money is in no deposit."""
    market = world.members["market"]
    section = MarketSection(operator=Account(world.customer.address))
    market.config = msgspec.structs.replace(market.config, market=section)
    await world.restart(market)
    await world.meet()
    await world.holds(lambda: world.market.account(world.customer.address).available)
    await send(world, transfer(BORROWER.address, 50 * CPC), world.customer)
    await market.assembly.credit.set_limit(BORROWER.address, LIMIT)


async def buy(world) -> TaskView:
    payload = {"seed": "s", "matrix_size": 16, "iterations": 2}
    task = NewTask(challenge_type="synthetic", payload=payload, reward=Amount(REWARD))
    return await world.market.submit(task, BORROWER.address, None)


def escrow_of(world, task_id: str) -> Escrow | Closed | None:
    name = escrow_id_of(CHAIN, world.members["market"].address, task_id)
    return world.chain.holdings.records.get(escrow_key(name))


def deposit_of(world, address: str) -> int:
    record = world.chain.holdings.records.get(deposit_key(world.members["market"].address, address))
    return record.units if isinstance(record, Deposit) else 0


def borrower(world) -> AccountView:
    return world.market.account(BORROWER.address)


async def send(world, draft: Draft, sender: AccountKey) -> None:
    nonce = await world.l1.nonce(sender.address, pending=True)
    outcome = await world.l1.send(draft.signed(sender, nonce))
    assert outcome.status == "accepted", outcome
    await world.holds(lambda: world.chain.account(sender.address).nonce > nonce)


async def check(world, *, owed: int, lent: int = LIMIT) -> None:
    """At rest: the debt, and the operator's deposit is what it has and what it gave."""
    await world.holds(
        lambda: (
            not [
                name
                for name, _ in world.ledger.holdings()
                if name.partition(":")[0] in ("reserved", "maturing", "returning", "outbox")
            ]
        )
    )
    account = borrower(world)
    assert (account.owed, account.credit_limit, account.available) == (owed, lent, 0)
    assert account.credit_backer == world.customer.address
    operator = world.customer.address
    own = world.market.account(operator).available
    left = world.ledger.balance(accounts.credit(BORROWER.address))
    assert own + left == deposit_of(world, operator)
    assert left == lent - owed
    assert deposit_of(world, BORROWER.address) == 0
    report = world.ledger.audit()
    assert report.ok, report.findings


async def test_a_task_on_credit_is_paid_out_of_the_operator_s_deposit_and_repaid(
    lending, autojump_clock
) -> None:
    task = await buy(lending)
    assert (await lending.until(task.task_id, "settled", "refunded")).phase == "settled"
    closed = escrow_of(lending, task.task_id)
    assert isinstance(closed, Closed)
    assert closed.claim
    assert closed.customer == lending.customer.address
    await check(lending, owed=REWARD)
    assert deposit_of(lending, lending.customer.address) == DEPOSIT - REWARD
    again = await buy(lending)
    with pytest.raises(InsufficientFunds):
        await buy(lending)
    assert (await lending.until(again.task_id, "settled", "refunded")).phase == "settled"
    await check(lending, owed=2 * REWARD)
    market, operator = lending.members["market"].address, lending.customer.address
    await send(lending, deposit(market, 2 * REWARD, customer=operator), BORROWER)
    await lending.holds(lambda: not borrower(lending).owed)
    await check(lending, owed=0)
    assert deposit_of(lending, operator) == DEPOSIT
    lines = lending.market.statement(BORROWER.address, start=0, limit=100).lines
    assert [(one.account, one.kind, one.amount) for one in lines] == [
        ("credit", "credit", LIMIT),
        ("credit", "reserve", -REWARD),
        ("credit", "reserve", -REWARD),
        ("credit", "repay", 2 * REWARD),
    ]


async def test_a_cancelled_task_is_owed_by_nobody(lending, autojump_clock) -> None:
    for worker in lending.team("worker"):
        worker.compute.gate = trio.Event()
    task = await buy(lending)
    assert (borrower(lending).owed, borrower(lending).reserved) == (REWARD, REWARD)
    await lending.holds(lambda: isinstance(escrow_of(lending, task.task_id), Escrow))
    await lending.market.cancel(task.task_id, BORROWER.address)
    assert borrower(lending).reserved == REWARD
    assert lending.market.account(lending.customer.address).reserved == 0
    await check(lending, owed=0)
    assert deposit_of(lending, lending.customer.address) == DEPOSIT


async def test_the_market_dies_while_a_task_on_credit_is_under_way(lending, autojump_clock) -> None:
    task = await buy(lending)
    await lending.holds(lambda: escrow_of(lending, task.task_id))
    await lending.restart(lending.members["market"])
    assert (await lending.until(task.task_id, "settled", "refunded")).phase == "settled"
    await check(lending, owed=REWARD)


async def test_the_operator_takes_its_deposit_out(lending, autojump_clock) -> None:
    """What is leased is paid, what is queued ends, nothing more is on credit; the debt stays."""
    done = await buy(lending)
    await lending.until(done.task_id, "settled")
    await check(lending, owed=REWARD)
    for member in lending.team("validator"):
        await lending.crash(member)
    queued = await buy(lending)
    market, operator = lending.members["market"].address, lending.customer
    await send(lending, withdraw_all(market), operator)
    ended = await lending.until(queued.task_id, "refunded")
    assert ended.error.code == "unfunded"
    assert "backs the customer's credit" in ended.error.message
    with pytest.raises(Conflict, match="who backs the credit, is taking its deposit out"):
        await buy(lending)
    await check(lending, owed=REWARD)
    await trio.sleep(NOTICE_BLOCKS + 5)
    await send(lending, withdraw_all(market), operator)
    await lending.holds(lambda: borrower(lending).credit_limit == REWARD)
    await check(lending, owed=REWARD, lent=REWARD)
    assert deposit_of(lending, operator.address) == 0
    await send(lending, deposit(market, REWARD, customer=operator.address), BORROWER)
    await lending.holds(lambda: not borrower(lending).owed)
    await check(lending, owed=0, lent=REWARD)
    with pytest.raises(Conflict, match="who backs the credit"):
        await buy(lending)


@pytest.mark.parametrize("false", [False, True])
async def test_a_dispute_about_a_task_on_credit(
    open_court, collude, autojump_clock, *, false: bool
) -> None:
    """Its fee is lent as well; the jury knows neither operator nor customer, and validators sign
    what it came to."""
    with trio.fail_after(LONGEST_S):
        async with open_court() as world:
            await lend(world)
            if false:
                collude(world)
            task = await buy(world)
            await world.until(task.task_id, "verified", "anchored")
            await world.market.appeal(task.task_id, BORROWER.address, "it looks wrong")
            fee = int(world.market.task(task.task_id).appeal.fee)
            assert borrower(world).owed == REWARD + fee
            done = await world.until(task.task_id, "settled", "overturned")
            await world.holds(lambda: isinstance(escrow_of(world, task.task_id), Closed))
            assert done.appeal.outcome == ("overturned" if false else "upheld")
            await check(world, owed=0 if false else REWARD + fee)

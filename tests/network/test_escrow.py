"""Whole networks whose money the chain holds: paid, given back, and whatever dies in between."""

from collections import Counter

import msgspec
import pytest
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.errors import Conflict
from node.l1.blocks import Block
from node.l1.devchain.holdings import Closed, Deposit, Escrow, deposit_key, escrow_key
from node.l1.escrow import (
    deposit,
    escrow_id_of,
    open_escrow,
    read,
    refund_escrow,
    sign_refund,
    withdraw_all,
)
from node.l1.keys import AccountKey
from node.l1.transactions import Transaction, transfer
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.settlement.network import settlement_parameters
from node.split import split
from node.wire.approvals import RequestSettlement
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms

CHAIN = "cpc-devnet-1"
DEPOSIT = 1000 * UNITS_PER_CPC
FUNDS = {"market": 100, "validator": 100, "worker": 0}


def name_of(world, task_id: str) -> str:
    return escrow_id_of(CHAIN, world.members["market"].address, task_id)


def escrow_of(world, task_id: str) -> Escrow | Closed | None:
    return world.chain.holdings.records.get(escrow_key(name_of(world, task_id)))


def deposit_of(world) -> int:
    market = world.members["market"].address
    record = world.chain.holdings.records.get(deposit_key(market, world.customer.address))
    assert isinstance(record, Deposit)
    return record.units


def record_of(world, task_id: str) -> EscrowRecord:
    found = EscrowBook(world.members["market"].db).find(name_of(world, task_id))
    assert found is not None
    return found


async def check_held(world, paid: int = 0) -> None:
    """Nothing is on its way, the books are the chain's, and everybody has what is due."""
    resting = ("l1", "customer:")
    await world.holds(lambda: all(name.startswith(resting) for name, _ in world.ledger.holdings()))
    audit = world.ledger.audit()
    assert audit.ok, audit.findings
    assert audit.held == deposit_of(world) == DEPOSIT - paid * 10 * UNITS_PER_CPC
    records = world.chain.holdings.records.values()
    assert not [one for one in records if isinstance(one, Escrow)]
    earned, fees, rules = Counter(), Counter(), settlement_parameters(world.network)
    settled = [
        one
        for one in world.earned()
        if isinstance(escrow_of(world, one[0].task_id), Closed)
        and escrow_of(world, one[0].task_id).claim
    ]
    assert len(settled) == paid
    for task, payees in settled:
        parts = split(task.reward, rules.shares, payees, rules.fee_reserve)
        earned.update(dict(parts.workers))
        earned.update(dict(parts.validators))
        earned[world.members["market"].address] += parts.fees
    for height in range(world.chain.tip.height + 1):
        block = await world.l1.block(height)
        assert isinstance(block, Block)
        for tx in block.txs:
            fees[tx.from_address] += tx.fee
    for member in world.members.values():
        funds = FUNDS[member.name.partition("-")[0]] * UNITS_PER_CPC
        gained = earned[member.address] - fees[member.address]
        assert await world.l1.balance(member.address) == funds + gained, member.name


async def test_a_task_is_paid_by_the_chain(held, autojump_clock) -> None:
    task = await held.buy()
    done = await held.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    closed = escrow_of(held, task.task_id)
    assert isinstance(closed, Closed)
    assert closed.claim
    burned = await held.l1.balance(str(held.network.economics.burn_address))
    assert burned >= 6 * UNITS_PER_CPC
    await check_held(held, paid=1)


async def test_twenty_tasks_with_several_jobs_each(held, autojump_clock) -> None:
    tasks = [await held.buy() for _ in range(20)]
    for task in tasks:
        done = await held.until(task.task_id, "settled", "refunded")
        assert done.phase == "settled"
    await check_held(held, paid=20)


async def test_a_task_that_was_never_leased_comes_back_at_once(held, autojump_clock) -> None:
    for member in (*held.team("validator"), *held.team("worker")):
        await held.crash(member)
    task = await held.buy()
    await held.market.cancel(task.task_id, held.customer.address)
    assert held.market.account(held.customer.address).available == DEPOSIT
    assert escrow_of(held, task.task_id) is None


async def test_a_cancelled_task_comes_back_by_its_validators_word(held, autojump_clock) -> None:
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    task = await held.buy()
    await held.holds(lambda: isinstance(escrow_of(held, task.task_id), Escrow))
    deadline = escrow_of(held, task.task_id).deadline
    await held.market.cancel(task.task_id, held.customer.address)
    account = held.market.account(held.customer.address)
    assert account.available == DEPOSIT - 10 * UNITS_PER_CPC
    assert account.reserved == 10 * UNITS_PER_CPC
    await held.holds(lambda: isinstance(escrow_of(held, task.task_id), Closed))
    assert escrow_of(held, task.task_id).closed < deadline
    await check_held(held)
    assert held.market.account(held.customer.address).available == DEPOSIT


async def test_a_task_that_nobody_finishes_comes_back_when_it_is_late(held, autojump_clock) -> None:
    """All validators are gone: nobody signs, and the chain gives the money back by the clock."""
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    deadline_s = virtual_clock_ms() // 1000 + 60
    task = await held.buy(deadline_s=deadline_s)
    await held.holds(lambda: isinstance(escrow_of(held, task.task_id), Escrow))
    for member in held.team("validator"):
        await held.crash(member)
    done = await held.until(task.task_id, "refunded")
    assert done.error.code == "deadline_exceeded"
    await held.holds(lambda: isinstance(escrow_of(held, task.task_id), Closed))
    closed, late = escrow_of(held, task.task_id), record_of(held, task.task_id).late_height
    assert closed.closed > late
    await check_held(held)


async def test_without_a_quorum_of_signatures_nobody_is_paid(held, autojump_clock) -> None:
    """The market alone cannot release a reward; after twice the grace the customer has it back."""

    async def refuse(*_):
        raise RequestRefused("no", "not today")

    for member in held.team("validator")[:2]:
        member.answers[RequestSettlement] = refuse
    task = await held.buy(deadline_s=virtual_clock_ms() // 1000 + 60)
    await held.until(task.task_id, "verified", "anchored")
    await held.holds(lambda: isinstance(escrow_of(held, task.task_id), Closed))
    assert escrow_of(held, task.task_id).claim is None
    done = await held.until(task.task_id, "settled", "reclaimed")
    assert (done.phase, done.status, done.error.code) == ("reclaimed", "completed", "reclaimed")
    assert done.result is not None
    assert held.market.receipt(task.task_id), "its results are on the chain all the same"
    assert len(record_of(held, task.task_id).approvals) == 1
    await check_held(held)


STEPS = (
    "reserve",
    "wanted",
    "sent",
    "open",
    "settle",
    "approved",
    "closing",
)


def reached(world, task_id: str, step: str) -> bool:
    record = EscrowBook(world.members["market"].db).find(name_of(world, task_id))
    if step == "reserve":
        return True
    if record is None:
        return False
    return {
        "wanted": True,
        "sent": record.state != "wanted",
        "open": record.state not in ("wanted", "sent"),
        "settle": record.ending == "settle",
        "approved": record.is_approved,
        "closing": bool(record.closing),
    }[step]


@pytest.mark.parametrize("step", STEPS)
async def test_the_market_dies_after_any_step(held, autojump_clock, step: str) -> None:
    task = await held.buy()
    await held.holds(lambda: reached(held, task.task_id, step))
    await held.restart(held.members["market"])
    done = await held.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    await check_held(held, paid=1)


@pytest.mark.parametrize("step", ["sent", "open", "approved", "closing"])
async def test_the_market_dies_while_a_refund_is_under_way(held, autojump_clock, step: str) -> None:
    for worker in held.team("worker"):
        worker.compute.gate = trio.Event()
    task = await held.buy()
    await held.holds(lambda: reached(held, task.task_id, "sent" if step == "sent" else "open"))
    await held.market.cancel(task.task_id, held.customer.address)
    await held.holds(lambda: reached(held, task.task_id, step))
    await held.restart(held.members["market"])
    await check_held(held)
    assert held.market.account(held.customer.address).available == DEPOSIT


async def test_a_refund_that_the_chain_took_first(held, autojump_clock) -> None:
    """The market comes back late: somebody had the late escrow refunded, its claim is void."""
    task = await held.buy(deadline_s=virtual_clock_ms() // 1000 + 60)
    market = held.members["market"]
    await held.holds(lambda: reached(held, task.task_id, "approved"))
    late = record_of(held, task.task_id).late_height
    await held.crash(market)
    await held.holds(lambda: held.chain.tip.height >= late)
    await send(held, refund_escrow(name_of(held, task.task_id)))
    await held.start(market)
    await held.until(task.task_id, "reclaimed")
    await check_held(held)
    again = await held.buy()
    assert (await held.until(again.task_id, "settled")).phase == "settled"
    await check_held(held, paid=1)


async def test_a_customer_takes_the_deposit_out(held, autojump_clock) -> None:
    """Notice: nothing new is sold, what is queued ends, what is open is paid; then all the rest."""
    open_task = await held.buy()
    await held.until(open_task.task_id, "settled")
    for member in held.team("validator"):
        await held.crash(member)
    queued = await held.buy()
    await send(held, withdraw_all(held.members["market"].address))
    done = await held.until(queued.task_id, "refunded")
    assert done.error.code == "unfunded"
    assert "takes the deposit out" in done.error.message
    with pytest.raises(Conflict, match="on its way out"):
        await held.buy()
    await trio.sleep(25)
    before = await held.l1.balance(held.customer.address)
    fee = await send(held, withdraw_all(held.members["market"].address))
    await held.holds(lambda: not held.market.account(held.customer.address).available)
    left = DEPOSIT - 10 * UNITS_PER_CPC
    assert await held.l1.balance(held.customer.address) == before + left - fee
    assert held.ledger.audit().held == deposit_of(held) == 0


async def test_a_stranger_is_first_with_the_market_s_own_opening(held, autojump_clock) -> None:
    """It sees it wait for a block, and opens an escrow of the same task, with more for the fee:
    it has bound money of its own, and the task is paid all the same."""
    stranger, market = AccountKey(b"\x44" * 32), held.members["market"].address
    await send(held, transfer(stranger.address, 20 * UNITS_PER_CPC))
    await send(held, deposit(stranger.address, UNITS_PER_CPC), stranger)
    task = await held.buy()
    await held.holds(lambda: openings(held))
    [seen] = openings(held)
    [opening] = read(seen).each
    copied = msgspec.structs.replace(
        opening, customer=stranger.address, amount=Amount(UNITS_PER_CPC)
    )
    await send(held, open_escrow(copied, gas_price=9_000), stranger)
    height = held.chain.tip.height
    block = await held.l1.block(height)
    opened = [tx.from_address for tx in block.txs if tx.tx_type == "ESCROW_OPEN"]
    assert opened == [stranger.address, market]
    done = await held.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    theirs = escrow_id_of(CHAIN, stranger.address, task.task_id)
    assert isinstance(held.chain.holdings.records[escrow_key(theirs)], Escrow)
    signed = [sign_refund(one.keys.identity, CHAIN, theirs) for one in held.team("validator")]
    await send(held, refund_escrow(theirs, signed), stranger)
    await check_held(held, paid=1)


def openings(world) -> list[Transaction]:
    """Those that wait for a block."""
    waiting = [one.tx for one in world.chain.mempool.candidates(100)]
    return [tx for tx in waiting if tx.tx_type == "ESCROW_OPEN"]


async def send(world, draft, sender: AccountKey | None = None) -> int:
    """Hand the transaction in, the customer's if not another one's; its fee."""
    sender = sender or world.customer
    nonce = await world.l1.nonce(sender.address, pending=True)
    tx = draft.signed(sender, nonce)
    outcome = await world.l1.send(tx)
    assert outcome.status == "accepted", outcome
    await world.holds(lambda: world.chain.account(sender.address).nonce > nonce)
    return tx.fee

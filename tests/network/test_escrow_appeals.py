"""Disputes whose money the chain holds: juries say, validators sign, the chain does it."""

from functools import partial
from typing import get_args

import pytest
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.deadlines import UNSIGNED_S
from node.keys import bind
from node.l1.devchain.holdings import Closed, Escrow, bond_key, deposit_key, escrow_key
from node.l1.escrow import (
    award_digest,
    bond,
    escrow_id_of,
    refund_escrow,
    sign_refund,
    unbond,
    withdraw_all,
)
from node.l1.keys import AccountKey
from node.l1.transactions import transfer
from node.market.juries import NoJury
from node.settlement.dispute import DisputeStage
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.verification.receipt_check import Standing, verify_receipt
from node.wire.appeals import RequestRuling
from node.wire.approvals import RequestAward
from p2p.errors import RequestRefused
from p2p.identity import Identity
from p2p.memory import virtual_clock_ms

CHAIN = "cpc-devnet-1"
LONGEST_S = 3600
CPC = UNITS_PER_CPC
DEPOSIT, REWARD = 1000 * CPC, 10 * CPC
FEE = Amount(3 * (CPC // 1000 + 8_192 * 10_000))
RESERVE = 10**9
SHARE = (FEE - RESERVE) // 3
"""Of each of three jurors."""


@pytest.fixture
async def court(open_court, autojump_clock):
    with trio.fail_after(LONGEST_S):
        async with open_court() as world:
            yield world


def name_of(world, task_id: str) -> str:
    return escrow_id_of(CHAIN, world.members["market"].address, task_id)


def escrow_of(world, task_id: str) -> Escrow | Closed:
    return world.chain.holdings.records[escrow_key(name_of(world, task_id))]


def record_of(world, task_id: str) -> EscrowRecord:
    found = EscrowBook(world.members["market"].db).find(name_of(world, task_id))
    assert found is not None
    return found


def stage_of(world, task_id: str) -> str:
    return record_of(world, task_id).stage


def deposit_of(world) -> int:
    key = deposit_key(world.members["market"].address, world.customer.address)
    return world.chain.holdings.records[key].units


def bond_of(world, member) -> int:
    record = world.chain.holdings.records.get(
        bond_key(world.members["market"].address, member.address)
    )
    return 0 if record is None else record.total


def judges(world, task_id: str) -> list:
    seats = {seat.key for seat in world.record(task_id).draw.seats}
    return [one for one in world.team("validator") if one.keys.identity.public_key in seats]


def jury(world, task_id: str) -> list:
    addresses = world.market.task(task_id).appeal.jury
    return [one for one in world.team("validator") if one.address in addresses]


def appeal(world, task_id: str):
    return world.market.appeal(task_id, world.customer.address, "it looks wrong")


async def completed(world) -> str:
    task = await world.buy()
    await world.until(task.task_id, "verified", "refunded")
    return task.task_id


async def send(world, draft, sender: AccountKey | None = None) -> None:
    sender = sender or world.customer
    nonce = await world.l1.nonce(sender.address, pending=True)
    outcome = await world.l1.send(draft.signed(sender, nonce))
    assert outcome.status == "accepted", outcome
    await world.holds(lambda: world.chain.account(sender.address).nonce > nonce)


async def stake(world, member, cpc: int, identity: Identity | None = None) -> None:
    """Have a node bond at the market, by its own account, for its own key or this one."""
    market, keys = world.members["market"].address, member.keys
    await send(world, transfer(member.address, (cpc + 1) * CPC))
    binding = bind(identity or keys.identity, keys.account, CHAIN)
    await send(world, bond(market, cpc * CPC, binding), keys.account)
    await world.holds(lambda: world.ledger.balance(f"bond:{member.address}") == cpc * CPC)


async def at_rest(world, spent: int) -> None:
    """Wait until no money is on its way: the books are the chain's, and the customer has what it
    has not spent."""
    resting = ("l1", "customer:", "bond:", "unbonding:")
    await world.holds(lambda: all(name.startswith(resting) for name, _ in world.ledger.holdings()))
    audit = world.ledger.audit()
    assert audit.ok, audit.findings
    account = world.market.account(world.customer.address)
    assert (account.available, account.reserved) == (DEPOSIT - spent, 0)
    bonds = sum(bond_of(world, one) for one in world.members.values())
    assert deposit_of(world) == DEPOSIT - spent
    assert audit.held == deposit_of(world) + bonds
    assert not [one for one in world.chain.holdings.records.values() if isinstance(one, Escrow)]


async def balances(world, members) -> list[int]:
    return [await world.l1.balance(one.address) for one in members]


async def test_an_honest_result_is_upheld(court, autojump_clock) -> None:
    """The outcome is there at once; the fee pays the jury, and the pay the others, by the chain."""
    task_id = await completed(court)
    assert court.market.task(task_id).result.appeal_fee == FEE
    view = await appeal(court, task_id)
    assert (view.phase, view.appeal.fee) == ("disputed", FEE)
    assert court.market.account(court.customer.address).reserved == FEE
    jurors = jury(court, task_id)
    assert not {one.name for one in jurors} & {one.name for one in judges(court, task_id)}
    before = await balances(court, jurors)
    view = await court.until(task_id, "verified", "anchored")
    assert (view.appeal.outcome, view.appeal.rulings) == ("upheld", 3)
    await court.until(task_id, "settled")
    assert await balances(court, jurors) == [one + SHARE for one in before]
    closed = escrow_of(court, task_id)
    assert closed.claim
    assert closed.award == award_digest(record_of(court, task_id).dispute.award)
    await at_rest(court, REWARD + FEE)
    receipt, standing = verify_receipt(court.market.receipt(task_id), court.network)
    assert standing is Standing.ANCHORED
    assert receipt.appeal.outcome == "upheld"


async def test_a_false_result_costs_the_bonds_of_all_who_answer_for_it(
    court, collude, autojump_clock
) -> None:
    collude(court)
    worker, other = court.team("worker")
    await court.crash(other)
    for one in (worker, *court.team("validator")):
        await stake(court, one, 4)
    task_id = await completed(court)
    await appeal(court, task_id)
    jurors, liars = jury(court, task_id), judges(court, task_id)
    before = await balances(court, jurors)
    view = await court.until(task_id, "overturned")
    assert (view.status, view.error.code, view.result) == ("failed", "overturned", None)
    account = court.market.account(court.customer.address)
    assert account.available + account.reserved == DEPOSIT, "it is on its way back"
    await at_rest(court, 0)
    for one in (worker, *liars):
        assert bond_of(court, one) == 2 * CPC, one.name
    for one in jurors:
        assert bond_of(court, one) == 4 * CPC, one.name
    gained = [now - was for now, was in zip(await balances(court, jurors), before, strict=True)]
    assert gained == [SHARE] * 3
    closed = escrow_of(court, task_id)
    assert isinstance(closed, Closed)
    assert (closed.claim, bool(closed.award)) == (None, True)
    staking = court.members["market"].assembly.staking
    assert staking.show(worker.address).bonded == 2 * CPC
    await court.holds(lambda: court.market._board.outcome(task_id).is_anchored)
    receipt, standing = verify_receipt(court.market.receipt(task_id), court.network)
    assert standing is Standing.OVERTURNED
    assert {one.bonded for one in receipt.appeal.stakes.stakes} == {4 * CPC}


async def test_without_bonds_nobody_loses_any_and_the_customer_has_all(
    court, collude, autojump_clock
) -> None:
    collude(court)
    task_id = await completed(court)
    await appeal(court, task_id)
    await court.until(task_id, "overturned")
    await at_rest(court, 0)


async def silenced(world, silence) -> None:
    for member in world.team("validator"):
        member.answers[RequestRuling] = silence


async def test_a_jury_that_says_nothing(court, silence, autojump_clock) -> None:
    """The fee is back, and the pay goes on."""
    await silenced(court, silence)
    task_id = await completed(court)
    await appeal(court, task_id)
    began = trio.current_time()
    view = await court.until(task_id, "verified", "anchored")
    assert view.appeal.outcome == "inconclusive"
    assert trio.current_time() - began > court.network.protocol.lease_s
    await court.until(task_id, "settled")
    assert escrow_of(court, task_id).award
    await at_rest(court, REWARD)


async def test_jurors_that_lose_their_seats_are_not_paid(
    open_court, silence, autojump_clock
) -> None:
    """Somebody else has them: whoever signs the award works that out as well."""
    silent: list[str] = []

    async def answer(member, sender, message, handler):
        if len(silent) < 2 and member.address not in silent:
            silent.append(member.address)
        return await (silence() if member.address in silent else handler(sender, message))

    with trio.fail_after(LONGEST_S):
        async with open_court(validators=8) as court:
            for member in court.team("validator"):
                member.answers[RequestRuling] = partial(answer, member)
            task_id = await completed(court)
            await appeal(court, task_id)
            view = await court.until(task_id, "verified", "anchored")
            assert (view.appeal.outcome, len(view.appeal.passed)) == ("upheld", 2)
            await court.until(task_id, "settled")
            jurors = record_of(court, task_id).dispute.award.jurors
            assert len(jurors) == 3
            assert not set(jurors) & set(silent)
            await at_rest(court, REWARD + FEE)


async def test_a_jury_that_cannot_be_had_costs_nothing(held, autojump_clock) -> None:
    task_id = await completed(held)
    before = dict(held.ledger.holdings())
    with pytest.raises(NoJury):
        await appeal(held, task_id)
    assert dict(held.ledger.holdings()) == before
    await held.until(task_id, "settled")
    await at_rest(held, REWARD)


async def no_award(*_: object) -> None:
    raise RequestRefused("no", "not today")


@pytest.mark.parametrize("outcome", ["upheld", "overturned"])
async def test_an_award_that_nobody_signs_lapses(
    open_court, collude, autojump_clock, outcome: str
) -> None:
    """The customer has the fee back either way; what is false is never paid for, and comes back
    when the escrow's time is over."""
    with trio.fail_after(LONGEST_S):
        async with open_court(appeal_s=60.0) as court:
            if outcome == "overturned":
                collude(court)
            for member in court.team("validator")[1:]:
                member.answers[RequestAward] = no_award
            task = await court.buy(deadline_s=virtual_clock_ms() // 1000 + 60)
            await court.until(task.task_id, "verified")
            await appeal(court, task.task_id)
            await court.holds(lambda: stage_of(court, task.task_id) == "unruled")
            assert court.market.task(task.task_id).appeal.outcome == outcome
            assert any("signatures" in line for line in court.status().waiting)
            await check_lapsed(court, task.task_id, outcome)


async def check_lapsed(world, task_id: str, outcome: str) -> None:
    if outcome == "upheld":
        await world.until(task_id, "settled")
        await at_rest(world, REWARD)
    else:
        assert world.market.task(task_id).phase == "overturned"
        await trio.sleep(UNSIGNED_S + 2)
        [late] = [one for one in world.status().overdue if one.what == "unsigned award"]
        assert late.reason.startswith("1 of 2 signatures; ")
        assert "not today" in late.reason
        await at_rest(world, 0)
        assert world.chain.tip.height >= record_of(world, task_id).late_height
    assert record_of(world, task_id).dispute.state == "lapsed"
    assert world.market.task(task_id).appeal.outcome == outcome
    assert not escrow_of(world, task_id).award


STAGES = get_args(DisputeStage)


def hold(world, stage: str) -> trio.Event:
    """Have nobody rule, or sign, before the event: so that this stage lasts."""
    gate, kind = trio.Event(), RequestRuling if stage in STAGES[:3] else RequestAward

    async def answer(sender, message, handler):
        await gate.wait()
        return await handler(sender, message)

    if stage in (*STAGES[:3], "unruled"):
        for member in world.team("validator"):
            member.answers[kind] = answer
    return gate


def has_reached(world, task_id: str, stage: str) -> bool:
    now = stage_of(world, task_id)
    return now not in STAGES or STAGES.index(now) >= STAGES.index(stage)


@pytest.mark.parametrize("outcome", ["upheld", "overturned"])
@pytest.mark.parametrize("stage", STAGES)
async def test_the_market_dies_in_any_stage(
    court, collude, autojump_clock, outcome: str, stage: str
) -> None:
    if outcome == "overturned":
        collude(court)
    gate = hold(court, stage)
    task_id = await completed(court)
    await appeal(court, task_id)
    await court.holds(lambda: has_reached(court, task_id, stage))
    await court.restart(court.members["market"])
    gate.set()
    end = "settled" if outcome == "upheld" else "overturned"
    view = await court.until(task_id, "settled", "overturned", "reclaimed")
    assert (view.phase, view.appeal.outcome) == (end, outcome)
    await at_rest(court, REWARD + FEE if outcome == "upheld" else 0)
    assert escrow_of(court, task_id).award


async def test_everybody_dies_while_the_award_is_signed(court, collude, autojump_clock) -> None:
    """What a validator has signed it signs again, and nothing else."""
    collude(court)
    gate = hold(court, "unruled")
    task_id = await completed(court)
    await appeal(court, task_id)
    await court.holds(lambda: has_reached(court, task_id, "unruled"))
    await court.restart(*court.members.values())
    gate.set()
    await court.until(task_id, "overturned")
    await at_rest(court, 0)


async def test_an_escrow_that_is_closed_while_its_result_is_disputed(
    court, silence, autojump_clock
) -> None:
    """By whoever got a quorum to sign that: the dispute is over, and nobody is paid."""
    await silenced(court, silence)
    task_id = await completed(court)
    await appeal(court, task_id)
    await court.holds(lambda: stage_of(court, task_id) == "disputed")
    name = name_of(court, task_id)
    signed = [sign_refund(one.keys.identity, CHAIN, name) for one in court.team("validator")]
    await send(court, refund_escrow(name, signed))
    view = await court.until(task_id, "reclaimed")
    assert view.appeal.outcome == "inconclusive"
    await at_rest(court, 0)


async def test_an_appeal_that_the_chain_never_takes(open_court, silence, autojump_clock) -> None:
    """The customer is leaving: its deposit cannot pay a fee any more, and the pay goes on."""
    with trio.fail_after(LONGEST_S):
        async with open_court(dispute_window_s=60.0) as court:
            await silenced(court, silence)
            task_id = await completed(court)
            await court.holds(lambda: record_of(court, task_id).state == "open")
            await send(court, withdraw_all(court.members["market"].address))
            await trio.sleep(25)
            await appeal(court, task_id)
            view = await court.until(task_id, "verified", "anchored")
            assert view.appeal.outcome == "inconclusive"
            assert record_of(court, task_id).dispute.state == "failed"
            await court.until(task_id, "settled")
            await at_rest(court, REWARD)


@pytest.mark.parametrize(("strange", "wait_s"), [(False, 5), (True, 65)])
async def test_a_bond_buys_an_early_pay_for_the_results_of_its_own_key(
    open_court, autojump_clock, strange: bool, wait_s: int
) -> None:
    """An award could take nothing from a worker that is bonded with another key."""
    with trio.fail_after(LONGEST_S):
        async with open_court(worker_bond=Amount(CPC), unbonded_wait_s=60.0) as court:
            identity = court.members["market"].keys.identity if strange else None
            for worker in court.team("worker"):
                await stake(court, worker, 1, identity)
            view = await court.until((await court.buy()).task_id, "verified")
            assert view.result.pay_due_ms - view.result.completed_at_ms == wait_s * 1000


async def test_a_validator_without_its_bond_is_not_drawn(open_court, autojump_clock) -> None:
    """The market sees in the chain's blocks who has one; a node that sends from the same account
    goes on."""
    with trio.fail_after(LONGEST_S):
        async with open_court(validator_bond=Amount(CPC)) as court:
            market, team = court.members["market"], court.team("validator")
            newest = partial(_newest, market)
            await trio.sleep(10)
            assert newest() is None
            for member in team[:3]:
                await stake(court, member, 1)
            await court.holds(lambda: newest() and len(newest().candidates) == 3)
            task = await court.buy()
            await court.until(task.task_id, "settled")
            await send(court, unbond(market.address, 1), team[0].keys.account)
            await court.holds(lambda: len(newest().candidates) == 2)
            assert market.assembly.staking.show(team[0].address).unbonding == 1
            [obstacle] = court.status().obstacles
            assert "gives a bond back after 100 blocks" in obstacle


def _newest(market):
    return market.assembly.market._desk._snapshots.newest

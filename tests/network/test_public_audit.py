"""A market's disputes as a stranger sees them: from the chain, its payouts and its receipts."""

from typing import Any

import pytest
import trio

from node.amounts import UNITS_PER_CPC
from node.cli.audit_market import _rulings_of
from node.settlement.network import settlement_parameters
from node.settlement.public_audit import PublicAudit, PublicReport, payout_root
from node.verification.receipt import Receipt
from node.verification.receipt_check import verify_receipt
from tests.network.test_appeals import CHAIN, LONGEST_S, appeal, completed, stake

CPC = UNITS_PER_CPC


@pytest.fixture
async def court(tmp_path, autojump_clock, open_world):
    with trio.fail_after(LONGEST_S):
        async with open_world(tmp_path, validators=6, pins_market=True) as world:
            yield world


async def receipt_of(world, task_id: str) -> Receipt:
    await world.holds(lambda: world.market._board.outcome(task_id).is_anchored)
    return verify_receipt(world.market.receipt(task_id), world.network)[0]


async def audited(world, *receipts: Receipt) -> PublicReport:
    """What anybody finds once every payout is in a block."""
    waits = ("worker:", "validator:", "burn", "treasury", "outbox:", "maturing:")
    await world.holds(lambda: not any(any(world.ledger.holdings(name)) for name in waits))
    audit = PublicAudit(settlement_parameters(world.network), CHAIN)
    market = world.members["market"]
    shown = market.assembly.market._settlement.payouts.shown
    for height in range((await world.l1.status()).height + 1):
        for tx in (await world.l1.block(height)).txs:
            root = payout_root(tx, market.address)
            if root is not None:
                audit.add(tx, shown(root, tx.to_address))
    return audit.report([one.task_id for one in receipts], _rulings_of(receipts, world.network))


async def disputed(world, outcome: str) -> Receipt:
    task_id = await completed(world)
    await appeal(world, task_id)
    view = await world.until(task_id, "anchored", "settled", "overturned")
    assert view.appeal.outcome == outcome
    return await receipt_of(world, task_id)


async def test_what_a_jury_decided_is_what_was_paid_and_slashed(
    court, collude, autojump_clock
) -> None:
    """A result that is upheld, and then one that is overturned, of nodes with bonds."""
    workers: list[Any] = court.team("worker")
    upheld = await disputed(court, "upheld")
    collude(court)
    for one in (*workers, *court.team("validator")):
        await stake(court, one, 4)
    false = await disputed(court, "overturned")
    report = await audited(court, upheld, false)
    assert report.findings == ()
    culprits = false.appeal.stakes.stakes
    assert {one.bonded for one in culprits} == {4 * CPC}
    assert (report.tasks, report.slashed) == (1, len(culprits) * 2 * CPC)
    assert report.burned == report.to_burn > 6 * CPC


async def test_where_nobody_had_a_bond(court, collude, autojump_clock) -> None:
    collude(court)
    false = await disputed(court, "overturned")
    assert {one.bonded for one in false.appeal.stakes.stakes} == {0}
    report = await audited(court, false)
    assert (report.findings, report.slashed, report.tasks) == ((), 0, 0)

"""Who pays what for a task on credit, where the chain holds the money: every row of that table
happens on a chain here.

A row says what an event has made of a reward: in the chain's own accounts, but for the debt.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import trio

from node.l1.devchain.holdings import Escrow, escrow_key
from tests.unit.node.settlement.support import who_pays
from tests.unit.node.settlement.support.escrows import Key, call, spend_all, until
from tests.unit.node.settlement.support.lending import (
    CHECKER,
    CPC,
    CUSTOMER,
    OPERATOR,
    WORKER,
    Lending,
    blocks,
)
from tests.unit.node.settlement.support.tasks import task_id_of

COLUMNS = ("customer", "owes", "operator", "in escrow", "paid out")
FUNDS = 10**9 * CPC
BLOCK_S, GRACE, LEASE_S = 5.0, 3, 30

Event = Callable[[Lending], Awaitable[None]]
EVENTS: who_pays.Events[Event] = who_pays.Events()
event = EVENTS.of


def seen(desk: Lending) -> dict[str, int]:
    """What everybody has beyond what they had; deposits are their owners'."""
    world, rules = desk.world, desk.world.parameters

    def gained(number: int) -> int:
        address = desk.key(number).address
        return world.held(address) + world.balance(address) + world.fees_of(address) - FUNDS

    paid = (desk.key(WORKER).address, desk.key(CHECKER).address)
    labels = (rules.treasury_address, rules.burn_address)
    record = desk.market.settlement.rewards.escrow(task_id_of("t"))
    found = record and world.chain.holdings.records.get(escrow_key(record.escrow_id))
    is_paid = record is not None and record.state == "settled"
    view = desk.view(CUSTOMER)
    return {
        "customer": gained(CUSTOMER),
        "owes": int(view.owed),
        "operator": gained(OPERATOR),
        "in escrow": int(record.amount) if isinstance(found, Escrow) else 0,
        "paid out": sum(map(world.balance, (*paid, *labels))) + is_paid * rules.fee_reserve,
    }


def test_every_row_has_its_test_and_every_test_its_row() -> None:
    assert list(who_pays.rows("who-pays-lent", COLUMNS)) == list(EVENTS)


@pytest.mark.parametrize("row", EVENTS)
async def test_a_row_of_the_table_is_true(
    world: Any, key: Key, row: str, autojump_clock: trio.abc.Clock
) -> None:
    cells = who_pays.rows("who-pays-lent", COLUMNS)[row]
    wanted = {name: who_pays.units(cell, CPC, {}) for name, cell in cells.items()}
    assert sum(units for name, units in wanted.items() if name != "owes") == 0
    world.approving = "too few" not in row
    world.parameters = msgspec.structs.replace(
        world.parameters, escrow_grace_blocks=GRACE, escrow_block_s=BLOCK_S
    )
    async with world.running():
        if "in no block" in row:
            spend_all(world, key)
        async with world.market() as market:
            desk = Lending(world, market, key)
            await desk.deposit(OPERATOR, 10 * CPC)
            desk.limit(CUSTOMER, CPC)
            desk.reserve("t", CUSTOMER, CPC)
            await EVENTS[row](desk)
            await blocks(world)
            assert seen(desk) == wanted
            desk.check(CUSTOMER, OPERATOR)
            desk.check_chain(CUSTOMER, OPERATOR)


def lease(desk: Lending) -> None:
    soon = desk.world.releasers(desk.market.now_ms() + LEASE_S * 1000)
    rewards = desk.market.settlement.rewards
    call(desk.market, lambda batch: rewards.open(batch, task_id_of("t"), lambda: soon))


async def is_open(desk: Lending) -> None:
    lease(desk)
    await until(lambda: desk.market.settlement.rewards.escrow(task_id_of("t")).state == "open")


async def is_paid(desk: Lending) -> None:
    await is_open(desk)
    desk.settle("t")
    await desk.rest()


@event("leased, and its escrow open")
async def _open(desk: Lending) -> None:
    await is_open(desk)


@event("completed, and its claim in a block")
async def _claimed(desk: Lending) -> None:
    await is_paid(desk)


@event("the same, and repaid")
async def _repaid(desk: Lending) -> None:
    await is_paid(desk)
    await desk.repay(CUSTOMER, CPC)


@event("the same, half of it repaid and the rest written off")
async def _written_off(desk: Lending) -> None:
    await is_paid(desk)
    await desk.repay(CUSTOMER, CPC // 2)
    assert desk.write_off(CUSTOMER) == CPC // 2


@event("completed, the claim signed by too few: `reclaimed`")
async def _reclaimed(desk: Lending) -> None:
    await is_paid(desk)


@event("ended without a result, the refund signed")
async def _refunded(desk: Lending) -> None:
    await is_open(desk)
    desk.refund("t")
    await desk.rest()


@event("repaid while it is open, and then refunded: paid ahead")
async def _ahead(desk: Lending) -> None:
    await is_open(desk)
    await desk.repay(CUSTOMER, CPC)
    desk.refund("t")
    await desk.rest()
    assert desk.market.ledger.balance(f"credit:{desk.key(CUSTOMER).address}") == 2 * CPC


@event("leased, and the opening in no block by its deadline")
async def _never_open(desk: Lending) -> None:
    lease(desk)
    await until(lambda: desk.market.settlement.rewards.escrow(task_id_of("t")).state == "failed")


@event("the operator takes the deposit out while it is queued")
async def _queued(desk: Lending) -> None:
    await desk.give_notice(OPERATOR)
    await desk.take_out(OPERATOR)


@event("the operator takes the deposit out, the escrow is open")
async def _left(desk: Lending) -> None:
    releasers = desk.world.releasers(desk.market.now_ms() + 10**7)
    rewards = desk.market.settlement.rewards
    call(desk.market, lambda batch: rewards.open(batch, task_id_of("t"), lambda: releasers))
    await desk.give_notice(OPERATOR)
    await desk.take_out(OPERATOR)

"""What credit promises, whether the market holds the money or the chain does."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from trio.abc import Clock

from node.errors import Conflict, InsufficientFunds, InvalidInput
from tests.unit.node.settlement.support.escrows import Key, until
from tests.unit.node.settlement.support.lending import (
    CPC,
    CUSTOMER,
    OPERATOR,
    OTHER,
    WORKER,
    Lending,
    blocks,
)


@pytest.fixture(params=["transfer", "escrow"])
async def desk(
    make_world: Any, key: Key, request: Any, autojump_clock: Clock
) -> AsyncIterator[Lending]:
    world = make_world(back_end=request.param)
    async with world.running(), world.market() as market:
        made = Lending(world, market, key)
        await made.deposit(OPERATOR, 10 * CPC)
        await until(market.sender.ready.is_set)
        yield made
        await made.rest()
        await blocks(world)
        made.check(OPERATOR, CUSTOMER, OTHER)
        made.check_chain(OPERATOR, CUSTOMER, OTHER)


async def test_a_customer_without_money_buys_up_to_the_limit(
    desk: Lending, autojump_clock: Clock
) -> None:
    with pytest.raises(InsufficientFunds):
        desk.reserve("t0", CUSTOMER, 1)
    desk.limit(CUSTOMER, 4 * CPC)
    assert desk.free(OPERATOR) == 6 * CPC
    desk.reserve("t1", CUSTOMER, 3 * CPC)
    with pytest.raises(InsufficientFunds, match=r"0\.000000000000000001 CPC are missing"):
        desk.reserve("t2", CUSTOMER, CPC + 1)
    desk.reserve("t2", CUSTOMER, CPC)
    with pytest.raises(InsufficientFunds):
        desk.reserve("t3", CUSTOMER, 1)
    view = desk.view(CUSTOMER)
    assert (view.limit, view.owed) == (4 * CPC, 4 * CPC)
    assert view.backer == desk.key(OPERATOR).address


async def test_its_worker_is_paid_and_only_the_operator_s_money_is_gone(
    desk: Lending, autojump_clock: Clock
) -> None:
    await desk.deposit(OTHER, 7 * CPC)
    desk.limit(CUSTOMER, 4 * CPC)
    desk.reserve("t", CUSTOMER, 4 * CPC)
    desk.settle("t")
    await until(lambda: desk.world.balance(desk.key(WORKER).address) == CPC)
    assert (desk.free(OTHER), desk.free(OPERATOR)) == (7 * CPC, 6 * CPC)
    assert (desk.view(CUSTOMER).limit, desk.view(CUSTOMER).owed) == (4 * CPC, 4 * CPC)
    await desk.withdraw(OTHER, 6 * CPC)
    with pytest.raises(InsufficientFunds):
        await desk.withdraw(OPERATOR, 6 * CPC + 1)


async def test_a_refund_is_owed_by_nobody(desk: Lending, autojump_clock: Clock) -> None:
    desk.limit(CUSTOMER, 4 * CPC)
    for task, leased in (("queued", False), ("leased", True)):
        desk.reserve(task, CUSTOMER, 3 * CPC)
        if leased:
            desk.lease(task)
            await blocks(desk.world, 3)
        desk.refund(task)
        await until(lambda: not desk.view(CUSTOMER).owed)
        assert (desk.left(CUSTOMER), desk.free(CUSTOMER)) == (4 * CPC, 0)


async def test_what_is_paid_back_can_be_spent_again(desk: Lending, autojump_clock: Clock) -> None:
    desk.limit(CUSTOMER, 4 * CPC)
    desk.reserve("t", CUSTOMER, 4 * CPC)
    desk.settle("t")
    await desk.rest()
    await desk.repay(CUSTOMER, CPC)
    assert (desk.view(CUSTOMER).owed, desk.left(CUSTOMER)) == (3 * CPC, CPC)
    desk.reserve("more", CUSTOMER, CPC)
    desk.settle("more")
    await desk.rest()
    await desk.repay(CUSTOMER, 4 * CPC)
    assert (desk.view(CUSTOMER).owed, desk.left(CUSTOMER)) == (0, 4 * CPC)
    desk.limit(CUSTOMER, 0)
    assert desk.free(OPERATOR) == 10 * CPC


async def test_only_tasks_are_on_credit(desk: Lending, autojump_clock: Clock) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    with pytest.raises(InsufficientFunds):
        await desk.withdraw(CUSTOMER, CPC)


async def test_the_operator_lends_own_money_only(desk: Lending, autojump_clock: Clock) -> None:
    await desk.deposit(OTHER, 100 * CPC)
    with pytest.raises(InsufficientFunds, match="pay in from"):
        desk.limit(CUSTOMER, 10 * CPC + 1)
    desk.limit(CUSTOMER, 10 * CPC)
    with pytest.raises(InsufficientFunds):
        await desk.withdraw(OPERATOR, CPC)
    with pytest.raises(InsufficientFunds):
        desk.limit(OTHER, 1)
    with pytest.raises(InvalidInput):
        desk.limit(OPERATOR, 1)


async def test_what_is_not_owed_can_be_taken_back_by_who_gave_it(
    desk: Lending, autojump_clock: Clock
) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    desk.reserve("t", CUSTOMER, 2 * CPC)
    with pytest.raises(Conflict, match=r"2\.0 CPC are owed"):
        desk.limit(CUSTOMER, 2 * CPC - 1)
    await desk.deposit(OTHER, 9 * CPC)
    with pytest.raises(Conflict, match="is backed by"):
        desk.limit(CUSTOMER, 6 * CPC, backer=OTHER)
    desk.limit(CUSTOMER, 2 * CPC, backer=OTHER)
    assert (desk.free(OPERATOR), desk.free(OTHER)) == (8 * CPC, 9 * CPC)
    desk.refund("t")
    desk.limit(CUSTOMER, 0)
    assert (desk.free(OPERATOR), desk.free(CUSTOMER)) == (10 * CPC, 0)
    desk.limit(CUSTOMER, CPC, backer=OTHER)
    assert desk.view(CUSTOMER).backer == desk.key(OTHER).address


async def test_what_is_lost_is_the_operators(desk: Lending, autojump_clock: Clock) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    desk.reserve("t", CUSTOMER, 2 * CPC)
    assert desk.write_off(CUSTOMER) == 0, "an open task's reward may come back"
    desk.settle("t")
    assert desk.write_off(CUSTOMER) == 0, "so may one that matures"
    await desk.rest()
    assert desk.write_off(CUSTOMER) == 2 * CPC
    assert desk.write_off(CUSTOMER) == 0
    assert (desk.view(CUSTOMER).limit, desk.view(CUSTOMER).owed) == (3 * CPC, 0)
    desk.limit(CUSTOMER, 0)
    assert (desk.free(OPERATOR), desk.free(CUSTOMER)) == (8 * CPC, 0)


async def test_all_credit_is_shown(desk: Lending, autojump_clock: Clock) -> None:
    desk.limit(CUSTOMER, 5 * CPC)
    desk.reserve("t", CUSTOMER, 5 * CPC)
    (view,) = desk.market.settlement.credit.views()
    assert view == desk.view(CUSTOMER)
    assert (view.address, view.owed) == (desk.key(CUSTOMER).address, 5 * CPC)
    desk.refund("t")
    desk.limit(CUSTOMER, 0)
    assert list(desk.market.settlement.credit.views()) == []

"""Credit where the chain holds the money: the operator's deposit pays, and nobody else's."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio
from trio.abc import Clock

from node import deadlines
from node.amounts import Amount
from node.errors import Conflict, InsufficientFunds
from node.l1.devchain.holdings import Escrow, escrow_key
from node.l1.escrow import deposit, open_escrows, read
from node.settlement import accounts
from node.settlement.chainescrows import BACKER_GONE, TAKEN_OUT
from node.settlement.entries import move
from node.settlement.escrow_audit import (
    customers_of,
    held_by_chain,
    held_solvency,
    short_backers,
    with_credit,
)
from node.settlement.escrow_credit import Granted
from node.settlement.ledger import Balance
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import Key, call, spend_all, until
from tests.unit.node.settlement.support.lending import (
    CPC,
    CUSTOMER,
    OPERATOR,
    OTHER,
    WORKER,
    Lending,
    blocks,
)
from tests.unit.node.settlement.support.tasks import task_id_of

EVERYBODY = (OPERATOR, CUSTOMER, OTHER)


@pytest.fixture
async def desk(world: Any, key: Key, autojump_clock: Clock) -> AsyncIterator[Lending]:
    async with world.running(), world.market() as market:
        made = Lending(world, market, key)
        await made.deposit(OPERATOR, 10 * CPC)
        made.limit(CUSTOMER, 4 * CPC)
        await until(market.sender.ready.is_set)
        yield made
        made.check(*EVERYBODY)
        made.check_chain(*EVERYBODY)


def escrow_of(desk: Lending, task: str) -> Any:
    record = desk.market.settlement.rewards.escrow(task_id_of(task))
    return record and desk.world.chain.holdings.records.get(escrow_key(record.escrow_id))


async def is_open(desk: Lending, task: str) -> None:
    await until(lambda: isinstance(escrow_of(desk, task), Escrow))


def backing(desk: Lending) -> int:
    account = accounts.credit(desk.key(CUSTOMER).address)
    return int(desk.market.ledger.balance(account))


async def test_the_escrow_is_a_part_of_the_operator_s_deposit(
    desk: Lending, autojump_clock: Clock
) -> None:
    desk.reserve("t", CUSTOMER, 3 * CPC)
    desk.lease("t")
    await is_open(desk, "t")
    assert escrow_of(desk, "t").customer == desk.key(OPERATOR).address
    assert desk.world.held(desk.key(OPERATOR).address) == 7 * CPC
    desk.refund("t")
    rewards = desk.market.settlement.rewards
    assert rewards.returning(desk.key(CUSTOMER).address) == 3 * CPC
    assert rewards.returning(desk.key(OPERATOR).address) == 0
    await desk.rest()
    assert desk.world.held(desk.key(OPERATOR).address) == 10 * CPC
    assert (desk.left(CUSTOMER), desk.free(CUSTOMER)) == (4 * CPC, 0)


async def test_no_task_is_paid_from_both(desk: Lending, autojump_clock: Clock) -> None:
    await desk.deposit(CUSTOMER, 2 * CPC)
    with pytest.raises(InsufficientFunds, match=r"^1\.0 CPC are missing.*from both"):
        desk.reserve("dear", CUSTOMER, 5 * CPC)
    desk.reserve("own", CUSTOMER, CPC)
    assert (desk.free(CUSTOMER), desk.left(CUSTOMER)) == (CPC, 4 * CPC)
    desk.reserve("lent", CUSTOMER, 3 * CPC)
    assert (desk.free(CUSTOMER), desk.left(CUSTOMER)) == (CPC, CPC)
    for task in ("own", "lent"):
        desk.settle(task)
    await desk.rest()
    assert desk.world.held(desk.key(CUSTOMER).address) == CPC
    await desk.withdraw(CUSTOMER, CPC)  # whatever is owed: that is between the two of them
    assert desk.view(CUSTOMER).owed == 3 * CPC


async def test_a_reservation_is_the_same_again(desk: Lending, autojump_clock: Clock) -> None:
    desk.reserve("t", CUSTOMER, 3 * CPC)
    await desk.deposit(CUSTOMER, 9 * CPC)
    desk.reserve("t", CUSTOMER, 3 * CPC)
    assert (desk.free(CUSTOMER), desk.view(CUSTOMER).owed) == (9 * CPC, 3 * CPC)


async def test_more_than_is_owed_is_the_operator_s(desk: Lending, autojump_clock: Clock) -> None:
    desk.reserve("t", CUSTOMER, 3 * CPC)
    desk.settle("t")
    await desk.rest()
    await desk.repay(CUSTOMER, 5 * CPC)
    assert (desk.left(CUSTOMER), desk.free(OPERATOR)) == (4 * CPC, 8 * CPC)
    await desk.repay(OTHER, CPC)  # who owes nothing
    assert (desk.left(CUSTOMER), desk.free(OPERATOR)) == (4 * CPC, 9 * CPC)
    kinds = [one.kind for one in desk.market.ledger.entries() if one.amount("l1") < 0]
    assert kinds == ["deposit", "repay", "deposit"]


async def test_who_pays_for_somebody_else_pays_no_debt_of_its_own(
    desk: Lending, autojump_clock: Clock
) -> None:
    desk.reserve("t", CUSTOMER, 3 * CPC)
    await desk.deposit(CUSTOMER, CPC)
    await desk.repay(CUSTOMER, CPC, backer=OTHER)
    assert desk.view(CUSTOMER).owed == 3 * CPC
    assert (desk.free(CUSTOMER), desk.free(OTHER)) == (CPC, CPC)


async def test_what_is_paid_ahead_is_there_to_buy_with(
    desk: Lending, autojump_clock: Clock
) -> None:
    """The debt for an open task was paid back, and then the task is refunded."""
    desk.reserve("t", CUSTOMER, 3 * CPC)
    await desk.repay(CUSTOMER, 3 * CPC)
    desk.refund("t")
    assert (backing(desk), desk.view(CUSTOMER).owed) == (7 * CPC, 0)
    desk.limit(CUSTOMER, 0)
    await desk.deposit(OTHER, 9 * CPC)
    with pytest.raises(Conflict, match="is backed by"):
        desk.limit(CUSTOMER, CPC, backer=OTHER)
    assert [one.limit for one in desk.market.settlement.credit.views()] == [0]
    desk.reserve("again", CUSTOMER, 3 * CPC)
    desk.settle("again")
    await desk.rest()
    assert (backing(desk), desk.view(CUSTOMER).owed) == (0, 0)
    desk.limit(CUSTOMER, CPC, backer=OTHER)


async def test_a_backer_is_the_same_while_a_task_of_its_money_is_open(
    desk: Lending, autojump_clock: Clock
) -> None:
    desk.reserve("t", CUSTOMER, 4 * CPC)
    await desk.repay(CUSTOMER, 4 * CPC)
    desk.limit(CUSTOMER, 0)
    await desk.deposit(OTHER, 9 * CPC)
    with pytest.raises(Conflict, match="is backed by"):
        desk.limit(CUSTOMER, CPC, backer=OTHER)
    desk.refund("t")
    assert backing(desk) == 4 * CPC


async def test_an_opening_that_never_comes_is_owed_by_nobody(
    world: Any, key: Key, autojump_clock: Clock
) -> None:
    told: list[str] = []
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            desk = Lending(world, market, key)
            rewards = market.settlement.rewards
            rewards.on_unfunded = lambda _batch, _task, problem: told.append(problem)
            await desk.deposit(OPERATOR, 10 * CPC)
            desk.limit(CUSTOMER, 4 * CPC)
            desk.reserve("t", CUSTOMER, 3 * CPC)
            soon = world.releasers(market.now_ms() + 5_000)
            call(market, lambda batch: rewards.open(batch, task_id_of("t"), lambda: soon))
            assert desk.view(CUSTOMER).owed == 3 * CPC
            await until(lambda: not desk.view(CUSTOMER).owed)
            assert (desk.left(CUSTOMER), len(told)) == (4 * CPC, 1)
            desk.check(*EVERYBODY)
            desk.check_chain(*EVERYBODY)


async def test_what_was_completed_and_is_reclaimed_is_owed_by_nobody(
    world: Any, key: Key, autojump_clock: Clock
) -> None:
    world.approving = False
    world.parameters = msgspec.structs.replace(world.parameters, escrow_grace_blocks=10)
    async with world.running(), world.market() as market:
        desk = Lending(world, market, key)
        await desk.deposit(OPERATOR, 10 * CPC)
        desk.limit(CUSTOMER, 4 * CPC)
        desk.reserve("t", CUSTOMER, 3 * CPC)
        rewards, soon = market.settlement.rewards, world.releasers(market.now_ms() + 5_000)
        call(market, lambda batch: rewards.open(batch, task_id_of("t"), lambda: soon))
        desk.settle("t")
        await is_open(desk, "t")
        assert desk.write_off(CUSTOMER) == 0
        await until(lambda: not desk.view(CUSTOMER).owed)
        assert (desk.left(CUSTOMER), desk.free(OPERATOR)) == (4 * CPC, 6 * CPC)
        desk.check(*EVERYBODY)
        desk.check_chain(*EVERYBODY)


@pytest.mark.parametrize("spent", [0, 2])
async def test_an_opening_that_was_given_up_and_comes_after_all(
    desk: Lending, autojump_clock: Clock, spent: int
) -> None:
    """The chain takes the money once more from where the books put it, or else the operator's."""
    market, task = desk.market, task_id_of("t")
    desk.reserve("t", CUSTOMER, 3 * CPC)
    desk.lease("t")
    rewards = market.settlement.rewards
    await until(lambda: rewards.escrow(task).state == "sent")
    record, stored = rewards.escrow(task), market.sender.find(rewards.escrow(task).opening)
    draft = open_escrows(read(stored.transaction).each, gas_price=9_000)
    call(market, lambda batch: market.settlement.escrows.fail(batch, record, 1, "gone"))
    assert (desk.left(CUSTOMER), desk.view(CUSTOMER).owed) == (4 * CPC, 0)
    if spent:
        desk.reserve("other", CUSTOMER, spent * CPC)
    desk.world.submit(desk.world.key, draft)
    await until(lambda: isinstance(escrow_of(desk, "t"), Escrow))
    await until(lambda: rewards.escrow(task).state == "open")
    at_operator, at_credit = (6, 1) if not spent else (3, 2)
    assert (desk.free(OPERATOR), backing(desk)) == (at_operator * CPC, at_credit * CPC)
    await desk.rest()
    assert (desk.free(OPERATOR), backing(desk)) == (6 * CPC, (4 - spent) * CPC)


async def test_a_backer_s_notice_ends_what_is_queued_and_buys_nothing_more(
    desk: Lending, autojump_clock: Clock
) -> None:
    rewards, told = desk.market.settlement.rewards, []
    refund = rewards.on_unfunded

    def unfunded(batch: Batch, task: str, problem: str) -> None:
        told.append((task, problem))
        refund(batch, task, problem)

    rewards.on_unfunded = unfunded
    await desk.deposit(CUSTOMER, CPC)
    desk.reserve("leased", CUSTOMER, 2 * CPC)
    desk.lease("leased")
    desk.reserve("queued", CUSTOMER, 2 * CPC)
    desk.reserve("own", CUSTOMER, CPC)
    await desk.give_notice(OPERATOR)
    assert told == [(task_id_of("queued"), BACKER_GONE)]
    assert desk.view(CUSTOMER).owed == 2 * CPC
    with pytest.raises(Conflict, match="who backs the credit, is taking its deposit out"):
        desk.reserve("more", CUSTOMER, CPC)
    with pytest.raises(Conflict, match="is on its way out"):
        desk.limit(CUSTOMER, 5 * CPC)
    for task in ("leased", "own"):
        desk.settle(task)
    await desk.rest()
    await desk.repay(CUSTOMER, CPC)
    assert desk.notice_of(OPERATOR) is not None, "only its own deposit ends a notice"
    with pytest.raises(Conflict, match="who backs"):
        desk.reserve("more", CUSTOMER, CPC)
    await desk.deposit(OPERATOR, CPC)
    desk.reserve("more", CUSTOMER, 3 * CPC)
    assert (desk.left(CUSTOMER), desk.view(CUSTOMER).owed) == (0, 4 * CPC)


async def test_a_backer_takes_the_deposit_out_and_the_debt_stays(
    desk: Lending, autojump_clock: Clock
) -> None:
    for task in ("paid", "open", "later"):
        desk.reserve(task, CUSTOMER, CPC)
        desk.lease(task)
    desk.settle("paid")
    await desk.rest()
    await is_open(desk, "later")
    await desk.give_notice(OPERATOR)
    await desk.take_out(OPERATOR)
    assert desk.world.held(desk.key(OPERATOR).address) == 0
    assert (desk.free(OPERATOR), backing(desk)) == (0, 0)
    view = desk.view(CUSTOMER)
    assert (view.limit, view.owed) == (3 * CPC, 3 * CPC)
    with pytest.raises(InsufficientFunds):
        desk.reserve("more", CUSTOMER, CPC)
    desk.settle("open")
    desk.refund("later")
    await desk.rest()
    assert (backing(desk), desk.view(CUSTOMER).owed) == (CPC, 2 * CPC)
    await desk.repay(CUSTOMER, CPC)
    assert (backing(desk), desk.view(CUSTOMER).owed) == (2 * CPC, CPC)
    assert desk.write_off(CUSTOMER) == CPC
    await desk.take_out(OPERATOR)
    view = desk.view(CUSTOMER)
    assert (view.limit, view.owed, desk.world.held(desk.key(OPERATOR).address)) == (0, 0, 0)


async def test_what_was_paid_ahead_goes_out_with_the_deposit(
    desk: Lending, autojump_clock: Clock
) -> None:
    desk.reserve("t", CUSTOMER, 3 * CPC)
    await desk.repay(CUSTOMER, 3 * CPC)
    desk.refund("t")
    await desk.give_notice(OPERATOR)
    await desk.take_out(OPERATOR)
    view = desk.view(CUSTOMER)
    assert (view.limit, view.owed, backing(desk)) == (0, 0, 0)
    granted = desk.market.settlement.credit.granted(desk.key(CUSTOMER).address)
    assert granted == Granted(Amount(0), Amount(-3 * CPC))


async def test_a_backer_leaves_while_an_opening_is_in_no_block(
    world: Any, key: Key, autojump_clock: Clock
) -> None:
    """The market cannot pay for its ESCROW_OPEN, and nobody is worse off."""
    told: list[str] = []
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            desk = Lending(world, market, key)
            rewards = market.settlement.rewards
            rewards.on_unfunded = lambda _batch, _task, problem: told.append(problem)
            await desk.deposit(OPERATOR, 10 * CPC)
            await desk.deposit(OTHER, 10 * CPC)
            desk.limit(CUSTOMER, 4 * CPC)
            desk.reserve("lent", CUSTOMER, 3 * CPC)
            desk.reserve("own", OTHER, 3 * CPC)
            desk.lease("lent")
            desk.lease("own")
            await desk.give_notice(OPERATOR)
            await desk.take_out(OPERATOR)
            await desk.give_notice(OTHER)
            await desk.take_out(OTHER)
            assert told == [BACKER_GONE, TAKEN_OUT]
            assert dict(market.ledger.holdings()) == {}
            view = desk.view(CUSTOMER)
            assert (view.limit, view.owed) == (0, 0)


async def test_a_customer_s_own_notice_leaves_what_is_on_credit(
    desk: Lending, autojump_clock: Clock
) -> None:
    await desk.deposit(CUSTOMER, CPC)
    desk.reserve("lent", CUSTOMER, 2 * CPC)
    await desk.give_notice(CUSTOMER)
    with pytest.raises(Conflict, match="by the customer's own notice"):
        desk.reserve("more", CUSTOMER, 2 * CPC)
    await desk.take_out(CUSTOMER)
    assert desk.free(CUSTOMER) == 0
    desk.settle("lent")
    await until(lambda: desk.world.balance(desk.key(WORKER).address))
    assert desk.view(CUSTOMER).owed == 2 * CPC


async def test_a_notice_that_ran_out_counts_what_was_given_as_credit(
    desk: Lending, autojump_clock: Clock
) -> None:
    desk.limit(CUSTOMER, 10 * CPC)
    await desk.give_notice(OPERATOR)
    await trio.sleep(1_000 + 5 * deadlines.UNCONFIRMED_S)  # blocks of 5 s, said to be of 1 s
    settlement, now_ms = desk.market.settlement, desk.market.now_ms()
    found = [one for late in settlement.late(now_ms, "") for one in late]
    operator = desk.key(OPERATOR).address
    assert [(one.what, one.about) for one in found] == [
        ("deposit notice", f"10.0 CPC of {operator}")
    ]


async def audited(desk: Lending) -> tuple[str, ...]:
    settlement, market = desk.market.settlement, desk.world.key.address
    ledger, credit, chain = desk.market.ledger, settlement.credit, desk.world.client
    report = with_credit(ledger.audit(), credit)
    held = await held_by_chain(chain, ledger, settlement.book, credit, market)
    found = held_solvency(ledger, settlement.book, report, held).findings
    return (*report.findings, *found, *await short_backers(chain, ledger, credit, market))


async def test_an_audit_counts_the_operator_s_deposit(desk: Lending, autojump_clock: Clock) -> None:
    """Also when all of it is lent, and nothing in the books is the operator's own."""
    desk.limit(CUSTOMER, 10 * CPC)
    desk.reserve("t", CUSTOMER, 10 * CPC)
    assert await audited(desk) == ()
    desk.lease("t")
    await is_open(desk, "t")
    await blocks(desk.world)
    assert await audited(desk) == ()
    assert with_credit(desk.market.ledger.audit(), desk.market.settlement.credit).owed == 10 * CPC
    assert customers_of(desk.market.ledger) == {desk.key(CUSTOMER).address}


async def test_an_audit_finds_a_debt_that_is_none(desk: Lending, autojump_clock: Clock) -> None:
    desk.reserve("t", CUSTOMER, 3 * CPC)
    credit, address = desk.market.settlement.credit, desk.key(CUSTOMER).address
    right, batch = credit.granted(address), Batch()
    wrong = msgspec.structs.replace(right, limit=Amount(5 * CPC))
    credit._granted.put(batch, address.encode(), wrong)
    desk.market.db.stage(batch)
    (finding,) = await audited(desk)
    assert finding == f"{address} owes {4 * CPC} units on credit, the entries say {3 * CPC}"
    batch = Batch()
    credit._granted.put(batch, address.encode(), right)
    desk.market.db.stage(batch)


async def test_an_audit_finds_a_deposit_that_is_short(desk: Lending, autojump_clock: Clock) -> None:
    """Somebody else's is larger by as much: together there is enough."""
    desk.reserve("t", CUSTOMER, 3 * CPC)
    desk.lease("t")
    await is_open(desk, "t")
    await desk.deposit(OTHER, 2 * CPC)
    ledger, operator = desk.market.ledger, desk.key(OPERATOR).address
    names = accounts.customer(desk.key(OTHER).address), accounts.customer(operator)

    def move_between(cause: str, source: str, target: str) -> None:
        postings = move(source, target, CPC)
        call(
            desk.market,
            lambda batch: ledger.post(batch, cause=cause, kind="x", postings=postings, at_ms=0),
        )

    move_between("there", *names)
    assert await audited(desk) == (
        f"the deposit of {operator} is 7.0 CPC, the books say 8.0 CPC with what it gave as credit",
    )
    move_between("back", *reversed(names))


async def test_an_audit_finds_who_is_negative_and_whose_credit_is_nobody_s(
    desk: Lending, autojump_clock: Clock
) -> None:
    ledger, batch = desk.market.ledger, Batch()
    ledger.balances.put(batch, b"customer:cpc1x", Balance(Amount(-1)))
    ledger.balances.put(batch, b"credit:cpc1x", Balance(Amount(1)))
    desk.market.db.stage(batch)
    assert list(desk.market.settlement.credit.findings()) == [
        "credit:cpc1x is nobody's credit",
        "customer:cpc1x is negative, and the chain holds no less than nothing",
    ]
    batch = Batch()
    for account in (b"customer:cpc1x", b"credit:cpc1x"):
        ledger.balances.delete(batch, account)
    desk.market.db.stage(batch)


async def test_an_owner_who_names_itself_pays_in(desk: Lending, autojump_clock: Clock) -> None:
    await desk.give_notice(OPERATOR)
    owner = desk.key(OPERATOR).address
    desk.submit(OPERATOR, deposit(desk.world.key.address, CPC, customer=owner))
    await until(lambda: desk.free(OPERATOR) == 7 * CPC)
    assert desk.notice_of(OPERATOR) is None

"""Openings of escrows share transactions, and none suffers from another one in it."""

from typing import Any

import pytest
import trio

from node.l1.escrow import MarketParameters, open_escrow, read, withdraw_all
from node.l1.transactions import transfer
from node.settlement import accounts, escrow_openings
from node.settlement.entries import move
from node.settlement.escrow_outbox import HOPELESS_BLOCKS
from tests.unit.node.settlement.support.crowd import ALICE, BOB, SECOND, Crowd
from tests.unit.node.settlement.support.escrows import (
    CPC,
    Key,
    all_matured,
    call,
    check_copy,
    free,
    more_than_there_is,
    spend_all,
    take_nonce,
    take_out,
    until,
)

LOOK_S = 0.6
"""Between two looks of the market at what it wants, or a little more."""
LONG_S = 1000.0
"""A wait for others beyond all that happens here."""
PATIENT = MarketParameters(deposit_notice_blocks=10**5)


@pytest.fixture
def crowd(world: Any, key: Key) -> Crowd:
    return Crowd(world, key)


async def finish(crowd: Crowd, market: Any, *paid: int) -> None:
    """These tasks are completed and paid, and nothing is lost."""
    crowd.end(market, *paid)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.sign, market)
        await all_matured(market)
        await until(lambda: not list(market.settlement.book.active()))
        nursery.cancel_scope.cancel()
    assert crowd.paid() == len(paid)
    check_copy(crowd.world, market, *(crowd.key(number).address for number in (ALICE, BOB)))


async def test_those_of_one_set_are_opened_together(
    world: Any, crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """Whoever buys them; other members, or another number of them, are another set."""
    async with world.running(), world.market() as market:
        await crowd.pay_in(market)
        crowd.buy(market, 1, 2)
        crowd.buy(market, 3, customer=BOB, seconds=900)
        crowd.buy(market, 4, 5, customer=BOB, members=SECOND)
        crowd.buy(market, 6, 7, needed=3)
        await until(lambda: crowd.states(market, *range(1, 8)) == {"open"})
        assert sorted(crowd.opened()) == [[1, 2, 3], [4, 5], [6, 7]]
        assert crowd.record(market, 3).deadline > crowd.record(market, 1).deadline + 100
        assert crowd.record(market, 6).needed == 3
        await finish(crowd, market, *range(1, 8))


@pytest.mark.parametrize(
    ("batch_s", "notice_blocks", "wait_s"), [(4.0, 20, 4.0), (60.0, 20, 5.0), (0.0, 20, 0.0)]
)
async def test_how_long_one_waits_for_others(
    world: Any,
    crowd: Crowd,
    autojump_clock: trio.abc.Clock,
    batch_s: float,
    notice_blocks: int,
    wait_s: float,
) -> None:
    """As long as the network says, and a fourth of a notice of the chain's at most."""
    crowd.under(escrow_batch_s=batch_s)
    world.terms = MarketParameters(deposit_notice_blocks=notice_blocks)
    async with world.running(), world.market() as market:
        await crowd.pay_in(market)
        begun_s = trio.current_time()
        crowd.buy(market, 1)
        await trio.sleep(max(0.1, wait_s - LOOK_S))
        crowd.buy(market, 2)
        await until(lambda: crowd.record(market, 1).state == "sent")
        assert wait_s <= trio.current_time() - begun_s <= wait_s + 2 * LOOK_S
        is_together = crowd.record(market, 2).opening == crowd.record(market, 1).opening
        assert is_together == (wait_s > 0)


async def test_the_oldest_counts_after_a_restart_too(
    world: Any, crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """Escrows are read from the disk by their names, not by their age."""
    crowd.under(escrow_batch_s=60.0)
    world.terms = PATIENT
    async with world.running():
        async with world.market() as market:
            await crowd.pay_in(market)
            names = sorted(range(1, 9), key=lambda one: crowd.escrow_id(one))
            crowd.buy(market, names[-1])
            begun_s = trio.current_time()
            await trio.sleep(30)
            crowd.buy(market, *names[:-1])
            await market.db.flushed()
        async with world.market() as market:
            await until(lambda: crowd.states(market, *names) == {"sent"})
            assert trio.current_time() - begun_s <= 60 + 2 * LOOK_S


async def test_those_of_a_customer_who_gave_notice_go_at_once_and_with_nobody_else_s(
    world: Any, crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    crowd.under(escrow_batch_s=LONG_S)
    world.terms = PATIENT
    async with world.running(), world.market() as market:
        await crowd.pay_in(market)
        crowd.buy(market, 1, 2, customer=ALICE)
        crowd.buy(market, 3, 4, customer=BOB)
        world.submit(crowd.key(ALICE), withdraw_all(world.key.address))
        await until(lambda: crowd.states(market, 1, 2) == {"open"})
        assert crowd.opened() == [[1, 2]]
        assert crowd.states(market, 3, 4) == {"wanted"}


async def test_as_many_as_fit_go_at_once(
    world: Any,
    crowd: Crowd,
    autojump_clock: trio.abc.Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that were there first; the rest wait for others."""
    monkeypatch.setattr(escrow_openings, "MAX_ESCROWS", 3)
    crowd.under(escrow_batch_s=LONG_S)
    world.terms = PATIENT
    async with world.running(), world.market() as market:
        await crowd.pay_in(market)
        begun_s = trio.current_time()
        crowd.buy(market, 1, 2, 3, 4, 5, 6, 7)
        await until(lambda: crowd.states(market, *range(1, 7)) == {"open"})
        assert trio.current_time() - begun_s < 30
        assert crowd.opened() == [[1, 2, 3], [4, 5, 6]]
        assert crowd.states(market, 7) == {"wanted"}
        crowd.buy(market, 8, 9)
        await until(lambda: crowd.states(market, 7, 8, 9) == {"open"})
        assert crowd.opened()[2:] == [[7, 8, 9]]


async def test_a_hundred_cost_less_than_twenty(
    world: Any, crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    async with world.running(), world.market() as market:
        await crowd.pay_in(market, 200 * CPC)
        crowd.buy(market, *range(100))
        await until(lambda: crowd.states(market, *range(100)) == {"open"})
        [tx] = [tx for tx in world.transactions() if tx.tx_type == "ESCROW_OPEN"]
        alone = sum(open_escrow(one).gas for one in read(tx).each)
        assert tx.fee < alone * tx.gas_price / 5


async def stuck(crowd: Crowd, market: Any, *, alone: int, others: tuple[int, ...]) -> None:
    """A task of Alice's and some of Bob's are under way in one opening that no block has, since the
    market cannot pay for it."""
    await crowd.pay_in(market)
    crowd.buy(market, alone, customer=ALICE, seconds=60 if alone == SOON else 10**5)
    crowd.buy(market, *others, customer=BOB, seconds=10**5)
    await until(lambda: market.sender.blocked)
    causes = {crowd.record(market, one).opening for one in (alone, *others)}
    assert len(causes) == 1


SOON = 1
"""The task with an early deadline."""


def fund(crowd: Crowd) -> None:
    """Somebody gives the market money for fees."""
    crowd.world.submit(crowd.key(12), transfer(crowd.world.key.address, CPC))


async def test_a_customer_takes_the_deposit_out_meanwhile(
    world: Any, crowd: Crowd, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """Her tasks fail; those of others are asked again, alone."""
    alice = key(ALICE)
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            await crowd.pay_in(market)
            crowd.buy(market, 1, 2, customer=ALICE, seconds=10**5)
            crowd.buy(market, 3, 4, customer=BOB, seconds=10**5)
            await until(lambda: market.sender.blocked)
            ended = list[str]()
            market.settlement.rewards.on_unfunded = lambda _batch, task, _why: ended.append(task)
            await take_out(world, alice)
            await until(lambda: crowd.states(market, 1, 2) == {"failed"})
            await until(lambda: not free(market, alice.address))
            assert ended == [crowd.task_id(1), crowd.task_id(2)]
            fund(crowd)
            await until(lambda: crowd.states(market, 3, 4) == {"open"})
            assert sorted(crowd.opened()) == [[3], [4]]
            await finish(crowd, market, 3, 4)
            spent = world.fees_of(alice.address)
            assert world.balance(alice.address) == 10**9 * CPC - spent


async def test_the_deadline_of_one_comes_before_a_block_has_it(
    world: Any, crowd: Crowd, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            await stuck(crowd, market, alone=SOON, others=(2, 3))
            await until(lambda: crowd.states(market, SOON) == {"failed"})
            assert free(market, key(ALICE).address) == 50 * CPC
            fund(crowd)
            await until(lambda: crowd.states(market, 2, 3) == {"open"})
            assert sorted(crowd.opened()) == [[2], [3]]
            await finish(crowd, market, 2, 3)


async def test_one_that_was_cancelled_is_not_refunded_before_it_is_open(
    world: Any, crowd: Crowd, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """It was under way with one that fails: the chain would refuse the refund, and all after it
    would wait."""
    async with world.running():
        spend_all(world, key)
        async with world.market() as market:
            await stuck(crowd, market, alone=SOON, others=(2, 3))
            rewards, cancelled = market.settlement.rewards, crowd.task_id(2)
            call(market, lambda batch: rewards.refund(batch, cancelled, market.now_ms()))
            await until(lambda: crowd.states(market, SOON) == {"failed"})
            assert not crowd.record(market, 2).closing
            fund(crowd)
            await finish(crowd, market, 3)
            assert crowd.states(market, 2) == {"refunded"}


async def test_only_the_one_that_the_chain_refuses_fails(
    world: Any, crowd: Crowd, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """It is found by asking for each alone: twice as long as one by itself keeps others waiting."""
    alice = key(ALICE).address
    async with world.running(), world.market() as market:
        await crowd.pay_in(market)
        more_than_there_is(market, alice, 50 * CPC)
        rewards, ended = market.settlement.rewards, dict[str, str]()
        rewards.on_unfunded = lambda _batch, task, why: ended.update({task: why})
        crowd.buy(market, 1, 2, customer=BOB, seconds=10**5)
        crowd.buy(market, 3, customer=ALICE, units=51 * CPC, seconds=10**5)
        crowd.buy(market, 4, customer=BOB, seconds=10**5)
        crowd.buy(market, 5, customer=ALICE, seconds=10**5)
        await until(lambda: "more than the deposit" in market.sender.blocked)
        begun = world.chain.tip.height
        await until(lambda: crowd.states(market, 1, 2, 4, 5) == {"open"})
        assert world.chain.tip.height <= begun + 2 * HOPELESS_BLOCKS + 10
        assert crowd.states(market, 3) == {"failed"}
        assert list(ended) == [crowd.task_id(3)]
        assert "more than the deposit" in ended[crowd.task_id(3)]
        assert sorted(crowd.opened()) == [[1], [2], [4], [5]]
        assert free(market, alice) == 99 * CPC
        call(market, lambda batch: take_back(market, batch, alice))
        await finish(crowd, market, 1, 2, 4, 5)


def take_back(market: Any, batch: Any, customer: str) -> None:
    """What the books have and the chain does not have."""
    postings = move(accounts.customer(customer), accounts.L1, 50 * CPC)
    market.ledger.post(batch, cause="sent:none", kind="sent", postings=postings, at_ms=0)


async def test_those_that_were_lost_go_alone(
    world: Any, crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """Whatever took the nonce may have been about one of them."""
    async with world.running(), world.market() as market:
        await crowd.pay_in(market)
        take_nonce(world)
        crowd.buy(market, 1, 2)
        await until(lambda: crowd.record(market, 1).tries == 1)
        crowd.buy(market, 3, 4)
        await until(lambda: crowd.states(market, 1, 2, 3, 4) == {"open"})
        assert sorted(crowd.opened()) == [[1], [2], [3, 4]]
        await finish(crowd, market, 1, 2, 3, 4)
        assert crowd.settled() == [[1, 2, 3, 4]], "that says nothing about their claims"

"""Claims of escrows share transactions and a quorum, and none keeps the others' pay back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from node.l1.devchain.faults import Faults
from node.l1.errors import BadPayload
from node.l1.escrow import (
    Approval,
    appeal_escrow,
    read,
    refund_escrow,
    settle_escrow,
    sign_claims,
)
from node.settlement import escrow_closings
from node.settlement.escrow_closings import TOGETHER_S, Bundle
from storage.store import Batch
from tests.unit.node.settlement.support.crowd import (
    ALICE,
    BOB,
    FIRST,
    SECOND,
    Crowd,
    identity_of,
)
from tests.unit.node.settlement.support.escrows import (
    CPC,
    Key,
    call,
    check_copy,
    take_nonce,
    until,
)
from tests.unit.node.settlement.support.witness import Witness

STRANGER = 12
BATCH_S = 1.0
LOOKS_S = 2.0
"""Between looks of everybody who has something to do, a few times."""
BLOCKS_S = 15.0
"""Until a block is made, and confirmed."""


@pytest.fixture
def crowd(world: Any, key: Key) -> Crowd:
    return Crowd(world, key)


@asynccontextmanager
async def trading(crowd: Crowd, *numbers: int, seconds: float = 600) -> AsyncIterator[Any]:
    """A market at which these tasks were bought at once, and whose validators sign claims."""
    async with crowd.world.market() as market, trio.open_nursery() as nursery:
        await crowd.pay_in(market, 200 * CPC)
        crowd.buy(market, *numbers, seconds=seconds)
        await until(lambda: crowd.states(market, *numbers) == {"open"})
        nursery.start_soon(crowd.sign, market)
        yield market
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def opened(crowd: Crowd, *numbers: int, seconds: float = 600) -> AsyncIterator[Any]:
    """The same on a chain of its own."""
    async with crowd.world.running(), trading(crowd, *numbers, seconds=seconds) as market:
        yield market


async def all_closed(crowd: Crowd, market: Any, *, paid: int) -> None:
    """Nothing is under way, and so many were paid, each once."""
    await until(lambda: not list(market.settlement.book.active()))
    await until(lambda: not market.sender.blocked)
    assert crowd.paid() == paid
    settled = [one for bundle in crowd.settled() for one in bundle]
    assert len(settled) == len(set(settled)) == paid
    assert not list(market.ledger.holdings("maturing:"))
    check_copy(crowd.world, market, *(crowd.key(number).address for number in (ALICE, BOB)))


async def bundled(market: Any) -> Bundle:
    """What is to be signed together, which stays the same."""
    await until(lambda: list(market.settlement.closings.unsigned()))
    [bundle] = market.settlement.closings.unsigned()
    await trio.sleep(LOOKS_S)
    assert list(market.settlement.closings.unsigned()) == [bundle]
    assert isinstance(bundle, Bundle)
    return bundle


async def test_those_of_one_set_are_paid_together_by_one_quorum(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    async with opened(crowd, 1, 2, 3) as market:
        crowd.end(market, 1, 2, 3)
        await all_closed(crowd, market, paid=3)
        assert crowd.settled() == [[1, 2, 3]]
        [tx] = [tx for tx in crowd.world.transactions() if tx.tx_type == "ESCROW_SETTLE"]
        assert len(read(tx).signatures) == 2


async def test_sets_are_apart(crowd: Crowd, autojump_clock: trio.abc.Clock) -> None:
    """Although two members of the one could release the other, too; so are other numbers of the
    same members."""
    async with opened(crowd, 1, 2) as market:
        crowd.buy(market, 3, 4, customer=BOB, members=SECOND)
        crowd.buy(market, 5, 6, needed=3)
        await until(lambda: crowd.states(market, *range(1, 7)) == {"open"})
        crowd.end(market, *range(1, 7))
        await all_closed(crowd, market, paid=6)
        assert sorted(crowd.settled()) == [[1, 2], [3, 4], [5, 6]]


async def test_one_alone_goes_by_itself(crowd: Crowd, autojump_clock: trio.abc.Clock) -> None:
    """By the signatures that it has: nobody is asked again."""
    crowd.are_willing = False
    async with opened(crowd, 1) as market:
        crowd.end(market, 1)
        await until(lambda: crowd.record(market, 1).stage == "due")
        begun_s = trio.current_time()
        await all_closed(crowd, market, paid=1)
        assert trio.current_time() - begun_s < BATCH_S + BLOCKS_S


async def test_one_waits_for_others_from_when_it_is_due(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    crowd.under(escrow_batch_s=8.0)
    async with opened(crowd, 1, 2) as market:
        crowd.end(market, 1)
        await until(lambda: crowd.record(market, 1).stage == "due")
        begun_s = trio.current_time()
        crowd.end(market, 2)
        await until(lambda: crowd.record(market, 2).stage == "due")
        assert trio.current_time() - begun_s > LOOKS_S
        await until(lambda: crowd.record(market, 2).closing)
        assert 8.0 - LOOKS_S < trio.current_time() - begun_s < 8.0 + LOOKS_S
        await all_closed(crowd, market, paid=2)
        assert crowd.settled() == [[1, 2]]


async def test_as_many_as_fit_wait_for_no_others(
    crowd: Crowd, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(escrow_closings, "MAX_ESCROWS", 3)
    async with opened(crowd, 1, 2, 3) as market:
        market.settlement.closings._parameters = msgspec.structs.replace(
            crowd.world.parameters, escrow_batch_s=10**4
        )
        crowd.end(market, 1, 2, 3)
        await all_closed(crowd, market, paid=3)
        assert crowd.settled() == [[1, 2, 3]]


async def test_a_hundred_cost_less_than_twenty(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    numbers = range(100)
    async with opened(crowd, *numbers) as market:
        crowd.end(market, *numbers)
        await all_closed(crowd, market, paid=100)
        [tx] = [tx for tx in crowd.world.transactions() if tx.tx_type == "ESCROW_SETTLE"]
        form = read(tx)
        alone = sum(settle_escrow(*one, form.signatures).gas for one in form.each.items())
        assert tx.fee < alone * tx.gas_price / 5


async def test_signatures_that_do_not_count(crowd: Crowd, autojump_clock: trio.abc.Clock) -> None:
    """A stranger's, one over something else, one of the member that has signed; and one that comes
    when there are enough."""
    crowd.are_willing = False
    async with opened(crowd, 1, 2, 3) as market:
        crowd.end(market, 1, 2, 3)
        bundle, batch = await bundled(market), Batch()
        approve = partial(market.settlement.closings.approve, batch)
        first, second, third = map(identity_of, FIRST)
        stranger = sign_claims(identity_of(SECOND[-1]), "cpc-devnet-1", bundle.claims)
        with pytest.raises(BadPayload, match="of no member"):
            approve(bundle, stranger)
        fewer = dict(list(bundle.claims.items())[1:])
        for other in (("cpc-devnet-1", fewer), ("cpc-devnet-2", bundle.claims)):
            with pytest.raises(BadPayload, match="not its key's"):
                approve(bundle, sign_claims(first, *other))
        copied = sign_claims(second, "cpc-devnet-1", bundle.claims).signature
        with pytest.raises(BadPayload, match="not its key's"):
            approve(bundle, Approval(public_key=first.public_key.hex(), signature=copied))
        assert bundle.approvals == ()
        own = sign_claims(first, "cpc-devnet-1", bundle.claims)
        assert [approve(bundle, own), approve(bundle, own)] == [True, False]
        assert not batch
        assert approve(bundle, sign_claims(second, "cpc-devnet-1", bundle.claims))
        assert batch
        assert not approve(bundle, sign_claims(third, "cpc-devnet-1", bundle.claims))
        market.db.stage(batch)
        await all_closed(crowd, market, paid=3)
        assert crowd.settled() == [[1, 2, 3]]


@pytest.mark.parametrize("signers", [0, 1])
async def test_without_a_quorum_in_time_each_goes_by_itself(
    crowd: Crowd, autojump_clock: trio.abc.Clock, signers: int
) -> None:
    async with opened(crowd, 1, 2, 3) as market:
        crowd.end(market, 1, 2, 3)
        await until(lambda: all(crowd.record(market, one).is_approved for one in (1, 2, 3)))
        crowd.away.update(FIRST[signers:])
        bundle = await bundled(market)
        begun_s = trio.current_time()
        await until(lambda: crowd.record(market, 1).closing)
        assert abs(trio.current_time() - begun_s - TOGETHER_S) <= LOOKS_S
        assert len(bundle.approvals) == signers
        await all_closed(crowd, market, paid=3)
        assert sorted(crowd.settled()) == [[1], [2], [3]]
        late = sign_claims(identity_of(FIRST[-1]), "cpc-devnet-1", bundle.claims)
        assert not market.settlement.closings.approve(batch := Batch(), bundle, late)
        assert not batch


async def test_later_ones_are_signed_together_all_the_same(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """That some were not signed together says nothing about others."""
    async with opened(crowd, 1, 2, 3, 4) as market:
        crowd.are_willing = False
        crowd.end(market, 1, 2)
        await until(lambda: crowd.record(market, 1).closing)
        crowd.are_willing = True
        crowd.end(market, 3, 4)
        await all_closed(crowd, market, paid=4)
        assert sorted(crowd.settled()) == [[1], [2], [3, 4]]


async def test_somebody_settles_one_of_them_first(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """With its own signatures and for more gas, when the market's transaction is sent."""
    async with opened(crowd, 1, 2, 3) as market:
        crowd.end(market, 1, 2, 3)
        await until(lambda: crowd.record(market, 2).closing)
        record = crowd.record(market, 2)
        draft = settle_escrow(record.escrow_id, record.claim, record.approvals, gas_price=9_000)
        crowd.world.submit(crowd.key(STRANGER), draft)
        await all_closed(crowd, market, paid=3)
        assert sorted(crowd.settled()) == [[1], [2], [3]]
        assert market.sender.find(record.closing).state == "lost"


async def test_somebody_settles_one_of_them_before_it_is_signed_together(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """The others are signed together without it, at once."""
    crowd.are_willing = False
    async with opened(crowd, 1, 2, 3) as market:
        crowd.end(market, 1, 2, 3)
        await bundled(market)
        record = crowd.record(market, 2)
        draft = settle_escrow(record.escrow_id, record.claim, record.approvals, gas_price=9_000)
        crowd.world.submit(crowd.key(STRANGER), draft)
        await until(lambda: crowd.states(market, 2) == {"settled"})
        crowd.are_willing = True
        begun_s = trio.current_time()
        await until(lambda: crowd.record(market, 1).closing)
        assert trio.current_time() - begun_s < LOOKS_S
        await all_closed(crowd, market, paid=3)
        assert sorted(crowd.settled()) == [[1, 3], [2]]


async def test_what_is_not_due_any_more_is_not_sent(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """Nor are the others by signatures that are over it as well."""
    crowd.are_willing = False
    async with opened(crowd, 1, 2, 3) as market:
        crowd.end(market, 1, 2, 3)
        bundle, batch = await bundled(market), Batch()
        changed = msgspec.structs.replace(crowd.record(market, 2), is_due=False)
        call(market, lambda batch: market.settlement.book.put(batch, changed))
        for number in FIRST[:2]:
            signed = sign_claims(identity_of(number), "cpc-devnet-1", bundle.claims)
            assert market.settlement.closings.approve(batch, bundle, signed)
        assert not batch
        crowd.are_willing = True
        await all_closed(crowd, market, paid=3)


@pytest.mark.parametrize("is_sent", [True, False])
async def test_one_of_them_is_refunded_since_it_is_late(
    crowd: Crowd, autojump_clock: trio.abc.Clock, is_sent: bool
) -> None:
    """Its customer has the reward again, and the others are paid."""
    crowd.under(escrow_grace_blocks=3, escrow_block_s=5.0, escrow_batch_s=0.0)
    crowd.are_willing = False
    async with opened(crowd, 1, seconds=30) as market:
        crowd.buy(market, 2, 3)
        await until(lambda: crowd.states(market, 2, 3) == {"open"})
        late = crowd.record(market, 1).late_height
        await until(lambda: crowd.world.chain.tip.height >= late)
        crowd.end(market, 1, 2, 3)
        await bundled(market)
        if is_sent:
            crowd.are_willing = True
            await until(lambda: crowd.record(market, 1).closing)
        draft = refund_escrow(crowd.record(market, 1).escrow_id, gas_price=9_000)
        crowd.world.submit(crowd.key(STRANGER), draft)
        await until(lambda: crowd.states(market, 1) == {"refunded"})
        crowd.are_willing = True
        await all_closed(crowd, market, paid=2)
        assert sorted(crowd.settled()) == ([[2], [3]] if is_sent else [[2, 3]])


async def test_one_that_is_disputed_does_not_hold_the_others(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """The market itself takes no appeal against what is due; whatever else has its key may send
    one. Nobody signs anything with it, and it is paid when the dispute has lapsed."""
    crowd.are_willing = False
    async with opened(crowd, 1, 2, 3) as market:
        crowd.end(market, 1, 2, 3)
        await bundled(market)
        deadline = crowd.world.chain.tip.height + 20
        draft = appeal_escrow(crowd.record(market, 2).escrow_id, CPC, deadline, gas_price=9_000)
        crowd.world.submit(crowd.world.key, draft)
        await until(lambda: crowd.record(market, 2).dispute)
        crowd.are_willing, crowd.refused = True, {2}
        begun_s = trio.current_time()
        await until(lambda: crowd.states(market, 1, 3) == {"settled"})
        assert trio.current_time() - begun_s < BLOCKS_S
        assert crowd.settled() == [[1, 3]]
        await all_closed(crowd, market, paid=3)
        assert crowd.world.chain.tip.height > deadline
        assert crowd.settled() == [[1, 3], [2]]


async def test_those_that_were_lost_go_alone(crowd: Crowd, autojump_clock: trio.abc.Clock) -> None:
    crowd.are_willing = False
    async with opened(crowd, 1, 2) as market:
        crowd.end(market, 1, 2)
        await bundled(market)
        take_nonce(crowd.world)
        crowd.are_willing = True
        await all_closed(crowd, market, paid=2)
        assert sorted(crowd.settled()) == [[1], [2]]


async def test_the_market_dies_while_they_are_signed(
    crowd: Crowd, autojump_clock: trio.abc.Clock
) -> None:
    """One of two has signed, which is forgotten: both sign again, and soon."""
    world = crowd.world
    crowd.are_willing = False
    async with world.running():
        async with world.market() as market, trio.open_nursery() as nursery:
            await crowd.pay_in(market)
            crowd.buy(market, 1, 2)
            await until(lambda: crowd.states(market, 1, 2) == {"open"})
            nursery.start_soon(crowd.sign, market)
            crowd.end(market, 1, 2)
            bundle = await bundled(market)
            own = sign_claims(identity_of(FIRST[0]), "cpc-devnet-1", bundle.claims)
            market.settlement.closings.approve(Batch(), bundle, own)
            await market.db.flushed()
            nursery.cancel_scope.cancel()
        crowd.are_willing = True
        begun_s = trio.current_time()
        async with world.market() as market, trio.open_nursery() as nursery:
            nursery.start_soon(crowd.sign, market)
            await all_closed(crowd, market, paid=2)
            assert trio.current_time() - begun_s < BLOCKS_S
            assert crowd.settled() == [[1, 2]]
            nursery.cancel_scope.cancel()


async def test_their_block_is_given_up(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The chain gives up four of each ten blocks; each task is paid once all the same."""
    world = make_world(faults=Faults(rolls_back=4), back_end="escrow")
    crowd = Crowd(world, key)
    crowd.under(confirmations=5)
    async with world.running():
        witness = world.client = Witness(world.client, world.chain)
        async with witness.listening(), trading(crowd, *range(20)) as market:
            for number in range(0, 20, 2):
                crowd.end(market, number, number + 1)
                await trio.sleep(5)
            await all_closed(crowd, market, paid=20)
            assert witness.rolled_back()["ESCROW_SETTLE"]
            assert max(map(len, crowd.settled())) > 1

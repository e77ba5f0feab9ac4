"""Deposits that are seen and not credited yet."""

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from node.l1.keys import AccountKey
from node.settlement.arriving import Arrivals
from node.settlement.parameters import SettlementParameters

CPC = 10**18


async def test_a_deposit_is_seen_at_once_and_gone_when_it_is_credited(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: trio.abc.Clock
) -> None:
    world = make_world(SettlementParameters(confirmations=4))
    async with world.running(), world.market() as market, trio.open_nursery() as nursery:
        arrivals = Arrivals(world.client, market.follower, world.key.address)
        await nursery.start(arrivals.run)
        await trio.sleep(30)
        world.deposit(key(10), 3 * CPC)
        world.deposit(key(11), 2 * CPC)
        assert arrivals.found() == ()
        await trio.sleep(8)
        found = arrivals.found()
        assert [(one.sender, one.amount) for one in found] == [
            (key(10).address, 3 * CPC),
            (key(11).address, 2 * CPC),
        ]
        assert market.ledger.balance(f"customer:{key(10).address}") == 0
        await trio.sleep(6)
        again = arrivals.found()
        assert again == found, "since when it is seen does not change"
        await trio.sleep(10)
        assert market.ledger.balance(f"customer:{key(10).address}") == 3 * CPC
        assert arrivals.found() == ()
        nursery.cancel_scope.cancel()


async def test_what_the_market_sends_or_others_get_is_no_deposit(
    make_world: Any, key: Callable[[int], AccountKey], autojump_clock: trio.abc.Clock
) -> None:
    world = make_world(SettlementParameters(confirmations=4))
    async with world.running(), world.market() as market, trio.open_nursery() as nursery:
        other = Arrivals(world.client, market.follower, key(20).address)
        await nursery.start(other.run)
        await trio.sleep(30)
        world.deposit(key(10), CPC)
        await trio.sleep(8)
        assert other.found() == ()
        tip = (await world.client.status()).height
        assert market.follower.height == tip - 3
        assert msgspec.json.encode(other.found()) == b"[]"
        nursery.cancel_scope.cancel()

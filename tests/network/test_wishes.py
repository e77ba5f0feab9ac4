"""A node's own file says when its account wants to be paid: signed, and told to its market."""

from typing import Any

import msgspec
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.config.model import PayoutSection
from node.wire.payouts import SetThreshold, signed_threshold
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"


def wish(member: Any, threshold: int) -> None:
    section = PayoutSection(threshold=Amount(threshold))
    member.config = msgspec.structs.replace(member.config, payout=section)


def noted(world: Any, member: Any) -> int | None:
    return world.members["market"].assembly.paydesk.view(member.address).threshold


async def test_the_threshold_of_a_node_s_file_reaches_its_market(
    world: Any, autojump_clock: Any
) -> None:
    first, second = world.team("worker")
    wish(first, 7 * CPC)
    await world.restart(first)
    await world.holds(lambda: noted(world, first))
    assert (noted(world, first), noted(world, second)) == (7 * CPC, None)
    wish(first, 8 * CPC)
    await trio.sleep(1)
    await world.restart(first)
    await world.holds(lambda: noted(world, first) == 8 * CPC)
    await trio.sleep(1)  # it is shown at once, and durable a moment later
    await world.restart(world.members["market"])
    await world.meet()
    assert noted(world, first) == 8 * CPC


async def test_it_is_what_the_market_pays_by(world: Any, autojump_clock: Any) -> None:
    for member in world.team("worker"):
        wish(member, 4 * CPC)
        await world.restart(member)
    await world.meet()
    await world.holds(lambda: all(noted(world, one) for one in world.team("worker")))
    task = await world.buy()
    worker = (await world.until(task.task_id, "settled")).result.worker_address
    await trio.sleep(30)
    assert world.chain.account(worker).balance == 0
    earned = world.market.account(worker).earned
    assert earned == 10 * CPC // 4
    while earned < 4 * CPC:
        task = await world.buy()
        done = await world.until(task.task_id, "settled")
        earned += 10 * CPC // 4 * (done.result.worker_address == worker)
    await world.holds(lambda: world.chain.account(worker).balance)
    assert world.chain.account(worker).balance == 5 * CPC


async def test_one_beyond_the_bounds_is_refused_and_the_node_says_so(
    world: Any, autojump_clock: Any
) -> None:
    member = world.team("validator")[0]
    wish(member, 1001 * CPC)
    await world.restart(member)
    said = f"market {world.members['market'].peer_id} does not take [payout] threshold"
    await world.holds(lambda: said in "".join(member.assembly.info.status().waiting))
    assert noted(world, member) is None


async def test_nobody_sets_another_s_threshold(world: Any, autojump_clock: Any) -> None:
    first, second = world.team("worker")
    market, now_ms = world.members["market"], virtual_clock_ms()

    async def refused(wish: SetThreshold) -> str:
        try:
            await second.network.request(market.peer_id, wish, timeout_s=5)
        except RequestRefused as refusal:
            return refusal.code
        return ""

    identity = second.keys.identity
    for signer, to, asked_ms, code in (
        (first.keys.identity, market.peer_id, now_ms, "signature"),
        (identity, first.peer_id, now_ms, "signature"),
        (identity, market.peer_id, now_ms + 120_000, "clock"),
        (identity, market.peer_id, now_ms, ""),
    ):
        wish = signed_threshold(signer, CHAIN, to, Amount(2 * CPC), asked_ms)
        assert await refused(wish) == code
    altered = msgspec.structs.replace(wish, threshold=Amount(3 * CPC), asked_ms=now_ms + 1)
    assert await refused(altered) == "signature"
    assert (noted(world, first), noted(world, second)) == (None, 2 * CPC)
